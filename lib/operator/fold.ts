/**
 * The fold: a window's aggregates as one. A *row* is their accumulators, in order; it is what windows keep per key.
 *
 * A record enters in two steps. `extract` runs the user's functions; `add` puts what they gave into rows. Aggregates
 * whose `add` or `merge` is the user's own (`risky`) go first and on copies where more than one of them runs, so that
 * one that throws leaves every row as it was.
 *
 * `count`, `min` and `max` enter a row here, without a call: most folds are made of them, and three functions called at
 * one place are never inlined there. A row of nothing but numbers, one of them no small integer, is kept by V8 as
 * doubles; then such a record allocates nothing.
 */
import { addMayThrow } from './aggregates.ts';
import { copyValue, type Tally } from './copy.ts';
import { checkData } from './kept.ts';
import type { AggregateSpec } from './spec.ts';

export type Row = unknown[];

/** What is known of how an aggregate adds. */
const ANY = 0;
const COUNT = 1;
const MIN = 2;
const MAX = 3;
type Way = typeof ANY | typeof COUNT | typeof MIN | typeof MAX;
const WAYS: Readonly<Record<string, Way>> = { count: COUNT, min: MIN, max: MAX };

/** Whether rows can be put together: for sessions and panes. */
export function mergesAll(aggregates: readonly AggregateSpec[]): boolean {
  return aggregates.every(aggregate => aggregate.merge !== undefined);
}

export class Fold {
  #aggregates: readonly AggregateSpec[];
  #risky: readonly number[];
  #safe: readonly number[];
  #ways: readonly Way[];
  /** What was extracted from the record in hand, by aggregate: what `min` and `max` compare, and what others take. */
  #numbers: Float64Array;
  #extracted: unknown[];
  readonly #copied: Tally = { values: 0 };
  readonly #worked: (values: number) => void;

  /** @param worked is told how much of accumulators was copied: grown ones are the work that nothing else shows */
  constructor(aggregates: readonly AggregateSpec[], worked: (values: number) => void = () => {}) {
    this.#worked = worked;
    const places = aggregates.map((_aggregate, i) => i);
    this.#aggregates = aggregates;
    this.#risky = places.filter(i => addMayThrow(aggregates[i]!));
    this.#safe = places.filter(i => !addMayThrow(aggregates[i]!));
    this.#ways = aggregates.map(({ kind }) => WAYS[kind] ?? ANY);
    this.#numbers = new Float64Array(aggregates.length);
    this.#extracted = aggregates.map(() => undefined);
  }

  /** Takes from a record what the aggregates want. Throws what user code throws. */
  extract(value: unknown): void {
    const aggregates = this.#aggregates;
    for (let i = 0; i < aggregates.length; i++) {
      const way = this.#ways[i]!;
      if (way === ANY) this.#extracted[i] = aggregates[i]!.extract(value);
      else if (way !== COUNT) this.#numbers[i] = aggregates[i]!.extract(value) as number;
    }
  }

  start(): Row {
    return this.#aggregates.map(aggregate => aggregate.init());
  }

  /** Adds what was extracted last to one row. Throws what user code throws, and has then changed nothing. */
  add(row: Row, timeMs: number): void {
    if (this.#risky.length > 0) this.#addRisky([row], timeMs);
    this.#addSafe(row, timeMs);
  }

  /** `add` for several rows: all or none. */
  addAll(rows: readonly Row[], timeMs: number): void {
    if (this.#risky.length > 0) this.#addRisky(rows, timeMs);
    for (let i = 0; i < rows.length; i++) this.#addSafe(rows[i]!, timeMs);
  }

  #addSafe(row: Row, timeMs: number): void {
    const safe = this.#safe;
    for (let s = 0; s < safe.length; s++) {
      const i = safe[s]!;
      switch (this.#ways[i]!) {
        case COUNT:
          row[i] = (row[i] as number) + 1;
          break;
        case MIN:
          row[i] = Math.min(row[i] as number, this.#numbers[i]!);
          break;
        case MAX:
          row[i] = Math.max(row[i] as number, this.#numbers[i]!);
          break;
        default:
          row[i] = this.#aggregates[i]!.add(row[i], this.#extracted[i], timeMs);
      }
    }
  }

  #addRisky(rows: readonly Row[], timeMs: number): void {
    const isAlone = rows.length * this.#risky.length === 1;
    const added: unknown[] = [];
    for (const row of rows) {
      for (const i of this.#risky) {
        const accumulator = isAlone ? row[i] : copyValue(row[i], this.#copied);
        const next = this.#aggregates[i]!.add(accumulator, this.#extracted[i], timeMs);
        // One that was changed in place is not looked through at every record: as long as it grows, that would be dear.
        if (next !== accumulator) checkData(next);
        added.push(next);
      }
    }
    let at = 0;
    for (const row of rows) for (const i of this.#risky) row[i] = added[at++];
    this.#tell();
  }

  /** Merges rows into `into`, which is thrown away if user code throws; the rows stay as they are. */
  mergeInto(into: Row, rows: readonly Row[]): void {
    for (const i of this.#risky) {
      for (const row of rows) into[i] = this.#aggregates[i]!.merge!(into[i], copyValue(row[i], this.#copied));
    }
    this.#tell();
    for (const i of this.#safe) {
      for (const row of rows) into[i] = this.#aggregates[i]!.merge!(into[i], row[i]);
    }
  }

  /**
   * A row of its own with what a fresh one and several others hold. A large one takes in the small ones rather than the other
   * way round, or a session that grows from its left would be copied at every step. The user's own accumulators are merged
   * first, where one that throws leaves all as they were; the others cannot fail.
   */
  joined(fresh: Row, rows: readonly Row[]): Row {
    const row = [...fresh];
    for (const i of this.#risky) row[i] = this.#joinedRisky(i, fresh, rows);
    for (const i of this.#safe) {
      const { merge } = this.#aggregates[i]!;
      let largest = fresh;
      for (const one of rows) if (extent(one[i]) > extent(largest[i])) largest = one;
      let merged = largest[i];
      if (largest !== fresh) merged = merge!(merged, fresh[i]);
      for (const one of rows) if (one !== largest) merged = merge!(merged, one[i]);
      row[i] = merged;
    }
    this.#tell();
    return row;
  }

  #joinedRisky(i: number, fresh: Row, rows: readonly Row[]): unknown {
    const { merge } = this.#aggregates[i]!;
    let merged = fresh[i];
    for (const one of rows) merged = merge!(merged, copyValue(one[i], this.#copied));
    return merged;
  }

  #tell(): void {
    if (this.#copied.values === 0) return;
    this.#worked(this.#copied.values);
    this.#copied.values = 0;
  }

  /** A row's results. Throws what user code throws, and LIMIT_REACHED. */
  results(row: Row): unknown[] {
    // What the user gets back may be the accumulator itself, and the next record may change that in place.
    const given =
      this.#risky.length === 0
        ? row
        : row.map((one, i) => (this.#risky.includes(i) ? copyValue(one, this.#copied) : one));
    this.#tell();
    return this.#aggregates.map((aggregate, i) => aggregate.result(given[i]));
  }
}

/** How much an accumulator holds, as far as that is known at once: lists grow with their records, most others do not. */
function extent(accumulator: unknown): number {
  return Array.isArray(accumulator) ? accumulator.length : 1;
}
