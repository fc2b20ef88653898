/**
 * What an owner knows of a destination's past, and the judgement of its last message by it.
 *
 * **Every tail is compared with the journal, both ways** (invariant T). A destination and the journal are two streams, and
 * a broker that was restored may have put back one of them to an older copy. Then the two contradict each other, and
 * whoever went on with what is left would send rows twice or leave some out. So:
 * - The tail says more than the journal: it speaks of a commit that this owner has never sent from. Either a later owner
 *   has taken over, which the journal itself tells, or the journal was put back.
 * - The tail is older than one that the journal remembers: the destination was put back.
 * - There is none, and what waits may have been sent by a former owner, or by a try of ours whose answer was lost: the
 *   message that would tell is gone. That is the end, unless the stream shows that nothing can have been lost from it
 *   since. Rows that nobody has tried to send yet leave no doubt: their chain has expired, and begins anew.
 */
import { BEGIN_ANEW, MillraceError } from '../base/errors.ts';
import type { Log, StreamInfo } from '../port/log.ts';

export interface Past {
  /** Last sequence of the destination that past commits recorded, or 0. */
  readonly rememberedSeq: number;
  /** See `SinkSpec.sinceSeq`. */
  readonly sinceSeq: number;
  /** The last commit of former owners: later ones nobody but us can have sent from. */
  readonly inheritedTo: number;
  /** When the oldest of theirs that waits was journaled, by the broker's clock, ms; -Infinity: none waits. */
  readonly inheritedFromMs: number;
  /** Asks the journal whether we own the task still. Throws FENCED. */
  confirm(): Promise<void>;
}

/** A destination's stream and the subject of its chain. */
export interface Place {
  readonly log: Log;
  readonly stream: string;
  readonly subject: string;
}

/** Leaders of two streams are two machines: so far may their clocks lie apart. */
const SKEW_MS = 10_000;

/** Throws FENCED or CHAIN_BROKEN for a tail whose commit is beyond the last that this owner can have sent from. */
export async function checkCommit(commit: number, options: { known: number; place: Place; past: Past }): Promise<void> {
  const { known, place, past } = options;
  if (commit <= known) return;
  await past.confirm();
  throw broken(
    place,
    `its last message speaks of commit ${commit}, and the journal knows of ${known} at most: the journal was put back to an older copy. Restore it as it was, or delete the pipeline with its state.`,
  );
}

/** Throws CHAIN_BROKEN for a tail that is older than one that was seen. */
export function checkSeq(seq: number, options: { known: number; place: Place }): void {
  const { known, place } = options;
  if (seq < known) throw wasPutBack(place, `ends at ${seq}, and ${known} was there`);
}

/**
 * Throws CHAIN_BROKEN for a chain without a last message, unless it is sound to begin it anew.
 * @param options.inDoubt what waits may have been sent already, by a former owner or by a try without an answer
 */
export async function checkEmpty(options: {
  readonly known: number;
  readonly inDoubt: boolean;
  readonly place: Place;
  readonly past: Past;
}): Promise<void> {
  const { known, inDoubt, place, past } = options;
  if (known === 0 && !inDoubt) return;
  const { log, stream } = place;
  const info = await log.info(stream);
  if (info === null) throw new MillraceError('STREAM_MISSING', `stream ${stream} is gone`);
  if (info.lastSeq < known) throw wasPutBack(place, `was there up to ${known}, and the stream ends at ${info.lastSeq}`);
  if (known > 0 && (await log.get({ stream, seq: known })) !== null) {
    throw wasPutBack(place, `had ${known}, and that is another message`);
  }
  if (!inDoubt || (await isAllThere(info, Math.max(known, past.sinceSeq), { place, past }))) return;
  throw broken(
    place,
    `its last message is gone and results wait to be sent, so it cannot be told whether they were sent already. The stream's retention is shorter than the outage was, or it was purged. Raise max_age, and ${BEGIN_ANEW}`,
  );
}

/**
 * Whether a message that was stored after `afterSeq`, or after the oldest commit that waits, would be there still: nothing
 * was deleted between messages, and the first that is there is older.
 */
async function isAllThere(info: StreamInfo, afterSeq: number, options: { place: Place; past: Past }): Promise<boolean> {
  const { firstSeq, lastSeq, messages } = info;
  if (messages !== lastSeq - firstSeq + 1) return false;
  if (firstSeq <= afterSeq + 1) return true;
  const { place, past } = options;
  const first = await place.log.get({ stream: place.stream, seq: firstSeq });
  return first !== null && first.timeMs < past.inheritedFromMs - SKEW_MS;
}

function wasPutBack(place: Place, what: string): MillraceError {
  return broken(
    place,
    `${what}: the broker lost messages, or the stream was put back to an older copy or made anew. Restore it as it was, or ${BEGIN_ANEW}`,
  );
}

export function broken({ stream, subject }: Pick<Place, 'stream' | 'subject'>, what: string): MillraceError {
  return new MillraceError('CHAIN_BROKEN', `${subject} in stream ${stream}: ${what}`);
}
