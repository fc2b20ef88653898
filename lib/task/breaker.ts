/**
 * The breaker: what a part does about starts that came to nothing. It decides, by what is durable of them (*in hand*,
 * `journal/attempts.ts`), and outlives its part, as the pace does: so an end is told from one that no record is to blame for.
 *
 *   start, start, start ─► one record at a time, each said before it is touched ─► tried three times ─► a letter
 *                               └─ lived ─► two, four, eight … ─► as ever
 *
 * Records that are lived through are soon taken many at a time again, or a part that was killed for another's sake would be
 * slow for long. If it ends with many in hand, any of them may be to blame, and they are taken one by one.
 */
import { MillraceError } from '../base/errors.ts';
import type { Attempts, Hand } from '../journal/attempts.ts';

/** So many starts may come to nothing before records are taken one by one … */
const STARTS_MAX = 3;
/** … and so many times one of them is tried. */
const TRIES_MAX = 3;
/** Whoever has lived through so many at a time is careful no more. */
const ROWS_MAX = 8192;
export class Breaker {
  /** Starts that have come to nothing, this one included. */
  starts = 0;
  /** How many records are taken at a time; 0: as many as there are. */
  #rows = 0;
  /** Records to be taken one by one before more are. */
  #single = 0;
  /** What was in hand when the one before ended. */
  #before: Hand | null = null;
  #now: Hand | null = null;
  /** Starts of ours that ended for a reason which is known, and what was in hand then. */
  #excused = 0;
  #forgiven: Hand | null = null;

  /** The part has claimed what it writes to, and this is what is said there. */
  begin({ starts, hand }: Attempts): void {
    if (starts <= this.#excused) this.#excused = 0;
    this.starts = starts - this.#excused;
    const isForgiven = hand !== null && this.#forgiven?.place === hand.place && this.#forgiven.tries === hand.tries;
    this.#before = !isForgiven ? hand : hand.rows > 1 ? null : { ...hand, tries: hand.tries - 1 };
    this.#forgiven = null;
    this.#now = null;
    this.#single = this.#before?.rows ?? 1;
    this.#rows = hand !== null || this.starts > STARTS_MAX ? 1 : 0;
  }

  /** It was started again, and what it had in hand then, if anything, is settled: it may be found that nothing is wrong. */
  get isDoubted(): boolean {
    return this.starts > 1 && this.#before === null;
  }

  /** Records are taken a few at a time, and said before. */
  get isCareful(): boolean {
    return this.#rows > 0;
  }

  /** How many of them, at present. */
  get rows(): number {
    return this.#rows;
  }

  /** `place` is to be taken: what is to be said of that. Null: it was tried often enough. */
  take(place: string): Hand | null {
    const isOne = this.#rows === 1;
    const tries = isOne && this.#before?.place === place ? this.#before.tries + 1 : 1;
    if (tries > TRIES_MAX) return null;
    this.#now = { place: isOne ? place : '', rows: this.#rows, tries };
    return this.#now;
  }

  /** What was in hand is committed. `records`: it was any. */
  survived({ records }: { readonly records: boolean }): void {
    if (this.#before?.place === this.#now?.place) this.#before = null;
    this.#now = null;
    if (records && (this.#rows > 1 || --this.#single <= 0)) this.#rows *= 2;
    if (this.#rows > ROWS_MAX) this.relax();
  }

  /** All is well, as far as can be seen. */
  relax(): void {
    this.#rows = 0;
    this.#before = null;
    this.starts = 0;
  }

  /** It has ended for a reason that no record is to blame for. */
  excuse(): void {
    this.#excused++;
    this.#forgiven = this.#now ?? this.#forgiven;
  }
}

/** Why a record that nobody lives through becomes a letter, or why its pipeline stops. */
export function deadly(what: string): MillraceError {
  return new MillraceError('RECORD_DEADLY', `${TRIES_MAX} times what it ran in ended with ${what} in hand, alone`);
}

/** For a person. */
export function carefulText(starts: number): string {
  const why =
    starts > STARTS_MAX ? `${starts - 1} starts have read nothing on` : 'the last start ended with records in hand';
  return `${why}: a few records are taken at a time, so that one that ends its process is found`;
}

/** One part of all that a process runs at a time has a record in hand at a time: another's would be blamed for its end. */
export class OneInHand {
  #last: Promise<void> = Promise.resolve();

  /** Resolves when nobody else has; the turn ends with the call of what it gives. */
  take(): Promise<() => void> {
    let end!: () => void;
    const mine = new Promise<void>(resolve => {
      end = resolve;
    });
    const taken = this.#last.then(() => end);
    this.#last = this.#last.then(() => mine);
    return taken;
  }
}
