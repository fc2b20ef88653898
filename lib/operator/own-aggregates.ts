/**
 * Aggregates of the author's own: `reduce` and `aggregate`. Unlike the others' (*adding never throws*, `aggregates.ts`)
 * their `add` and `merge` may throw, and they are as orderly as the author's functions. A fold that begins with a value
 * of its own and one that begins with the first record keep state of two forms, so they are of two kinds.
 */
import { checkFunction, checkOptions } from '../base/given.ts';
import type { MergingAggregate } from './aggregates.ts';
import type { AggregateSpec } from './spec.ts';
import { synchronous } from './user-code.ts';

/**
 * Folds records into one value. Without `initial` the first record is where it starts, and `by` must be associative
 * (windows may fold parts and then the parts) and should not care for order. With it, the fold goes in the order of
 * arrival and cannot be used for sessions.
 */
export function reduce<V>(by: (left: V, right: V) => V): MergingAggregate<V, NoInfer<V>, [] | [NoInfer<V>], NoInfer<V>>;
export function reduce<V, A>(by: (accumulator: A, value: V) => A, initial: A): AggregateSpec<V, NoInfer<V>, A, A>;
export function reduce<V, A>(
  by: ((left: V, right: V) => V) & ((accumulator: A, value: V) => A),
  ...rest: [] | [A]
): MergingAggregate<V, V, [] | [V], V> | AggregateSpec<V, V, A, A> {
  checkFunction('reduce', by, 'reduce((left, right) => …)');
  return rest.length === 0 ? foldPairs<V>(by) : foldFrom<V, A>(by, rest[0]);
}

function foldFrom<V, A>(by: (accumulator: A, value: V) => A, initial: A): AggregateSpec<V, V, A, A> {
  return foldBy<V, A, A>('reduce-from', { init: () => structuredClone(initial), add: by });
}

function foldPairs<V>(by: (left: V, right: V) => V): MergingAggregate<V, V, [] | [V], V> {
  const add = (folded: [] | [V], value: V): [V] =>
    folded.length === 0 ? [value] : [synchronous(by(folded[0], value), 'reduce')];
  return {
    kind: 'reduce',
    extract: value => value,
    init: () => [],
    add,
    merge: (left, right) => (right.length === 0 ? left : add(left, right[0])),
    result: folded => folded[0] as V,
  };
}

/** What `aggregate` is made of. */
export interface AggregateParts<V, A, R> {
  /** The accumulator of no records. */
  init(): A;
  /** The accumulator with one more record. `timeMs`: its event time. */
  add(accumulator: A, value: V, timeMs: number): A;
  /** Two accumulators as one. */
  merge?(left: A, right: A): A;
  /** What the row gets; without it, the accumulator itself. */
  result?(accumulator: A): R;
}

/**
 * An aggregate of the user's own. `add` and `merge` return the new accumulator; they may change the old one (`merge`:
 * the left), but not if they throw. Without `merge` it cannot be used for sessions.
 */
export function aggregate<V, A, R = A>(parts: AggregateParts<V, A, R>): AggregateSpec<V, NoInfer<V>, A, R> {
  checkOptions('aggregate', parts ?? null, ['init', 'add', 'merge', 'result']);
  for (const name of ['init', 'add', 'merge', 'result'] as const) {
    if (parts[name] !== undefined || name === 'init' || name === 'add')
      checkFunction(`aggregate: ${name}`, parts[name], `${name}(…) { return … }`);
  }
  return foldBy('aggregate', parts);
}

function foldBy<V, A, R>(kind: string, parts: AggregateParts<V, A, R>): AggregateSpec<V, V, A, R> {
  const { merge, result } = parts;
  return {
    kind,
    extract: value => value,
    init: () => parts.init(),
    add: (accumulator, value, timeMs) => synchronous(parts.add(accumulator, value, timeMs), 'aggregate: add'),
    ...(merge === undefined
      ? {}
      : { merge: (left: A, right: A) => synchronous(merge.call(parts, left, right), 'aggregate: merge') }),
    result: accumulator =>
      synchronous(
        result === undefined ? (accumulator as unknown as R) : result.call(parts, accumulator),
        'aggregate: result',
      ),
  };
}
