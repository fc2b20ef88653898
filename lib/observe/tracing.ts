/**
 * Spans of what happens to traced records: one for each commit that read some, and one for each time that a commit's
 * results for a sink are sent. Told after the fact, with times; where nobody traces there is no `Tracing` at all, so
 * nothing is called. `otlp.ts` has the one that exports.
 */
interface Traced {
  readonly pipeline: string;
  readonly stage: string;
  readonly partition: number;
  readonly commit: number;
  /** Wall clock, ms since 1970. */
  readonly startMs: number;
  readonly endMs: number;
  /** Trace contexts (`record/trace.ts`) of the records, at most `LINKS_MAX`. */
  readonly traces: readonly string[];
  readonly records: number;
}

/** A batch, from its first traced record until its commit has landed. */
export type TracedBatch = Traced;

/** Results of a commit, from when it had landed until they are acknowledged. */
export interface TracedResults extends Traced {
  /** Subject template of the sink. */
  readonly destination: string;
}

export interface Tracing {
  processed(batch: TracedBatch): void;
  sent(results: TracedResults): void;
}

/** How many records a span points to. */
export const LINKS_MAX = 128;

/** Collects the traces of a batch, each once, up to a bound. */
export class TraceCollector {
  #traces = new Set<string>();
  #sinceMs = 0;
  #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(trace: string): void {
    if (this.#traces.size === 0) this.#sinceMs = this.#now();
    if (this.#traces.size < LINKS_MAX) this.#traces.add(trace);
  }

  /** What was collected since the last time; null: nothing. */
  take(): { readonly traces: readonly string[]; readonly sinceMs: number } | null {
    if (this.#traces.size === 0) return null;
    const traces = [...this.#traces];
    this.#traces = new Set();
    return { traces, sinceMs: this.#sinceMs };
  }
}

/** The traces of some rows, each once, up to the bound. */
export function distinctTraces(traces: readonly (string | null | undefined)[] | undefined): string[] {
  const found = new Set<string>();
  for (const trace of traces ?? []) {
    if (trace !== null && trace !== undefined) found.add(trace);
    if (found.size === LINKS_MAX) break;
  }
  return [...found];
}
