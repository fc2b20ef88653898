/**
 * The last events, remembered for those who come later, and each new one for those who follow. An observer like any
 * other; debug events pass it by unless somebody follows, and are not remembered, since they would push out the rest.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { Event, Observer } from './events.ts';

export interface SeenEvent {
  /** Ms since 1970. */
  readonly atMs: number;
  readonly event: Event;
}

/** Events that are remembered. */
export const EVENTS_MAX = 1_000;

export class EventMemory implements Observer {
  /** Names this memory: in another process numbers begin anew. */
  readonly id = randomUUID();
  readonly #clock: Clock;
  /** So many have been remembered, those that are forgotten by now too. */
  #total = 0;
  #seen: SeenEvent[] = [];
  readonly #followers = new Set<(event: SeenEvent) => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  emit(event: Event): void {
    const isDebug = event.level === 'debug';
    if (isDebug && this.#followers.size === 0) return;
    const seen = { atMs: this.#clock.now(), event };
    if (!isDebug) {
      // In lots, so that an event costs a push.
      if (this.#seen.length >= 2 * EVENTS_MAX) this.#seen = this.#seen.slice(-EVENTS_MAX);
      this.#seen.push(seen);
      this.#total++;
    }
    for (const follower of [...this.#followers]) follower(seen);
  }

  /** The last `count` events of level info and above, oldest first. */
  past({ count }: { count: number }): readonly SeenEvent[] {
    const wanted = Math.min(count, EVENTS_MAX);
    return wanted <= 0 ? [] : this.#seen.slice(-wanted);
  }

  /** Those that came after the first `total` that were remembered, oldest first; `missed`: so many are forgotten. */
  since(total: number): { readonly events: readonly SeenEvent[]; readonly total: number; readonly missed: number } {
    const news = Math.max(0, this.#total - total);
    const events = this.past({ count: news });
    return { events, total: this.#total, missed: news - events.length };
  }

  /** Calls back with each event from now on, debug included, until the returned function is called. */
  follow(follower: (event: SeenEvent) => void): () => void {
    // One function may follow twice.
    const one = (event: SeenEvent) => follower(event);
    this.#followers.add(one);
    return () => {
      this.#followers.delete(one);
    };
  }
}
