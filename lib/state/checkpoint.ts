/**
 * Checkpoints: what changed since the last one, as writes for the store and as segments for a snapshot.
 *
 * It may be prepared in slices between batches, so that nobody waits long. What changes again after its slice is simply
 * written again by a later one, further down in the same batch (as a virtual machine's memory is copied while it runs);
 * `take` adds what is left, and the whole is exactly the state at that moment.
 *
 * From the first slice until the store's write has landed the checkpoint is *open*, and nothing may be evicted: what
 * memory calls stored the store does not have yet. A deleted key is remembered until then, because a prefetch might still
 * read it.
 */
import { invariant } from '../base/errors.ts';
import type { StoreWrite } from '../port/store.ts';
import { pack } from '../record/rows.ts';
import { type Bucket, TELLING, type UNTOLD } from './bucket.ts';
import type { StateTables } from './delta.ts';
import { bucketPrefix, countKey, encodeCount, entryKey, prefixEnd, totalKey } from './layout.ts';
import type { SegmentOrPause } from './segment.ts';
import type { StateTable } from './table.ts';
import { WriteLog } from './write-log.ts';

export interface Checkpoint {
  /**
   * For the store, in order. Until it has all of them it must not count for anything, and from then on for what the
   * caller's pointer says: either they go there in one batch with it, or without one in `batchesOf` them.
   */
  writes(): Iterable<StoreWrite>;
  /**
   * The same changes for the snapshot, oldest first, encoded step by step. They must be part of a durable snapshot before
   * the store is written: whoever restores from a store goes on with a snapshot of its commit or a later one.
   */
  segments(): Iterable<SegmentOrPause>;
}

/** A store holds a batch at least twice while it writes it, and keeps it in memory until it has become a file. */
const BATCH_WRITES = 4096;
const BATCH_BYTES = 1 << 20;

interface Landing {
  readonly table: StateTable;
  readonly bucket: Bucket;
}

export class WriteBack {
  readonly #tables: StateTables;
  /** What the slices so far have to write. */
  #prepared = new WriteLog();
  /** What lands with the checkpoint that is being written. Null: none is. */
  #landing: Landing[] | null = null;

  constructor(tables: StateTables) {
    this.#tables = tables;
  }

  get isOpen(): boolean {
    return this.#landing !== null || this.#prepared.length > 0;
  }

  /** Keys of which the store must hear; a key changed twice may count twice. */
  get dirtyEntries(): number {
    let entries = 0;
    for (const table of this.#tables.values()) {
      for (const bucket of table.dirtyBuckets) entries += bucket.dirty + (bucket.unstored?.size ?? 0);
    }
    return entries;
  }

  /** Does up to about `entriesMax` entries. True: there is more. */
  prepare(entriesMax: number): boolean {
    this.#checkReady();
    let left = entriesMax;
    for (const table of this.#tables.values()) {
      for (const bucket of table.dirtyBuckets) {
        if (!bucket.hasNews) continue;
        if (left <= 0) return true;
        left -= tell(table, bucket, this.#prepared, left);
      }
    }
    return false;
  }

  take(): Checkpoint {
    this.#checkReady();
    const log = this.#prepared;
    const counts: StoreWrite[] = [];
    const landing: Landing[] = [];
    for (const table of this.#tables.values()) {
      for (const bucket of table.dirtyBuckets) {
        tell(table, bucket, log, Number.POSITIVE_INFINITY);
        count(table, bucket, counts);
        bucket.isDirty = false;
        landing.push({ table, bucket });
      }
      table.dirtyBuckets = [];
    }
    log.end();
    this.#prepared = new WriteLog();
    this.#landing = landing;
    if (log.length + counts.length > 0)
      counts.push({ type: 'put', key: totalKey(), value: encodeCount(this.#entries()) });
    return { writes: () => inTurn(log, counts), segments: () => log.segments() };
  }

  /** The tables were emptied: there is nothing to write any more. */
  reset(): void {
    this.#prepared = new WriteLog();
    this.#landing = null;
  }

  landed(): void {
    invariant(this.#landing !== null, 'no checkpoint is being written');
    for (const { table, bucket } of this.#landing) {
      if (bucket.unstored !== null) {
        for (const [key, state] of bucket.unstored) {
          if (state === TELLING) forget(bucket, bucket.unstored, key);
        }
        if (bucket.unstored.size === 0) bucket.unstored = null;
      }
      table.prune(bucket);
    }
    this.#landing = null;
  }

  #entries(): number {
    let entries = 0;
    for (const table of this.#tables.values()) entries += table.entriesHeld + table.onDisk;
    return entries;
  }

  #checkReady(): void {
    invariant(this.#landing === null, 'the last checkpoint has not landed yet');
    for (const table of this.#tables.values()) {
      invariant(table.changedBuckets.length === 0, `${table.name} has changes that no delta has taken`);
    }
  }
}

/** Tells of the bucket, at most `entriesMax` puts. Returns how many writes that was. */
function tell(table: StateTable, bucket: Bucket, log: WriteLog, entriesMax: number): number {
  const before = log.length;
  const prefix = bucketPrefix(table.name, bucket.id);
  if (bucket.isCleared) {
    log.add({ type: 'clear', gte: prefix, lt: prefixEnd(prefix) });
    bucket.isCleared = false;
  }
  if (bucket.unstored !== null) {
    for (const [key, state] of bucket.unstored) {
      if (state === TELLING) continue;
      log.add({ type: 'del', key: entryKey(prefix, key) });
      bucket.unstored.set(key, TELLING);
    }
  }
  bucket.takeDirty(entriesMax, (key, content, isNews) => {
    log.add({ type: 'put', key: entryKey(prefix, key), value: pack(content) }, isNews);
    bucket.isStored = true;
  });
  return log.length - before;
}

function count(table: StateTable, bucket: Bucket, writes: StoreWrite[]): void {
  const entries = bucket.size + bucket.onDisk;
  const key = countKey(table.name, bucket.id);
  if (entries > 0) writes.push({ type: 'put', key, value: encodeCount(entries) });
  else if (bucket.isCounted) writes.push({ type: 'del', key });
  bucket.isCounted = entries > 0;
  bucket.isStored = entries > 0;
}

/** Drops a deletion that the store has carried out. A batch whose reading began before goes on knowing of it. */
function forget(bucket: Bucket, unstored: Map<string, typeof UNTOLD | typeof TELLING>, key: string): void {
  unstored.delete(key);
  if (bucket.isPinned || bucket.asked !== null || bucket.absent !== null) (bucket.absent ??= new Set()).add(key);
}

/** All of a checkpoint's writes, in batches that a store can hold in memory. */
export function* batchesOf(writes: Iterable<StoreWrite>): Generator<StoreWrite[]> {
  let batch: StoreWrite[] = [];
  let bytes = 0;
  for (const write of writes) {
    batch.push(write);
    if (write.type === 'put') bytes += write.value.length;
    if (batch.length < BATCH_WRITES && bytes < BATCH_BYTES) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
}

function* inTurn<T>(first: Iterable<T>, second: Iterable<T>): Generator<T> {
  yield* first;
  yield* second;
}
