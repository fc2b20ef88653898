/**
 * Attempts: how often a part was started and came to nothing, and what it had in hand when it ended last. A task reads them
 * out of its journal, a reader out of the chain that it claims (`channel/authorship.ts`); what is done about them decides
 * `task/breaker.ts`.
 *
 * *In hand*: a record is blamed for the end of its process only if the chain says so. Each claim is a start, and a start has
 *   come to nothing while no commit behind it has read on, nor an owner said that it lives and has nothing to read. After
 *   some of those a part takes one record at a time, and says which *before* anybody's code has it: with the same append
 *   every older owner is out. The commit of that record is the very next entry. So what is in hand at the end of a chain
 *   has been begun and not finished, and nothing else has. A process holds one record at a time so, whatever it runs, and
 *   an owner that lives to see another reason for its end does not count that try: what is killed for the sake of others
 *   makes a part slow for a moment, and no letter of its record.
 *
 * Another revision is other code, and owes nothing to what the one before it has met.
 */
import { ROWS } from '../record/names.ts';
import type { JournalStep } from './reader.ts';

/** What is in hand. `place`: which record it is, or that it is what is due; empty: any of the next `rows`. */
export interface Hand {
  readonly place: string;
  readonly rows: number;
  /** How often in a row it was, this time included. */
  readonly tries: number;
}

export interface Attempts {
  /** Starts that have not come to anything, the last one included. */
  readonly starts: number;
  readonly hand: Hand | null;
}

export const NO_ATTEMPTS: Attempts = { starts: 0, hand: null };

/** As a header of a reader's claim and words says them, with the position that was told then: they are of that, and no other. */
export interface AttemptsAt extends Attempts {
  readonly at: number;
}

/** Reads them out of a journal, step by step. */
export class JournaledAttempts implements Attempts {
  starts = 0;
  hand: Hand | null = null;
  #revision = 0;
  /** It is the present owner that has it in hand. */
  #isOwn = true;
  #positions: Readonly<Record<string, number>> = {};

  take(step: JournalStep): void {
    switch (step.kind) {
      case 'run':
        this.#settle();
        break;
      case 'claim':
        if (step.revision !== this.#revision) this.#settle();
        this.#revision = step.revision;
        this.#isOwn = false;
        this.starts++;
        break;
      case 'release':
        this.#settle();
        break;
      case 'hand':
        if (step.hand === null) this.#settle();
        else this.hand = step.hand;
        this.#isOwn = true;
        break;
      case 'commit':
        // What a former owner had in hand is not in a commit that says nothing of it.
        if (this.#isOwn) this.hand = null;
        if (hasReadOn(this.#positions, step.commit.positions)) this.starts = 0;
        this.#positions = step.commit.positions;
        break;
    }
  }

  #settle(): void {
    this.starts = 0;
    this.hand = null;
  }
}

/** An input is further than it was: by its messages, or by the rows of its next one. What it says of time is no progress. */
function hasReadOn(before: Readonly<Record<string, number>>, after: Readonly<Record<string, number>>): boolean {
  for (const name in after) {
    if (name.endsWith(ROWS) && after[name] !== before[name]) return true;
    // Where it begins is what the first commit says.
    if (!name.includes('@') && before[name] !== undefined && after[name] !== before[name]) return true;
  }
  return false;
}
