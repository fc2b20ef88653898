/**
 * Looks: when a source asks the broker where its stream ends, and when the answer may be believed. An answer speaks of a
 * moment; it counts once everything before that end has been passed on, and then it is as true as on that moment.
 *
 * The local clock only decides when to ask. It has no part in what is known: a process that was frozen, or cut off, would
 * otherwise take its own absence for silence.
 */
import type { Clock } from '../base/clock.ts';
import type { LogReader, StreamLook } from '../port/log.ts';

const EVERY_MS = 500;
/** A source that is to be quiet sooner looks sooner. */
const EVERY_MIN_MS = 50;

export class Looks {
  #clock: Clock;
  #everyMs: number;
  /** When something last came, or was asked. */
  #stirredMs = Number.NEGATIVE_INFINITY;
  #isAsking = false;
  #answer: StreamLook | null = null;

  constructor({ clock, idleAfterMs }: { clock: Clock; idleAfterMs: number }) {
    this.#clock = clock;
    this.#everyMs = Math.max(EVERY_MIN_MS, Math.min(EVERY_MS, idleAfterMs / 4));
  }

  /** Something came: the source is not quiet, and need not ask for a while. */
  stir(): void {
    this.#stirredMs = this.#clock.monotonic();
  }

  /** Asks, if it is time to, or `atOnce`. `onAnswer` is called when there is an answer to be taken. */
  ask(reader: LogReader, { onAnswer, atOnce }: { onAnswer: () => void; atOnce: boolean }): void {
    if (this.#isAsking || this.#answer !== null) return;
    const nowMs = this.#clock.monotonic();
    if (!atOnce && nowMs - this.#stirredMs < this.#everyMs) return;
    this.#stirredMs = nowMs;
    this.#isAsking = true;
    reader.look().then(
      answer => {
        this.#isAsking = false;
        this.#answer = answer;
        if (answer !== null) onAnswer();
      },
      () => {
        // A reader that cannot look any more says why by its `error`.
        this.#isAsking = false;
      },
    );
  }

  /** An answer that nobody had to ask for. */
  answer(answer: StreamLook): void {
    this.#answer = answer;
  }

  /** The answer, if all of the stream up to its end has been passed on: `restFrom` is the first sequence that has not. */
  take(restFrom: number): StreamLook | null {
    const answer = this.#answer;
    if (answer === null || restFrom <= answer.lastSeq) return null;
    this.#answer = null;
    return answer;
  }
}
