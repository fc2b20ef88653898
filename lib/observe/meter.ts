/**
 * The meter of one pipeline: what its readers and tasks count while they work. A call a batch, a poll or a commit, never
 * a call a record. Counts belong to the pipeline's name, not to the object that counts, so they only grow while the
 * process lives, whatever is started again in it. `metrics.ts` has the meter that Prometheus reads.
 */
export interface Meter {
  /** A poll of a source has passed on so much. */
  read(source: string, more: { readonly records: number; readonly bytes: number }): void;
  /** So many results for a sink are in its stream. */
  sent(sink: string, more: { readonly records: number; readonly bytes: number }): void;
  /** A commit has landed, `tookMs` after it was sent. */
  committed(task: { readonly stage: string; readonly partition: number }, tookMs: number): void;
  /** All results of a commit are out, `tookMs` after its oldest source message was published. */
  delivered(stage: string, tookMs: number): void;
  /** More records have ended without a result. */
  ended(more: Ends): void;
  /** A reader or task is started again. */
  restarted(part: 'reader' | 'task'): void;
}

/** Records that ended without a result. */
export interface Ends {
  readonly late: number;
  readonly dead: number;
  /** By reason. */
  readonly dropped: ReadonlyMap<string, number>;
}

/** For tests and where nobody looks. */
export const noMeter: Meter = { read() {}, sent() {}, committed() {}, delivered() {}, ended() {}, restarted() {} };

/** Tells a meter what has been added to sums that only grow. */
export class EndsReporter {
  #meter: Meter;
  #told = { late: 0, dead: 0, dropped: new Map<string, number>(), sum: 0 };

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  report(sums: Ends): void {
    let sum = sums.late + sums.dead;
    for (const count of sums.dropped.values()) sum += count;
    const told = this.#told;
    if (sum === told.sum) return;
    const dropped = new Map<string, number>();
    for (const [reason, count] of sums.dropped) {
      const more = count - (told.dropped.get(reason) ?? 0);
      if (more > 0) dropped.set(reason, more);
    }
    this.#meter.ended({ late: sums.late - told.late, dead: sums.dead - told.dead, dropped });
    this.#told = { late: sums.late, dead: sums.dead, dropped: new Map(sums.dropped), sum };
  }
}
