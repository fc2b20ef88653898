/**
 * The driver's clock: stands still until it is told to go on. Without a start of its own it begins with the first
 * message, since events of a test are of the day that its author had in mind.
 */
import type { Clock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';

const WAITS = 'nothing in the test driver waits for a timer';

export class TestClock implements Clock {
  #startMs: number;
  #begun: boolean;
  #elapsedMs = 0;

  /** @param startMs ms since 1970; null: the first message says */
  constructor(startMs: number | null) {
    this.#startMs = startMs ?? 0;
    this.#begun = startMs !== null;
  }

  now(): number {
    return this.#startMs + this.#elapsedMs;
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  /** A message was published at this moment: if it is the first, so late is it. */
  begin(timeMs: number): void {
    if (this.#begun) return;
    this.#begun = true;
    this.#startMs = timeMs - this.#elapsedMs;
  }

  /** @param elapsedMs as `monotonic` counts; not before it */
  goTo(elapsedMs: number): void {
    this.#begun = true;
    this.#elapsedMs = elapsedMs;
  }

  after(): () => void {
    throw new MillraceError('INVARIANT', WAITS);
  }

  soon(): void {
    throw new MillraceError('INVARIANT', WAITS);
  }
}
