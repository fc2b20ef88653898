/**
 * Bringing a state back: from the store of this machine, from a snapshot's segments, and then through the deltas of the
 * journal since. All of it works within a memory budget: what does not fit stays, or goes, on disk.
 */
import { MillraceError } from '../base/errors.ts';
import type { Store, StoreWrite } from '../port/store.ts';
import { unpack } from '../record/rows.ts';
import { type Bucket, MISSING } from './bucket.ts';
import { batchesOf, type WriteBack } from './checkpoint.ts';
import { applyParts, decodeDelta, type StateTables, tableNamed, touchedBy } from './delta.ts';
import {
  asBuffer,
  bucketRange,
  countRange,
  decodeCount,
  keyOf,
  parseCountKey,
  parsePrefix,
  prefixLength,
  totalKey,
} from './layout.ts';
import type { Residency } from './residency.ts';
import { decodeSegment } from './segment.ts';
import type { StateTable } from './table.ts';
import type { ListTable, ValueTable } from './tables.ts';

/** Small buckets are read together, at least so many entries at a time. */
const GROUP_ENTRIES = 4096;

/** Where a state goes that outgrows the memory while it is restored. */
export interface Spill {
  /** Fresh, and without the caller's pointer until the restore is done. */
  readonly store: Store;
  readonly bytesMax: number;
}

/** What restoring works on: the parts of a `TaskState`. */
export interface Restored {
  readonly tables: StateTables;
  readonly residency: Residency;
  readonly writeBack: WriteBack;
  readonly bytes: number;
  readonly resident: boolean;
  /** What deltas changed is done. */
  settleChanges(): void;
}

/** Loads what the store has, newest buckets first, until the budget is used. The rest stays on disk. */
export async function loadStore(state: Restored, store: Store, bytesMax: number): Promise<void> {
  let entries = 0;
  for await (const slice of store.range(countRange())) {
    for (const [key, value] of slice) {
      const { table, bucket } = parseCountKey(asBuffer(key));
      const count = decodeCount(value);
      tableNamed(state.tables, table).announce(bucket, count);
      entries += count;
    }
  }
  const [total] = await store.getMany([totalKey()]);
  if (entries !== (total === undefined ? 0 : decodeCount(total))) {
    throw new MillraceError('STORE_CORRUPT', 'the local store does not have as many entries as it says');
  }
  const queues: { table: StateTable; groups: Bucket[][] }[] = [];
  for (const table of state.tables.values()) {
    const groups = groupsOf(table);
    if (!table.staysInMemory) queues.push({ table, groups });
    else
      for (const group of groups) await loadGroup(state, { store, table, group, bytesMax: Number.POSITIVE_INFINITY });
  }
  const longest = Math.max(0, ...queues.map(queue => queue.groups.length));
  for (let age = 0; age < longest; age++) {
    for (const { table, groups } of queues) {
      const group = groups[age];
      if (group !== undefined && !(await loadGroup(state, { store, table, group, bytesMax }))) return;
    }
  }
}

/** Buckets in groups worth an iterator, newest first; each group in ascending order. */
function groupsOf(table: StateTable): Bucket[][] {
  const groups: Bucket[][] = [];
  let entries = GROUP_ENTRIES;
  for (const bucket of [...table.buckets.values()].sort((left, right) => right.id - left.id)) {
    if (entries >= GROUP_ENTRIES) {
      groups.push([]);
      entries = 0;
    }
    groups.at(-1)!.unshift(bucket);
    entries += bucket.onDisk;
  }
  return groups;
}

/** False: the budget is used up. */
async function loadGroup(
  state: Restored,
  { store, table, group, bytesMax }: { store: Store; table: StateTable; group: Bucket[]; bytesMax: number },
): Promise<boolean> {
  for await (const slice of store.range(bucketRange(table.name, group[0]!.id, group.at(-1)!.id))) {
    if (state.bytes >= bytesMax) return false;
    for (const [key, packed] of slice) {
      const bytes = asBuffer(key);
      const end = prefixLength(bytes);
      const bucket = table.find(parsePrefix(bytes.subarray(0, end)).bucket);
      if (bucket === null)
        throw new MillraceError('STORE_CORRUPT', `the local store has a bucket of ${table.name} without a count`);
      table.admit(bucket, keyOf(bytes.subarray(end)), unpack(packed));
    }
  }
  for (const bucket of group) {
    if (bucket.onDisk > 0) {
      throw new MillraceError('STORE_CORRUPT', `the local store lacks entries of bucket ${bucket.id} of ${table.name}`);
    }
  }
  return true;
}

/**
 * Does a snapshot's segments, oldest first. Memory is filled first, and nothing written: the store hears of it with the
 * next checkpoints. From the moment it outgrows `spill`, the segments also go to the store as they are.
 */
export async function loadSegments(
  state: Restored,
  segments: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  spill: Spill | null,
): Promise<void> {
  let isSpilled = false;
  for await (const segment of segments) {
    const writes = decodeSegment(segment);
    const changes = changesOf(state.tables, writes);
    if (spill !== null && isSpilled) {
      for (const { table, bucket, key } of changes) {
        if (key !== null) state.residency.wants.key(asTable(table), bucket, key);
      }
      await state.residency.prefetch(spill.store);
      await spill.store.write(writes);
    }
    for (const { table, bucket, key, packed } of changes) {
      if (key === null) table.drop(bucket);
      else if (packed === null) table.delete(bucket, key);
      else table.restore(bucket, key, unpack(packed));
    }
    for (const table of state.tables.values()) table.adopt(isSpilled ? 0 : MISSING);
    state.residency.endBatch();
    if (spill === null || state.bytes <= spill.bytesMax) continue;
    for (const batch of batchesOf(state.writeBack.take().writes())) await spill.store.write(batch);
    state.writeBack.landed();
    state.residency.evict(spill.bytesMax);
    isSpilled = true;
  }
}

/** Does a delta that may touch entries on disk. */
export async function replayDelta(state: Restored, bytes: Uint8Array, store: Store): Promise<void> {
  const parts = decodeDelta(bytes);
  if (!state.resident) {
    for (const part of parts) {
      const table = tableNamed(state.tables, String(part[0]));
      for (const { bucket, key } of touchedBy(part)) state.residency.wants.key(asTable(table), bucket, key);
    }
    await state.residency.prefetch(store);
  }
  applyParts(state.tables, parts);
  state.settleChanges();
  state.residency.endBatch();
}

/** `key` null: the bucket is dropped; `packed` null: the entry is deleted. */
interface Change {
  readonly table: StateTable;
  readonly bucket: number;
  readonly key: string | null;
  readonly packed: Uint8Array | null;
}

function changesOf(tables: StateTables, writes: readonly StoreWrite[]): Change[] {
  const changes: Change[] = [];
  // Neighbours are mostly of one bucket: its prefix is taken apart once.
  let prefix = Buffer.alloc(0);
  let table: StateTable | null = null;
  let bucket = 0;
  for (const write of writes) {
    const bytes = asBuffer(write.type === 'clear' ? write.gte : write.key);
    if (
      table === null ||
      bytes.length < prefix.length ||
      bytes.compare(prefix, 0, prefix.length, 0, prefix.length) !== 0
    ) {
      prefix = Buffer.from(bytes.subarray(0, prefixLength(bytes)));
      const parsed = parsePrefix(prefix);
      table = tableNamed(tables, parsed.table);
      bucket = parsed.bucket;
    }
    const key = write.type === 'clear' ? null : keyOf(bytes.subarray(prefix.length));
    changes.push({ table, bucket, key, packed: write.type === 'put' ? write.value : null });
  }
  return changes;
}

/** Both kinds of table are one or the other face. */
function asTable(table: StateTable): ValueTable<unknown> | ListTable<unknown> {
  return table as unknown as ValueTable<unknown>;
}
