/**
 * What may go wrong between a client and the broker in memory. Chosen per history by the simulator; every one of these
 * has been seen on a real broker.
 */
export type Span = readonly [leastMs: number, mostMs: number];

/** Probabilities are per append, question or wake-up; what is absent never happens. */
export interface MemoryFaults {
  /** On the way to the broker, and on the way back. */
  readonly delayMs?: Span;
  /** Until a client gives up on an answer. Default `UNSURE_MS`. */
  readonly unsureMs?: Span;
  /** Landed, but the client never hears of it. */
  readonly lostAck?: number;
  /** Did not land, and the client does not know. */
  readonly notLanded?: number;
  /** The client gives up first; it lands up to `lateMs` later, if its fences still hold. */
  readonly lateLanding?: number;
  /** Default `LATE_MS`. */
  readonly lateMs?: number;
  /** An atomic batch whose fences hold is stored up to some message of it, and there is no answer: the store was full. */
  readonly prefixBatch?: number;
  /** A question is not answered: BROKER_UNAVAILABLE. */
  readonly questionFails?: number;
  /** `last` shows the message before the last: a leader that was just deposed. */
  readonly staleLast?: number;
  /** A look shows the stream as it was so long ago: the same leader's. */
  readonly staleLookMs?: Span;
  /** Until a reader sees what is new. */
  readonly readDelayMs?: Span;
  /** A reader sees only a part of what is new, the rest later. */
  readonly partialRead?: number;
  /** A reader is woken although nothing is new. */
  readonly idleWake?: number;
}

export const UNSURE_MS: Span = [50, 500];
export const LATE_MS = 5_000;
