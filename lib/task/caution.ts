/**
 * Caution: how a part is careful, as the breaker has it: begins last, says what it takes in hand before it does and in its turn,
 * and tells people. What is durable of it the part itself says and reads (*in hand*, `journal/attempts.ts`).
 */
import { sleep } from '../base/clock.ts';
import type { MillraceError } from '../base/errors.ts';
import type { Attempts, Hand } from '../journal/attempts.ts';
import { type Breaker, carefulText, deadly } from './breaker.ts';
import type { Surroundings } from './surroundings.ts';

/** A part that is careful lets all others of its worker begin before it: who is at fault and does not know it yet, ends first. */
const LAST_MS = 1000;
/** A part that has lived for so long and found nothing to read has not failed. */
const WELL_MS = 1000;

export class Caution {
  readonly breaker: Breaker;
  #about: { readonly pipeline: string; readonly part: string };
  #around: Pick<Surroundings, 'clock' | 'observer' | 'inHand'>;
  #say: (hand: Hand | null) => Promise<void>;
  /** When the part began to run, monotonic. */
  #sinceMs = Number.POSITIVE_INFINITY;

  /** @param options.say makes it durable; null: nothing is in hand, and all is well */
  constructor(options: {
    breaker: Breaker;
    about: { readonly pipeline: string; readonly part: string };
    around: Pick<Surroundings, 'clock' | 'observer' | 'inHand'>;
    say(hand: Hand | null): Promise<void>;
  }) {
    this.breaker = options.breaker;
    this.#about = options.about;
    this.#around = options.around;
    this.#say = options.say;
  }

  get isCareful(): boolean {
    return this.breaker.isCareful;
  }

  /** The part has claimed what it writes to. Resolves when it may run. */
  async begin(attempts: Attempts): Promise<void> {
    const { clock, observer } = this.#around;
    this.breaker.begin(attempts);
    const { starts, isCareful } = this.breaker;
    if (isCareful) {
      observer.emit({ event: 'part.careful', level: 'warn', ...this.#about, starts, message: carefulText(starts) });
      await sleep(clock, LAST_MS);
    }
    this.#sinceMs = clock.monotonic();
  }

  /** It has run for a while and there was nothing to read: so it was no record that ended the ones before it. */
  isWell({ hasRead }: { readonly hasRead: boolean }): boolean {
    if (hasRead || !this.breaker.isDoubted) return false;
    return this.#around.clock.monotonic() - this.#sinceMs >= WELL_MS;
  }

  async sayWell(): Promise<void> {
    this.breaker.relax();
    await this.#say(null);
  }

  /**
   * Has `work` done with what is at `place`, having said so before. It is told that nobody lives through it, and that it was
   * not said again; and it resolves when all is durable that was made.
   */
  async hold(
    place: string,
    { records, work }: { readonly records: boolean; work(isDeadly: boolean): Promise<void> },
  ): Promise<void> {
    const end = await this.#around.inHand.take();
    try {
      const hand = this.breaker.take(place);
      if (hand !== null) await this.#say(hand);
      await work(hand === null);
      this.breaker.survived({ records });
      if (!this.breaker.isCareful) await this.#say(null);
    } finally {
      end();
    }
  }

  /** The record at `sequence` is given to nobody any more: why. */
  deadly(what: string, { input, sequence }: { readonly input: string; readonly sequence: number }): MillraceError {
    const why = deadly(what);
    const place = { input, sequence, message: why.message };
    this.#around.observer.emit({ event: 'record.deadly', level: 'error', ...this.#about, ...place });
    return why;
  }
}
