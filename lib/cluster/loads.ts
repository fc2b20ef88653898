/**
 * How much each part is to do beside the others, from what it has counted: records a second, as an average that forgets with
 * a time constant of a minute, so that work does not move after every gust. The mean of all parts of a pipeline is 1; a part
 * of which nothing is known yet, and every part of a pipeline in which nothing flows, is 1.
 */
import type { PartKey } from './placement.ts';

const MEMORY_MS = 60_000;

interface Seen {
  readonly records: number;
  readonly atMs: number;
  /** Records a second; null: it was seen once. */
  readonly rate: number | null;
}

export class Loads {
  #seen = new Map<PartKey, Seen>();

  /**
   * What parts say that they have taken in since they first ran. One that is not among them is forgotten; one that says less
   * than before has another owner, who has not read it back yet.
   */
  take(records: ReadonlyMap<PartKey, number>, nowMs: number): void {
    const seen = new Map<PartKey, Seen>();
    for (const [key, count] of records) {
      const before = this.#seen.get(key);
      if (before === undefined || count < before.records) {
        seen.set(key, { records: count, atMs: nowMs, rate: before?.rate ?? null });
      } else if (nowMs > before.atMs) {
        const passedMs = nowMs - before.atMs;
        const now = ((count - before.records) * 1_000) / passedMs;
        const weight = before.rate === null ? 1 : 1 - Math.exp(-passedMs / MEMORY_MS);
        seen.set(key, { records: count, atMs: nowMs, rate: (before.rate ?? 0) + (now - (before.rate ?? 0)) * weight });
      } else seen.set(key, before);
    }
    this.#seen = seen;
  }

  /** By part, for all of one pipeline that are of one kind. */
  of(keys: readonly PartKey[]): Map<PartKey, number> {
    const rates = keys.map(key => this.#seen.get(key)?.rate ?? null);
    const known = rates.filter(rate => rate !== null);
    const mean = known.reduce((sum, rate) => sum + rate, 0) / known.length;
    const loadOf = (rate: number | null) => (rate === null || !(mean > 0) ? 1 : rate / mean);
    return new Map(keys.map((key, i) => [key, loadOf(rates[i]!)]));
  }
}
