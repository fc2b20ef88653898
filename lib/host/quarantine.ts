/**
 * Quarantine: which pipelines run in a thread of their own, since their functions have done harm to others that ran beside
 * them: one did not return, ended its thread, took all its memory, or holds it for long again and again. Decisions alone: the
 * clock is passed in, and `engines.ts` performs them.
 *
 * Who has gone on for a while without doing so again may come back; each time that turns out wrong the while doubles. What
 * was learned is of the code: another bundle begins anew.
 */

/** So many calls that hold their thread for long, and it is not by chance. */
const SLOW_CALLS = 2;
/** Within such a time of each other, ms. */
const SLOW_WITHIN_MS = 60_000;
/** What it takes to come back the first time, ms. */
export const TERM_MS = 10 * 60_000;
const TERM_MS_MAX = 24 * 3_600_000;

interface Known {
  readonly bundle: string;
  /** Null: it is among others. */
  why: string | null;
  /** When it last did harm. */
  sinceMs: number;
  /** What it had taken in by then; null: not known yet. */
  records: number | null;
  termMs: number;
  /** When a call of it last held its thread for long; null: none did since it was suspected. */
  slowMs: number | null;
  slowCalls: number;
}

export class Quarantine {
  readonly #known = new Map<string, Known>();

  /** Why a pipeline is to run in a thread of its own; null: it is not. */
  why(pipeline: string): string | null {
    return this.#known.get(pipeline)?.why ?? null;
  }

  /** The pipeline is started with this code. */
  started(pipeline: string, bundle: string): void {
    if (this.#known.get(pipeline)?.bundle === bundle) return;
    this.#known.set(pipeline, {
      ...{ bundle, why: null, sinceMs: 0, records: null },
      ...{ termMs: TERM_MS / 2, slowMs: null, slowCalls: 0 },
    });
  }

  /** It has done harm. True: it was among others until now. */
  suspect(pipeline: string, why: string, nowMs: number): boolean {
    const known = this.#known.get(pipeline);
    if (known === undefined) return false;
    const isNew = known.why === null;
    known.sinceMs = nowMs;
    known.records = null;
    known.slowMs = null;
    known.slowCalls = 0;
    if (isNew) {
      known.why = why;
      known.termMs = Math.min(TERM_MS_MAX, 2 * known.termMs);
    }
    return isNew;
  }

  /** A call of it holds its thread for long. True: as has happened before. */
  isSlow(pipeline: string, nowMs: number): boolean {
    const known = this.#known.get(pipeline);
    if (known === undefined) return false;
    const isAgain = known.slowMs !== null && nowMs - known.slowMs <= SLOW_WITHIN_MS;
    known.slowMs = nowMs;
    known.slowCalls = isAgain ? known.slowCalls + 1 : 1;
    return known.slowCalls >= SLOW_CALLS;
  }

  /** What it has taken in by now. True: it has gone on for long enough, and is among others again. */
  hasRecovered(pipeline: string, records: number, nowMs: number): boolean {
    const known = this.#known.get(pipeline);
    if (known === undefined || known.why === null) return false;
    known.records ??= records;
    if (records <= known.records || nowMs - known.sinceMs < known.termMs) return false;
    known.why = null;
    return true;
  }
}
