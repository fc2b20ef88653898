/**
 * The census of a table: what its bucket has, for the tasks that keep its rows. A row may vanish without a message (a
 * purge, an age limit, a bucket made anew), and only a comparison tells.
 *
 * It comes in parts that are true by themselves: *of these key groups, or of this share of one, the bucket has these keys, and
 * no others*. Whoever keeps rows of them deletes the others. A part needs no other and no end, so it does not matter which of them are
 * lost in a crash: the next census says it again, and to delete twice is to delete once.
 *
 * Parts come where rows come, behind all that the reader had read when it knew. A row that is newer comes behind them.
 * So that a task needs not have all rows in memory to find those that are gone, it keeps them in *slices*: buckets of
 * state by ranges of key groups. A part brings in the slices that it speaks of, and there are about as many rows in them as
 * it has keys.
 */
import { hash32, KEY_GROUPS, keyGroupOf } from '../base/hash.ts';
import type { GroupRange } from '../state/entry-key.ts';

/** Keys of a bucket, or of a part of it, by key group. */
export type KeysByGroup = ReadonlyMap<number, ReadonlySet<string>>;

export interface Census extends GroupRange {
  /** All keys of these groups that the bucket has, encoded. */
  readonly keys: readonly string[];
  /** It speaks of this share alone of the keys of one group, which are too many for a frame. */
  readonly share?: Share;
}

/** Keys of a group of which the hash, without the group, is `index` by `of`, a power of two. */
interface Share {
  readonly index: number;
  readonly of: number;
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
export function isGone(key: string, { from, to, share }: Census, present: ReadonlySet<string>): boolean {
  if (present.has(key)) return false;
  const group = keyGroupOf(key);
  return group >= from && group < to && (share === undefined || isIn(share, key));
}

/** What the keys of a part may take: less than most brokers' frames hold, and more than most buckets need. */
const PART_BYTES_MAX = 64 << 10;
/** What a key takes beside its text. */
const KEY_BYTES = 5;
/** So many shares of a group there can be: the bits of a key's hash that its group has not. */
const SHARES_MAX = 2 ** 32 / KEY_GROUPS;

function isIn({ index, of }: Share, key: string): boolean {
  return Math.floor(hash32(key) / KEY_GROUPS) % of === index;
}

function bytesOf(keys: Iterable<string>): number {
  let bytes = 0;
  for (const key of keys) bytes += Buffer.byteLength(key) + KEY_BYTES;
  return bytes;
}

/** Parts for a task that has the groups `of`, none with more than about `bytesMax` of keys. */
export function* partsOf(keysByGroup: KeysByGroup, of: GroupRange, bytesMax = PART_BYTES_MAX): Generator<Census> {
  const partBytesMax = Math.min(bytesMax, PART_BYTES_MAX);
  let from = of.from;
  let keys: string[] = [];
  let bytes = 0;
  for (let group = of.from; group < of.to; group++) {
    const own = keysByGroup.get(group);
    if (own === undefined) continue;
    const ownBytes = bytesOf(own);
    if (bytes + ownBytes > partBytesMax) {
      if (from < group) yield { from, to: group, keys };
      from = group;
      keys = [];
      bytes = 0;
    }
    if (ownBytes > bytesMax) {
      yield* sharesOf(group, { keys: [...own], share: { index: 0, of: 1 }, bytesMax });
      from = group + 1;
      continue;
    }
    for (const key of own) keys.push(key);
    bytes += ownBytes;
  }
  if (from < of.to) yield { from, to: of.to, keys };
}

/** Parts for one group, halved until they fit. What no frame holds, a key that is larger, is left out: its row stays as it is. */
function* sharesOf(
  group: number,
  { keys, share, bytesMax }: { keys: readonly string[]; share: Share; bytesMax: number },
): Generator<Census> {
  if (bytesOf(keys) <= bytesMax) {
    yield { from: group, to: group + 1, keys, share };
    return;
  }
  if (share.of === SHARES_MAX || keys.length === 1) return;
  for (const index of [share.index, share.index + share.of]) {
    const half = { index, of: share.of * 2 };
    yield* sharesOf(group, { keys: keys.filter(key => isIn(half, key)), share: half, bytesMax });
  }
}
