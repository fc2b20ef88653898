/**
 * Doubts about a quiet consumer: one that was paused, or given other subjects, sends heartbeats and delivers nothing. Owns
 * when to ask the stream itself, and what is known of its rest; says so when something waits there from one doubt to the
 * next.
 */
import { systemClock } from '../base/clock.ts';
import type { NatsLink } from './connection.ts';
import { infoOf, isUnread, LOOK_PATIENCE_MS } from './questions.ts';

/** How long heartbeats that say there is nothing to deliver are believed. */
const DOUBT_MS = 4_000;

interface DoubtOptions {
  readonly stream: string;
  readonly subjects: readonly string[] | null;
  /** The stream has something at or beyond this sequence, and nothing came. */
  starved(position: number): void;
}

export class QuietDoubt {
  readonly #link: NatsLink;
  readonly #options: DoubtOptions;
  #doubtedMs = systemClock.monotonic();
  #isAsking = false;
  /** Where the reader was when the stream had more for it; 0: it had not. */
  #unreadAt = 0;
  /** Nothing that matches lies between the reader and this sequence. */
  #emptyTo = 0;

  constructor(link: NatsLink, options: DoubtOptions) {
    this.#link = link;
    this.#options = options;
  }

  /** @param position the next sequence that has not arrived. */
  async look(position: number): Promise<void> {
    const nowMs = systemClock.monotonic();
    // Where a doubt found something the next heartbeat decides.
    const isEarly = this.#unreadAt === 0 && nowMs - this.#doubtedMs < DOUBT_MS;
    if (this.#isAsking || isEarly) return;
    this.#doubtedMs = nowMs;
    this.#isAsking = true;
    const { stream, subjects, starved } = this.#options;
    try {
      const { last_seq: to } = (await infoOf(this.#link, stream, LOOK_PATIENCE_MS)).state;
      const from = Math.max(position, this.#emptyTo);
      const isLeft = from <= to && (await isUnread(this.#link, stream, { subjects, from, to }));
      if (!isLeft) this.#emptyTo = Math.max(this.#emptyTo, to + 1);
      const isStarved = isLeft && this.#unreadAt === position;
      this.#unreadAt = isLeft && !isStarved ? position : 0;
      if (isStarved) starved(position);
    } catch {
      // Whoever opens the reader, or looks, says what is wrong; the next heartbeat is doubted as well.
    } finally {
      this.#isAsking = false;
    }
  }
}
