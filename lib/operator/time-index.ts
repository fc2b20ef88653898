/**
 * Finding the items of a list by time. Lists are in the order of arrival, which is nearly the order of time. Short ones
 * are looked through; a long one (a hot key) gets the positions of its items sorted by time, so that a range is two
 * binary searches. The index is derived: it follows its list lazily, and is made again after a restart.
 */
export interface Timed {
  readonly t: number;
}

/** Up to this many items are looked through: cheaper than an index, and by far most lists. */
export const SCAN_MAX = 32;

interface Positions {
  /** Positions in the list, in the order of the items' times. */
  readonly sorted: number[];
  /** How many of the list's items have been looked at. */
  seen: number;
}

export class TimeIndexes<T extends Timed> {
  #isLeftOut: ((item: T) => boolean) | null;
  #buckets = new Map<number, Map<string, Positions>>();

  /** @param isLeftOut items that nobody will look for any more */
  constructor(isLeftOut: ((item: T) => boolean) | null) {
    this.#isLeftOut = isLeftOut;
  }

  /** The list's positions by time; null: it is short. A caller may take out the positions of what it leaves out. */
  sortedOf(bucket: number, key: string, list: readonly T[]): number[] | null {
    if (list.length <= SCAN_MAX) return null;
    let keys = this.#buckets.get(bucket);
    if (keys === undefined) this.#buckets.set(bucket, (keys = new Map()));
    let positions = keys.get(key);
    if (positions === undefined) keys.set(key, (positions = { sorted: [], seen: 0 }));
    if (positions.seen < list.length) this.#follow(positions, list);
    return positions.sorted;
  }

  #follow(positions: Positions, list: readonly T[]): void {
    const { sorted } = positions;
    const fresh: number[] = [];
    for (let i = positions.seen; i < list.length; i++) if (!this.#isLeftOut?.(list[i]!)) fresh.push(i);
    positions.seen = list.length;
    // Nearly sorted already, which is what this sort is best at.
    if (fresh.length > 1) fresh.sort((left, right) => list[left]!.t - list[right]!.t || left - right);
    mergeInto(sorted, fresh, list);
  }

  drop(bucket: number): void {
    this.#buckets.delete(bucket);
  }
}

/**
 * Both in the order of time. What comes in time costs its number. What does not moves what is later than it, but looks at few
 * of that: a hot key's items are all over the memory.
 */
function mergeInto(sorted: number[], fresh: readonly number[], list: readonly Timed[]): void {
  let end = sorted.length;
  for (const position of fresh) sorted.push(position);
  for (let i = fresh.length - 1; i >= 0; i--) {
    const { t } = list[fresh[i]!]!;
    const isLast = end === 0 || list[sorted[end - 1]!]!.t <= t;
    const at = isLast ? end : firstAfter(list, sorted, t, end);
    for (let from = end - 1; from >= at; from--) sorted[from + i + 1] = sorted[from]!;
    sorted[at + i] = fresh[i]!;
    end = at;
  }
}

/** Index in `sorted` of the first item at or after `timeMs`. */
export function firstFrom(list: readonly Timed[], sorted: readonly number[], timeMs: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[sorted[middle]!]!.t < timeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index in `sorted` of the first item after `timeMs`, or `before`. */
export function firstAfter(
  list: readonly Timed[],
  sorted: readonly number[],
  timeMs: number,
  before = sorted.length,
): number {
  let low = 0;
  let high = before;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[sorted[middle]!]!.t <= timeMs) low = middle + 1;
    else high = middle;
  }
  return low;
}
