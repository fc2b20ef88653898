/**
 * The last message of a chain in a stream, judged by the past (*every tail compared*, `past.ts`): by sequence, and,
 * where it is gone, by what the stream shows of itself.
 */
import { BEGIN_ANEW, MillraceError, PERHAPS_MAPPED } from '../../base/errors.ts';
import type { Tail } from '../../journal/tails.ts';
import type { Log, StreamInfo } from '../../port/log.ts';
import { broken, type Past } from '../past.ts';

/** What is known of a chain's past. */
export interface ChainPast extends Past {
  /** Sequence of the chain's last message that past commits recorded, or 0. */
  readonly rememberedSeq: number;
  /** See `NatsTarget.sinceSeq`. */
  readonly sinceSeq: number;
}

/** A destination's stream and the subject of its chain. */
export interface Place {
  readonly log: Log;
  readonly stream: string;
  readonly subject: string;
}

/** Leaders of two streams are two machines: so far may their clocks lie apart. */
const SKEW_MS = 10_000;

/** The sequence that commits remember of a chain; 0: none. Throws JOURNAL_CORRUPT. */
export function seqOf(remembered: Tail | null): number {
  if (remembered === null) return 0;
  if (typeof remembered === 'number') return remembered;
  throw new MillraceError('JOURNAL_CORRUPT', `a commit remembers of a chain ${JSON.stringify(remembered)}`);
}

/** For people. */
export function nameOf({ stream, subject }: Pick<Place, 'stream' | 'subject'>): string {
  return `${subject} in stream ${stream}`;
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
  readonly past: ChainPast;
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
    nameOf(place),
    `its last message is gone and results wait to be sent, so it cannot be told whether they were sent already. The stream's retention is shorter than the outage was, or it was purged, or ${PERHAPS_MAPPED}. Raise max_age, and ${BEGIN_ANEW}`,
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
    nameOf(place),
    `${what}: the broker lost messages, or the stream was put back to an older copy or made anew. Restore it as it was, or ${BEGIN_ANEW}`,
  );
}
