/**
 * Which entries are in memory: prefetch brings in what a batch wants, eviction drops what the store has. The invariants
 * of `bucket.ts` are kept here.
 *
 * One batch at a time: `wants` opens it, `endBatch` closes it, and what it has wanted is pinned from the moment it was
 * wanted, not from when it was read: an eviction may come while the others are being read.
 */
import { invariant, MillraceError } from '../base/errors.ts';
import type { Store } from '../port/store.ts';
import { unpack } from '../record/rows.ts';
import { type BatchNotes, type Bucket, USED } from './bucket.ts';
import type { StateTables } from './delta.ts';
import { asBuffer, bucketPrefix, bucketRange, entryKey, keyOf, prefixLength } from './layout.ts';
import { StateTable } from './table.ts';
import type { ListTable, ValueTable, Wants } from './tables.ts';

type AnyTable = ValueTable<never> | ListTable<never> | ValueTable<unknown> | ListTable<unknown>;

/** Collects what a batch will touch. Wanting the same again costs a lookup. */
export class WantsCollector implements Wants {
  readonly #notes: BatchNotes;
  keys: { table: StateTable; bucket: Bucket; key: string }[] = [];
  buckets: { table: StateTable; bucket: Bucket }[] = [];

  constructor(notes: BatchNotes) {
    this.#notes = notes;
  }

  key(table: AnyTable, id: number, key: string): boolean {
    const found = stateTable(table);
    const bucket = found.find(id);
    if (bucket === null) return true;
    const wasTouched = bucket.isTouched;
    if (bucket.pin(key)) {
      if (!wasTouched) this.#notes.touched.push(bucket);
      return true;
    }
    if (bucket.absent?.has(key)) return true;
    if (bucket.asked?.has(key)) return false;
    if (!wasTouched) this.#notes.touched.push(bucket);
    if (bucket.onDisk === 0 || bucket.unstored?.has(key)) {
      (bucket.absent ??= new Set()).add(key);
      return true;
    }
    (bucket.asked ??= new Set()).add(key);
    this.keys.push({ table: found, bucket, key });
    this.#notes.unread++;
    return false;
  }

  bucket(table: AnyTable, id: number): boolean {
    const found = stateTable(table);
    const bucket = found.find(id);
    if (bucket === null || bucket.isPinned) return bucket === null || bucket.onDisk === 0;
    if (!bucket.isTouched) this.#notes.touched.push(bucket);
    bucket.isPinned = true;
    if (bucket.onDisk === 0) return true;
    this.buckets.push({ table: found, bucket });
    this.#notes.unread++;
    return false;
  }
}

export class Residency {
  readonly #tables: StateTables;
  readonly #notes: BatchNotes;
  readonly wants: WantsCollector;

  constructor(tables: StateTables, notes: BatchNotes) {
    this.#tables = tables;
    this.#notes = notes;
    this.wants = new WantsCollector(notes);
  }

  /**
   * Reads what is wanted and not in memory. Returns how many keys and buckets that was; 0: nothing new was wanted.
   * Throws STORE_CORRUPT.
   */
  async prefetch(store: Store): Promise<number> {
    const { keys, buckets } = this.wants;
    const reads = keys.length + buckets.length;
    if (reads === 0) return 0;
    this.wants.keys = [];
    this.wants.buckets = [];
    if (keys.length > 0) {
      const found = await store.getMany(
        keys.map(want => entryKey(bucketPrefix(want.table.name, want.bucket.id), want.key)),
      );
      for (let i = 0; i < keys.length; i++) {
        const { table, bucket, key } = keys[i]!;
        bucket.asked?.delete(key);
        const packed = found[i];
        if (packed === undefined) (bucket.absent ??= new Set()).add(key);
        else this.#admit(table, bucket, key, packed);
      }
    }
    for (const { table, bucket } of buckets) await this.#readBucket(store, table, bucket);
    this.#notes.unread -= reads;
    return reads;
  }

  /** Lets go of what the batch has wanted. */
  endBatch(): void {
    const { touched } = this.#notes;
    if (touched.length === 0) return;
    invariant(this.#notes.unread === 0, 'a batch ends before what it wanted was read');
    for (const bucket of touched) bucket.letGo();
    this.#notes.touched = [];
  }

  /** The tables were emptied: what a batch has wanted of them is nothing any more. */
  reset(): void {
    this.wants.keys = [];
    this.wants.buckets = [];
    this.#notes.touched = [];
    this.#notes.unread = 0;
  }

  /**
   * Drops clean entries, those of the oldest buckets of each table first, until about `bytesMax` are left or nothing more
   * can go. Entries that batches used since the last eviction are spared in the first round.
   */
  evict(bytesMax: number): void {
    if (this.#bytes() <= bytesMax) return;
    const queues: { table: StateTable; buckets: Bucket[] }[] = [];
    let longest = 0;
    for (const table of this.#tables.values()) {
      if (table.staysInMemory) continue;
      const buckets = [...table.buckets.values()].filter(bucket => bucket.isStored && bucket.size > 0);
      buckets.sort((left, right) => left.id - right.id);
      if (buckets.length > longest) longest = buckets.length;
      queues.push({ table, buckets });
    }
    for (const spared of [USED, 0]) {
      for (let age = 0; age < longest; age++) {
        for (const { table, buckets } of queues) {
          const bucket = buckets[age];
          if (bucket !== undefined && this.#evictFrom(table, bucket, bytesMax, spared)) return;
        }
      }
    }
  }

  /** True: enough has gone. */
  #evictFrom(table: StateTable, bucket: Bucket, bytesMax: number, spared: number): boolean {
    // Mostly dirty: looking at each entry would not be worth it.
    if (bucket.isPinned || bucket.dirty >= bucket.size) return false;
    return table.evictFrom(bucket, { spared, isEnough: () => this.#bytes() <= bytesMax });
  }

  #bytes(): number {
    let bytes = 0;
    for (const table of this.#tables.values()) bytes += table.memoryBytes;
    return bytes;
  }

  async #readBucket(store: Store, table: StateTable, bucket: Bucket): Promise<void> {
    for await (const slice of store.range(bucketRange(table.name, bucket.id))) {
      for (const [key, packed] of slice) {
        const bytes = asBuffer(key);
        this.#admit(table, bucket, keyOf(bytes.subarray(prefixLength(bytes))), packed);
      }
    }
    if (bucket.onDisk === 0) return;
    throw new MillraceError('STORE_CORRUPT', `the local store lacks entries of bucket ${bucket.id} of ${table.name}`);
  }

  #admit(table: StateTable, bucket: Bucket, key: string, packed: Uint8Array): void {
    if (table.admit(bucket, key, unpack(packed))) bucket.pin(key);
  }
}

function stateTable(table: AnyTable): StateTable {
  invariant(table instanceof StateTable, 'only tables of this state can be wanted');
  return table;
}
