/**
 * Whose the rows in a reader's channels are. A reader's program (`filter`, `map`, `keyBy` …) decides which channel a record
 * goes to, and as what; a revision may change it, and channels never stand at one position by themselves. So:
 *
 * Invariant P (one program a message): all that the channels of a reader have had of one source message is of one program.
 *   Three things hold it:
 *   - *take-over*: whoever opens a channel makes its last message one of its own revision, by an empty one that says what
 *     the last one said. From then on all appends of older revisions fail (A of `chain/chain.ts`), on this channel and, once
 *     all are taken over, on all of them: what is found there stays as it is.
 *   - *names*: a head says which program has made what it is complete to. A program is named by the revision since which its
 *     code has run, so of two the one with the larger name began later, even where it is the same code. What the code is
 *     says the stage's last broadcast, since a program tells its beginning there before it sends a row: beside the rows, so
 *     that a registry that is lost takes nothing with it.
 *   - *finishing*: what a former program has sent to some channels and not to all, it sends to the rest before any other
 *     sends anything (`Router.unfinished`, `engine/reader.ts`). So when a program begins, all channels are complete to
 *     one position, and each crash in between leaves what these three find and end again.
 *
 * Roads not taken: judging by the rows which are there already, for a record has no name by which it could be found again
 * under another key; and taking over only where the program has changed, for then it had to be known by everybody, the
 * frozen worker of a former revision too, which revisions run the same one. It is a small message a channel and revision.
 */
import { MillraceError } from '../base/errors.ts';
import type { Chain } from '../chain/chain.ts';
import type { Headers, StoredMessage } from '../port/log.ts';
import { NO_TIME } from '../window/source-time.ts';
import { type Author, decodeFrameHead, type FrameHead } from './frame.ts';

/** What a program is known by: the revision since which its code has run, and that code. */
export interface ProgramName {
  readonly since: number;
  /** SHA-256 of its bundle; empty: not known. */
  readonly bundle: string;
}

/** Where a channel stands that was taken over before anything began: a source may begin at 0. */
const NOT_BEGUN = -1;
/** Before it there was nobody. */
const FIRST_REVISION = 1;
const NOBODY: Author = { revision: 0, program: 0 };

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

/**
 * Opens a chain of heads and makes it ours. Throws REVISION_OUTDATED.
 * @param options.keeps headers that are taken over with what the last message says
 */
export async function takeOver(
  chain: Heads,
  options: { author: Author; encode: (head: FrameHead) => Uint8Array; keeps: readonly string[] },
): Promise<TakenOver> {
  const { author, encode, keeps } = options;
  for (;;) {
    const tail = await chain.open();
    const last = tail === null ? null : decodeFrameHead(tail.data);
    const { revision, program } = last === null ? { ...author, revision: FIRST_REVISION } : authorOf(last);
    if (revision > author.revision) throw outdated(chain, { revision, author });
    if (revision === author.revision) return { head: last, headers: tail?.headers ?? null };
    const head = { by: { revision: author.revision, program }, ...(last === null ? NOTHING_YET : unsigned(last)) };
    const headers = kept(tail, keeps);
    // Beaten by an older one that goes on, or by another of our revision: what that has written is to be seen first.
    if ((await chain.append(encode(head), headers ?? undefined)).kind === 'landed') return { head, headers };
  }
}

const NOTHING_YET = { position: NOT_BEGUN, row: 0, ...NO_TIME, bootstrapped: false };

function unsigned({ by: _, ...head }: FrameHead): Omit<FrameHead, 'by'> {
  return head;
}

function kept(tail: StoredMessage | null, names: readonly string[]): Headers | null {
  const found = names.filter(name => tail?.headers?.[name] !== undefined);
  return found.length === 0 ? null : Object.fromEntries(found.map(name => [name, tail!.headers![name]!]));
}

/** Another was first to write to a chain that we had taken over. Throws REVISION_OUTDATED. */
export function checkRevision(tail: FrameHead, options: { author: Author; chain: Heads }): void {
  const { author, chain } = options;
  const { revision } = authorOf(tail);
  if (revision > author.revision) throw outdated(chain, { revision, author });
}

/**
 * The same for a channel, whose messages are of one program by then. Throws CONFLICT, too: another worker of our revision is
 * at work for another program, so one of us has not seen what the other has done.
 */
export function checkTail(tail: FrameHead, options: { author: Author; chain: Heads }): void {
  checkRevision(tail, options);
  const { author, chain } = options;
  const { revision, program } = authorOf(tail);
  if (revision === author.revision && program === author.program) return;
  throw new MillraceError(
    'CONFLICT',
    `${chain.subject}: revision ${revision} has gone on there with the program of ${program}, beside that of ${author.program}`,
  );
}

function outdated(chain: Heads, { revision, author }: { revision: number; author: Author }): MillraceError {
  return new MillraceError(
    'REVISION_OUTDATED',
    `${chain.subject}: revision ${revision} has written there, and this is ${author.revision}`,
  );
}
