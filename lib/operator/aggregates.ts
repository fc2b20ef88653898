/**
 * Aggregates: how the records of a window become one result.
 *
 * Rules that the window operators rely on:
 * - *extract first*: `extract` runs the user's function and checks what it gave; it throws before anything has changed.
 * - *adding never throws*: `add` and `merge` of the aggregates here do not, but the user's own in `reduce` and
 *   `aggregate` may (`addMayThrow`). Limits are told by `result`.
 * - *right side untouched*: `merge` may change its left side, never its right one, and shares nothing with it afterwards.
 * - *any order*: the result does not depend on the order of the records, ties of event time included (`compareValues`),
 *   beyond the error that `sum`, `avg` and the sketches state. `reduce` and `aggregate` are as orderly as the user's
 *   functions.
 *
 * Types: a caller that knows the record's type T asks for an `AggregateSpec<T>`, and that is where V comes from, so that
 * `sum(e => e.pay)` needs no annotation. `NoInfer` keeps V from being read off anything else.
 */
import { MillraceError } from '../base/errors.ts';
import { checkCount, checkFunction, checkOptions } from '../base/given.ts';
import { encodeKey } from '../record/key.ts';
import { addDistinct, type DistinctSketch, distinctResult, mergeDistinct } from './distinct.ts';
import { kept } from './kept.ts';
import { compareValues } from './order.ts';
import {
  ACCURACY_MIN,
  addQuantile,
  logGamma,
  mergeQuantiles,
  newQuantiles,
  type QuantileSketch,
  quantileResult,
} from './quantiles.ts';
import type { AggregateSpec } from './spec.ts';
import {
  addCompensated,
  addExact,
  type CompensatedSum,
  compensatedMean,
  compensatedResult,
  type ExactSum,
  exactResult,
  mergeCompensated,
  mergeExact,
  SCALE_MAX,
  unitsOf,
} from './sums.ts';
import { refusePromise, shown } from './user-code.ts';

/** Values that `collect` keeps for one key and window when told no other limit. */
export const COLLECT_MAX = 1_000;
/** Different values that an exact `countDistinct` keeps for one key and window when told no other limit. */
export const DISTINCT_MAX = 10_000;
/** So many different values are put into a list one by one. */
const MERGE_FEW = 32;

/** A merging aggregate: for every window shape. */
export type MergingAggregate<V, X, A, R> = AggregateSpec<V, X, A, R> & { merge(left: A, right: A): A };

/** Whether `add` runs user code (rule B). */
export function addMayThrow(spec: AggregateSpec): boolean {
  return spec.kind === 'reduce' || spec.kind === 'reduce-from' || spec.kind === 'aggregate';
}

/** How many records. */
export function count(): MergingAggregate<unknown, null, number, number> {
  return {
    kind: 'count',
    extract: () => null,
    init: () => 0,
    add: total => total + 1,
    merge: (left, right) => left + right,
    result: total => total,
  };
}

/**
 * The sum of a number of each record. Without `scale`: doubles with compensated summation, correct to about the last
 * digit in any order; one beyond 1.8e308 gives an error. With it: exact to that many decimals, e.g. `{ scale: 2 }` for cents; a number with more is poison.
 */
export function sum<V>(
  of: (value: V) => number,
  options?: { readonly scale?: number },
): MergingAggregate<V, number, CompensatedSum, number> | MergingAggregate<V, number, ExactSum, number> {
  checkFunction('sum', of, 'sum(record => record.field)');
  checkOptions('sum', options, ['scale']);
  const scale = options?.scale;
  if (scale === undefined) {
    return {
      kind: 'sum',
      extract: value => numberOf(of(value), 'sum'),
      init: (): CompensatedSum => [0, 0],
      add: addCompensated,
      merge: mergeCompensated,
      result: compensatedResult,
    };
  }
  if (!Number.isInteger(scale) || scale < 0 || scale > SCALE_MAX) {
    throw new MillraceError('INVALID_ARGUMENT', `sum: scale is a whole number from 0 to ${SCALE_MAX}, not ${scale}`);
  }
  const exact: MergingAggregate<V, number, ExactSum, number> = {
    kind: 'sum-exact-' + scale,
    extract: value => unitsOf(numberOf(of(value), 'sum'), scale),
    init: (): ExactSum => [0, 0],
    add: addExact,
    merge: mergeExact,
    result: total => exactResult(total, scale),
  };
  return exact;
}

/** The least of a number of each record. Anything but a finite number is poison. */
export function min<V>(of: (value: V) => number): MergingAggregate<V, number, number, number> {
  checkFunction('min', of, 'min(record => record.field)');
  return {
    kind: 'min',
    extract: value => numberOf(of(value), 'min'),
    init: () => Number.POSITIVE_INFINITY,
    // Not `Math.min` itself (nor `Math.max` below): it would take the event time for one more value.
    add: (least, value) => Math.min(least, value),
    merge: (left, right) => Math.min(left, right),
    result: least => least,
  };
}

/** The greatest of a number of each record. Anything but a finite number is poison. */
export function max<V>(of: (value: V) => number): MergingAggregate<V, number, number, number> {
  checkFunction('max', of, 'max(record => record.field)');
  return {
    kind: 'max',
    extract: value => numberOf(of(value), 'max'),
    init: () => Number.NEGATIVE_INFINITY,
    add: (most, value) => Math.max(most, value),
    merge: (left, right) => Math.max(left, right),
    result: most => most,
  };
}

/** The mean, by the same compensated sum as `sum`. */
export function avg<V>(of: (value: V) => number): MergingAggregate<V, number, [CompensatedSum, number], number> {
  checkFunction('avg', of, 'avg(record => record.field)');
  return {
    kind: 'avg',
    extract: value => numberOf(of(value), 'avg'),
    init: () => [[0, 0], 0],
    add(total, value) {
      addCompensated(total[0], value);
      total[1]++;
      return total;
    },
    merge(left, right) {
      mergeCompensated(left[0], right[0]);
      left[1] += right[1];
      return left;
    },
    result: total => compensatedMean(total[0], total[1]),
  };
}

/** Empty, or event time and value of the record in front. */
type Front<X> = [] | [timeMs: number, value: X];

/** The value of the earliest record by event time; of several, the least by `compareValues`. */
export function first<V, X>(of: (value: V) => X): MergingAggregate<V, X, Front<X>, X> {
  return frontmost('first', of, 1);
}

/** The value of the latest record by event time; of several, the greatest by `compareValues`. */
export function last<V, X>(of: (value: V) => X): MergingAggregate<V, X, Front<X>, X> {
  return frontmost('last', of, -1);
}

function frontmost<V, X>(kind: string, of: (value: V) => X, direction: 1 | -1): MergingAggregate<V, X, Front<X>, X> {
  checkFunction(kind, of, `${kind}(record => record.field)`);
  const add = (front: Front<X>, value: X, timeMs: number): Front<X> => {
    if (front.length === 0) return [timeMs, value];
    const order = (timeMs - front[0]) * direction;
    if (order > 0 || (order === 0 && compareValues(value, front[1]) * direction >= 0)) return front;
    front[0] = timeMs;
    front[1] = value;
    return front;
  };
  return {
    kind,
    extract: value => kept(of(value), kind),
    init: () => [],
    add,
    merge: (left, right) => (right.length === 0 ? left : add(left, right[1], right[0])),
    result: front => front[1] as X,
  };
}

/**
 * All values in the order of event time, at most `max` (default 1,000): a window with more gives an error instead of a
 * part of the truth.
 */
export function collect<V, X>(
  of: (value: V) => X,
  options?: { readonly max?: number },
): MergingAggregate<V, X, [number, X][], X[]> {
  checkFunction('collect', of, 'collect(record => record.field)');
  checkOptions('collect', options, ['max']);
  const limit = options?.max ?? COLLECT_MAX;
  checkCount('collect: max', limit);
  return {
    kind: 'collect',
    extract: value => kept(of(value), 'collect'),
    init: () => [],
    add(items, value, timeMs) {
      // One more than allowed stays, as the sign of having had too many.
      if (items.length <= limit) items.push([timeMs, value]);
      return items;
    },
    merge(left, right) {
      for (let i = 0; i < right.length && left.length <= limit; i++) left.push(right[i]!);
      return left;
    },
    result(items) {
      if (items.length > limit) throw tooMany('collect', limit);
      return items.toSorted((a, b) => a[0] - b[0] || compareValues(a[1], b[1])).map(item => item[1]);
    },
  };
}

/**
 * How many different values (strings, numbers, booleans, bigints, lists of these). Exact up to `max` of them (default
 * 10,000), beyond which the window gives an error. `{ approximate: true }` has no limit, takes at most 4 KB a key and
 * window, and has a standard error of 1.6 %.
 */
export function countDistinct<V>(
  of: (value: V) => unknown,
  options?: { readonly max?: number; readonly approximate?: false },
): MergingAggregate<V, string, string[], number>;
export function countDistinct<V>(
  of: (value: V) => unknown,
  options: { readonly approximate: true },
): MergingAggregate<V, string, DistinctSketch, number>;
export function countDistinct<V>(
  of: (value: V) => unknown,
  options: { readonly max?: number; readonly approximate?: boolean } = {},
): MergingAggregate<V, string, string[], number> | MergingAggregate<V, string, DistinctSketch, number> {
  checkFunction('countDistinct', of, 'countDistinct(record => record.field)');
  checkOptions('countDistinct', options, ['max', 'approximate']);
  const extract = (value: V): string => {
    const text = encodeKey(of(value));
    if (text === null) throw new MillraceError('RECORD_INVALID', 'countDistinct: the value to count is missing');
    return text;
  };
  if (options.approximate === true) {
    return {
      kind: 'countDistinct-approximate',
      extract,
      init: () => [],
      add: addDistinct,
      merge: mergeDistinct,
      result: distinctResult,
    };
  }
  const limit = options.max ?? DISTINCT_MAX;
  checkCount('countDistinct: max', limit);
  const exact: MergingAggregate<V, string, string[], number> = {
    kind: 'countDistinct',
    extract,
    init: () => [],
    add: (texts, text) => insertText(texts, text, limit),
    merge(left, right) {
      // Each one that is put into a long list moves what is behind it.
      if (right.length > MERGE_FEW) return mergeTexts(left, right, limit);
      for (const text of right) insertText(left, text, limit);
      return left;
    },
    result(texts) {
      if (texts.length > limit) throw tooMany('countDistinct', limit, ', or count with { approximate: true }');
      return texts.length;
    },
  };
  return exact;
}

/**
 * The value below which a share `q` (0…1) of the values lies, with a relative error of at most `accuracy` (default
 * 0.01); the smallest and the largest value are exact.
 */
export function quantile<V>(
  of: (value: V) => number,
  q: number,
  options?: { readonly accuracy?: number },
): MergingAggregate<V, number, QuantileSketch, number> {
  checkFunction('quantile', of, 'quantile(record => record.field, 0.95)');
  checkOptions('quantile', options, ['accuracy']);
  const accuracy = options?.accuracy ?? 0.01;
  if (!(q >= 0 && q <= 1)) throw new MillraceError('INVALID_ARGUMENT', `quantile: q is from 0 to 1, not ${q}`);
  if (!(accuracy >= ACCURACY_MIN && accuracy < 1)) {
    throw new MillraceError(
      'INVALID_ARGUMENT',
      `quantile: accuracy is from ${ACCURACY_MIN} to below 1, not ${accuracy}`,
    );
  }
  const logBase = logGamma(accuracy);
  return {
    kind: 'quantile-' + accuracy,
    extract: value => numberOf(of(value), 'quantile'),
    init: newQuantiles,
    add: (sketch, value) => addQuantile(sketch, value, logBase),
    merge: mergeQuantiles,
    result: sketch => quantileResult(sketch, q, logBase),
  };
}

/** The `n` values with the largest `by`, largest first; of equals, the least by `compareValues` comes first. */
export function topN<V, X>(
  of: (value: V) => X,
  options: { readonly n: number; readonly by: (value: V) => number },
): MergingAggregate<V, [number, X], [number, X][], X[]> {
  checkFunction('topN', of, 'topN(record => record.name, { n: 3, by: record => record.count })');
  checkOptions('topN', options ?? null, ['n', 'by']);
  const { n, by } = options;
  checkCount('topN: n', n);
  checkFunction('topN: by', by, 'by: record => record.count');
  const add = (best: [number, X][], entry: [number, X]): [number, X][] => {
    let place = best.length;
    while (place > 0 && ranks(entry, best[place - 1]!)) place--;
    if (place < n) best.splice(place, 0, entry);
    if (best.length > n) best.pop();
    return best;
  };
  return {
    kind: 'topN-' + n,
    extract: value => [numberOf(by(value), 'topN'), kept(of(value), 'topN')],
    init: () => [],
    add,
    merge: (left, right) => right.reduce(add, left),
    result: best => best.map(entry => entry[1]),
  };
}

function ranks(left: [number, unknown], right: [number, unknown]): boolean {
  return left[0] > right[0] || (left[0] === right[0] && compareValues(left[1], right[1]) < 0);
}

function numberOf(value: unknown, what: string): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  refusePromise(value, what);
  const remedy = typeof value === 'bigint' ? '; give Number(…) of a bigint, the nearest that there is' : '';
  throw new MillraceError('RECORD_INVALID', `${what} takes a finite number, not ${shown(value)}${remedy}`);
}

/** Keeps `texts` sorted and without repeats; one more than `limit` stays, as the sign of having had too many. */
function insertText(texts: string[], text: string, limit: number): string[] {
  let low = 0;
  let high = texts.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (texts[middle]! < text) low = middle + 1;
    else high = middle;
  }
  if (texts[low] !== text && texts.length <= limit) texts.splice(low, 0, text);
  return texts;
}

/** What `insertText` gives of all that is right, in one pass; of more than the limit, one more than that. */
function mergeTexts(left: readonly string[], right: readonly string[], limit: number): string[] {
  const merged: string[] = [];
  let l = 0;
  let r = 0;
  while (merged.length <= limit && (l < left.length || r < right.length)) {
    const isLeft = r === right.length || (l < left.length && left[l]! <= right[r]!);
    if (isLeft && left[l] === right[r]) r++;
    merged.push(isLeft ? left[l++]! : right[r++]!);
  }
  return merged;
}

function tooMany(kind: string, limit: number, remedy = ''): MillraceError {
  return new MillraceError(
    'LIMIT_REACHED',
    `${kind}: one key and window has more than ${kind}.max (${limit}) values; raise it${remedy}`,
  );
}
