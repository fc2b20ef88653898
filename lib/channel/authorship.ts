/**
 * Whose a reader's channels are, and whose program has made the rows in them.
 *
 * *One reader*: a reader claims what it writes to before it opens it, as a task claims its journal. The
 *   claim is a message of the first chain of words that it tells: it carries revision and number of the assignment, and an
 *   epoch that is one more than the last of these. An older revision or assignment never claims after a newer one, and of
 *   two claims of the same number the chain puts one behind the other. With that name the owner takes over all its chains, by
 *   an empty message on each; from then on all appends of earlier owners fail (*one writer*, `chain/chain.ts`), and
 *   whoever fails so is told by whom. It ends, and takes nothing back (`engine/pipeline.ts`): two that were told to run
 *   the same reader do not both read for ever.
 *
 * *One program a message*: all that the channels of a reader have had of one source message is of one program. A
 *   reader's program (`filter`, `map`, `keyBy` …) decides which channel a record goes to, and as what; a revision may change
 *   it, and channels never stand at one position by themselves. Three things hold it:
 *   - *take-over*: once all chains are taken over, what is found there stays as it is.
 *   - *names*: a head says which program has made what it is complete to. A program is named by the revision since which its
 *     code has run, so of two the one with the larger name began later, even where it is the same code. What the code is
 *     says the stage's last broadcast, since a program tells its beginning there before it sends a row: beside the rows, so
 *     that a registry that is lost takes nothing with it.
 *   - *finishing*: what a former program has sent to some channels and not to all, it sends to the rest before any other
 *     sends anything (`Router.unfinished`, `engine/reader.ts`). So when a program begins, all channels are complete to
 *     one position, and each crash in between leaves what these three find and end again.
 *
 * A road not taken: judging by the rows which are there already, for a record has no name by which it could be found again
 * under another key.
 */
import { BEGIN_ANEW, MillraceError } from '../base/errors.ts';
import type { Chain } from '../chain/chain.ts';
import type { AttemptsAt } from '../journal/attempts.ts';
import type { Headers, StoredMessage } from '../port/log.ts';
import { NO_TIME } from '../window/source-time.ts';
import { type Author, decodeFrameHead, type FrameHead, type Owner } from './frame.ts';

/** What a program is known by: the revision since which its code has run, and that code. */
export interface ProgramName {
  readonly since: number;
  /** SHA-256 of its bundle; empty: not known. */
  readonly bundle: string;
}

/** Where a channel stands that was taken over before anything began: a source may begin at 0. */
const NOT_BEGUN = -1;
/** Who owns what nobody has written to. */
const NOBODY: Author = { revision: 0, assignment: 0, epoch: 0, program: 0 };

export function authorOf({ by }: FrameHead): Author {
  return by ?? NOBODY;
}

/** Null: there is nothing, or nothing but a take-over. */
export function begun(head: FrameHead | null): FrameHead | null {
  return head === null || head.position === NOT_BEGUN ? null : head;
}

/** A channel, or the chain of words to a stage. */
export type Heads = Pick<Chain, 'subject' | 'open' | 'append'>;

export interface TakenOver {
  /** What the chain's last message says; null: there is none, and nobody was there before us. */
  readonly head: FrameHead | null;
  readonly headers: Headers | null;
}

/** How chains of heads are written. */
interface Form {
  encode(head: FrameHead): Uint8Array;
  /** Headers that are taken over with what the last message says. */
  readonly keeps: readonly string[];
}

/**
 * Claims a reader, on the first of its chains. Returns the epoch of the claim and what was tried, once it has landed. Throws REVISION_OUTDATED
 * and ASSIGNMENT_OUTDATED.
 * @param options.mark headers that no other claim has: two of one number would else take one for the claim of both
 * @param options.attempts the header that says what was tried (*in hand*, `journal/attempts.ts`), until it is settled
 */
export async function claim(
  chain: Heads,
  options: Form & { owner: Omit<Owner, 'epoch'>; program: number; mark: Headers; attempts: string },
): Promise<{ readonly epoch: number; readonly attempts: AttemptsAt }> {
  const { owner, program, mark, encode, keeps } = options;
  for (;;) {
    const tail = await chain.open();
    const last = tail === null ? null : decodeFrameHead(tail.data);
    const before = last === null ? NOBODY : authorOf(last);
    const isSame = before.revision === owner.revision && before.assignment === owner.assignment;
    const epoch = isSame ? before.epoch + 1 : 1;
    const author = { ...owner, epoch, program };
    if (compare(before, author) > 0) throw outdated(chain, { by: before, author });
    const at = last?.position ?? NOT_BEGUN;
    const told = tail?.headers?.[options.attempts];
    const tried = told === undefined ? null : (JSON.parse(told) as AttemptsAt);
    const isAgain = tried !== null && before.revision === owner.revision && tried.at === at;
    const attempts = isAgain ? { ...tried, starts: tried.starts + 1 } : { starts: 1, at, hand: null };
    const headers = { ...mark, ...kept(tail, keeps), [options.attempts]: JSON.stringify(attempts) };
    if ((await chain.append(encode(takenOver(last, author)), headers)).kind === 'landed') return { epoch, attempts };
  }
}

/**
 * Opens a chain of heads and makes it the owner's. What is his already is taken over once more: a leader that was deposed a
 * moment ago may show an earlier tail, also after a former program of the same owner has written, and only an append tells.
 * Throws REVISION_OUTDATED, ASSIGNMENT_OUTDATED and FENCED.
 */
export async function takeOver(chain: Heads, { author, encode, keeps }: Form & { author: Author }): Promise<TakenOver> {
  for (;;) {
    const tail = await chain.open();
    const last = tail === null ? null : decodeFrameHead(tail.data);
    const by = last === null ? NOBODY : authorOf(last);
    if (compare(by, author) > 0) throw outdated(chain, { by, author });
    const head = takenOver(last, author);
    const headers = kept(tail, keeps);
    // Beaten by an earlier owner that goes on: what that has written is to be seen first.
    if ((await chain.append(encode(head), headers ?? undefined)).kind === 'landed') return { head, headers };
  }
}

/** What the last message says, in the name of a new owner: what made the rows is what it was. */
function takenOver(last: FrameHead | null, { program, ...owner }: Author): FrameHead {
  if (last === null) return { by: { program, ...owner }, ...NOTHING_YET };
  return { by: { program: authorOf(last).program, ...owner }, ...unsigned(last) };
}

const NOTHING_YET = { position: NOT_BEGUN, row: 0, ...NO_TIME, bootstrapped: false };

function unsigned({ by: _, ...head }: FrameHead): Omit<FrameHead, 'by'> {
  return head;
}

function kept(tail: StoredMessage | null, names: readonly string[]): Headers | null {
  const found = names.filter(name => tail?.headers?.[name] !== undefined);
  return found.length === 0 ? null : Object.fromEntries(found.map(name => [name, tail!.headers![name]!]));
}

/** Why an append to a chain that we had taken over was refused. */
export function beaten(tail: StoredMessage, { author, chain }: { author: Author; chain: Heads }): MillraceError {
  const by = authorOf(decodeFrameHead(tail.data));
  if (compare(by, author) > 0) return outdated(chain, { by, author });
  return new MillraceError(
    'CHAIN_BROKEN',
    `${chain.subject}: somebody else has written there, and no newer owner. Nothing but Millrace may publish to _mr.>; restore the stream from a backup, or ${BEGIN_ANEW}`,
  );
}

/** Below zero: `a` is an earlier owner than `b`. */
function compare(a: Owner, b: Owner): number {
  return a.revision - b.revision || a.assignment - b.assignment || a.epoch - b.epoch;
}

function outdated(chain: Heads, { by, author }: { by: Owner; author: Owner }): MillraceError {
  const { subject } = chain;
  if (by.revision !== author.revision) {
    const text = `${subject}: revision ${by.revision} has written there, and this is ${author.revision}`;
    return new MillraceError('REVISION_OUTDATED', text);
  }
  if (by.assignment !== author.assignment) {
    const text = `${subject}: assignment ${by.assignment} gave it to another worker, and this is ${author.assignment}`;
    return new MillraceError('ASSIGNMENT_OUTDATED', text);
  }
  return new MillraceError('FENCED', `${subject}: epoch ${by.epoch} has taken over from ${author.epoch}`);
}
