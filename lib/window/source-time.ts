/**
 * How far event time is on one source. Pure: every clock in it is the broker's, and is passed in.
 *
 * A place in time is three numbers, which belong to a position in the stream and travel with it, so that whoever resumes
 * there goes on as if nothing had happened, and counts nothing twice.
 *
 * S1. *A record* says: nothing older than it, less `maxOutOfOrder`, is expected. It says no more than that for the moment
 *     of its publication: event time cannot be complete beyond the present, so a plan for tomorrow, or one record whose
 *     clock is 59 minutes ahead, makes nobody late. The bound is each record's own. If it were the last publication's, a
 *     record from the future would count in full as soon as the clock had come near it.
 * S2. *Quiet* goes on at the pace of the clock, `idleAfter` behind it: what is said next is in time as long as its delay
 *     has not grown by more than `idleAfter`. Nothing is skipped when a source falls quiet, and nothing when it speaks.
 * S3. Quiet is known from two things alone, both of the broker: the publication of the next message, and an answer that
 *     as of some clock nothing was left to read. Either stays true for ever, however late one looks at it. So a replay
 *     ends where the live run did, message by message, and no freeze, cut or slow worker can make time of its own.
 * S4. What the sender says of itself holds as it stands: a heartbeat, which may be ahead of the clock, for it is said on
 *     purpose; and `maxDelay`, the author's word for how late it publishes.
 * S5. It never goes back.
 */
import { END_MS, NO_WATERMARK } from './watermark.ts';

export interface SourcePlaceInTime {
  /** Event time up to which the source is complete, ms since 1970; -Infinity: it has not spoken. */
  readonly watermarkMs: number;
  /** Broker's clock up to which everything that was published is counted, ms since 1970; -Infinity: not known. */
  readonly clockMs: number;
  /** How long before that its last message was published; Infinity: it never had one. */
  readonly quietMs: number;
}

export const NO_TIME: SourcePlaceInTime = {
  watermarkMs: NO_WATERMARK,
  clockMs: Number.NEGATIVE_INFINITY,
  quietMs: Number.POSITIVE_INFINITY,
};

export interface SourceTimeRules {
  readonly maxOutOfOrderMs: number;
  readonly idleAfterMs: number;
  /** No record is published later than this after its event time; null: nobody knows. */
  readonly maxDelayMs: number | null;
}

export class SourceTime implements SourcePlaceInTime {
  watermarkMs: number;
  clockMs: number;
  quietMs: number;
  #maxOutOfOrderMs: number;
  #idleAfterMs: number;
  #maxDelayMs: number | null;

  constructor(rules: SourceTimeRules, place: SourcePlaceInTime) {
    this.#maxOutOfOrderMs = rules.maxOutOfOrderMs;
    this.#idleAfterMs = rules.idleAfterMs;
    this.#maxDelayMs = rules.maxDelayMs;
    this.watermarkMs = place.watermarkMs;
    this.clockMs = place.clockMs;
    this.quietMs = place.quietMs;
  }

  /** A message of this source was published then, whatever is in it. */
  published(atMs: number): void {
    if (atMs > this.clockMs) this.#goTo(atMs);
    this.quietMs = 0;
  }

  /** A record was published then. */
  record(timeMs: number, publishedMs: number): void {
    this.published(publishedMs);
    const completeMs = Math.min(timeMs, publishedMs) - this.#maxOutOfOrderMs;
    if (completeMs > this.watermarkMs) this.watermarkMs = completeMs;
  }

  /** The sender says so itself. Not beyond `END_MS`. */
  complete(timeMs: number): void {
    if (timeMs > this.watermarkMs) this.watermarkMs = timeMs;
  }

  /** Everything that was published until then has been told. */
  looked(clockMs: number): void {
    if (clockMs > this.clockMs) this.#goTo(clockMs);
  }

  #goTo(clockMs: number): void {
    const passedMs = clockMs - this.clockMs;
    if (this.watermarkMs !== NO_WATERMARK && passedMs < Number.POSITIVE_INFINITY) {
      const restMs = Math.max(0, this.#idleAfterMs - this.quietMs);
      if (passedMs > restMs) this.watermarkMs = Math.min(END_MS, this.watermarkMs + passedMs - restMs);
    }
    this.clockMs = clockMs;
    if (this.quietMs < Number.POSITIVE_INFINITY) this.quietMs += passedMs;
    if (this.#maxDelayMs !== null) this.complete(clockMs - this.#maxDelayMs);
  }
}
