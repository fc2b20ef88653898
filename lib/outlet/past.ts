/**
 * What an owner knows of the past, and the judgement of what is last at a destination by it.
 *
 * *Every tail compared* with the journal, both ways. A destination and the journal are two stores, and
 * whoever restored one of them may have put it back to an older copy. Then the two contradict each other, and
 * whoever went on with what is left would send rows twice or leave some out. So:
 * - The tail says more than the journal: it speaks of a commit that this owner has never sent from. Either a later owner
 *   has taken over, which the journal itself tells, or the journal was put back.
 * - The tail is older than one that the journal remembers: the destination was put back.
 * - There is none, and what waits may have been sent by a former owner, or by a try of ours whose answer was lost: what
 *   would tell is gone. That is the end, unless the destination shows that nothing can have been lost from it
 *   since. Rows that nobody has tried to send yet leave no doubt: the destination begins anew.
 */
import { MillraceError } from '../base/errors.ts';

/** What all outlets of a task are told of its past. */
export interface Past {
  /** The last commit of former owners: later ones nobody but us can have sent from. */
  readonly inheritedTo: number;
  /** When the oldest of theirs that waits was journaled, by the broker's clock, ms; -Infinity: none waits. */
  readonly inheritedFromMs: number;
  /** Asks the journal whether we own the task still. Throws FENCED. */
  confirm(): Promise<void>;
}

/**
 * Throws FENCED or CHAIN_BROKEN for a tail whose commit is beyond the last that this owner can have sent from.
 * @param options.place the destination, for people
 */
export async function checkCommit(
  commit: number,
  options: { known: number; place: string; past: Past },
): Promise<void> {
  const { known, place, past } = options;
  if (commit <= known) return;
  await past.confirm();
  throw broken(
    place,
    `its last message speaks of commit ${commit}, and the journal knows of ${known} at most: the journal was put back to an older copy. Restore it as it was, or delete the pipeline with its state.`,
  );
}

export function broken(place: string, what: string): MillraceError {
  return new MillraceError('CHAIN_BROKEN', `${place}: ${what}`);
}
