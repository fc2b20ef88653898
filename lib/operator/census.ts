/**
 * The census of a table: what its bucket has, for the tasks that keep its rows. A row may vanish without a message (a
 * purge, an age limit, a bucket made anew), and only a comparison tells.
 *
 * It comes in parts that are true by themselves: *of these key groups the bucket has these keys, and no others*. Whoever
 * keeps rows of the groups deletes the others. A part needs no other and no end, so it does not matter which of them are
 * lost in a crash: the next census says it again, and to delete twice is to delete once.
 *
 * Parts come where rows come, behind all that the reader had read when it knew. A row that is newer comes behind them.
 * So that a task needs not have all rows in memory to find those that are gone, it keeps them in *slices*: buckets of
 * state by ranges of key groups. A part brings in the slices that it speaks of, and there are about as many rows in them as
 * it has keys.
 */
import { KEY_GROUPS, keyGroupOf } from '../base/hash.ts';
import type { GroupRange } from '../state/entry-key.ts';

/** Keys of a bucket, or of a part of it, by key group. */
export type KeysByGroup = ReadonlyMap<number, ReadonlySet<string>>;

export interface Census extends GroupRange {
  /** All keys of these groups that the bucket has, encoded. */
  readonly keys: readonly string[];
}

const SLICE_BITS = 7;
export const SLICES = KEY_GROUPS >> SLICE_BITS;

/** The slice, 0 … SLICES − 1, of a key's row. */
export function sliceOf(key: string): number {
  return keyGroupOf(key) >> SLICE_BITS;
}

/** The slices that have rows of these groups: from the first one through the second. */
export function slicesOf({ from, to }: GroupRange): { readonly first: number; readonly last: number } {
  return { first: from >> SLICE_BITS, last: (to - 1) >> SLICE_BITS };
}

/** Whether a row of the key is gone, by a census of which `present` has the keys. */
export function isGone(key: string, { from, to }: GroupRange, present: ReadonlySet<string>): boolean {
  if (present.has(key)) return false;
  const group = keyGroupOf(key);
  return group >= from && group < to;
}

/** What the keys of a part may take: less than most brokers' frames hold, and more than most buckets need. */
const PART_BYTES_MAX = 64 << 10;
/** What a key takes beside its text. */
const KEY_BYTES = 5;

/**
 * Parts for a task that has the groups `of`. A group of which the keys alone are more than `bytesMax` is left out: its rows
 * stay as they are.
 */
export function* partsOf(keysByGroup: KeysByGroup, of: GroupRange, bytesMax = PART_BYTES_MAX): Generator<Census> {
  const partBytesMax = Math.min(bytesMax, PART_BYTES_MAX);
  let from = of.from;
  let keys: string[] = [];
  let bytes = 0;
  for (let group = of.from; group < of.to; group++) {
    const own = keysByGroup.get(group);
    if (own === undefined) continue;
    let ownBytes = 0;
    for (const key of own) ownBytes += Buffer.byteLength(key) + KEY_BYTES;
    if (bytes + ownBytes > partBytesMax) {
      if (from < group) yield { from, to: group, keys };
      from = ownBytes > bytesMax ? group + 1 : group;
      keys = [];
      bytes = 0;
      if (from > group) continue;
    }
    for (const key of own) keys.push(key);
    bytes += ownBytes;
  }
  if (from < of.to) yield { from, to: of.to, keys };
}
