/**
 * A table's bucket that is not the one of which so much was read: made anew, or put back to an older copy. What a stream
 * has lost cannot be had again, but a table is what its bucket has now: all of it is read once more, and the census
 * (`bucket-census.ts`) takes away what is not there any more.
 *
 * Positions never go back, since all that is sent of a source is known by them. So the sequences of the bucket that is
 * there now count from where all of the former one ended: a *base*, kept with the place, is added to each of them.
 * Where that was not kept before a crash, the same is found again, and all is read again from a later base: rows come
 * twice, and what a row is told last is the same.
 */
import { BEGIN_ANEW, isMillraceError, MillraceError } from '../base/errors.ts';
import type { LogReader, StoredMessage, StreamInfo } from '../port/log.ts';
import { changeSince } from './place.ts';
import { NO_MARK, type SourceLog, type SourcePlace } from './poll.ts';
import type { SourceSpec } from './spec.ts';

/**
 * Where a source is to be read on, and the log by whose sequences. Throws STREAM_CHANGED where the stream is no table's: what
 * is not there any more may not have been read.
 */
export async function goOn(
  spec: SourceSpec,
  place: SourcePlace,
  { info, log }: { info: StreamInfo; log: SourceLog },
): Promise<{ place: SourcePlace; log: SourceLog }> {
  const { base } = place.mark;
  const shifted = shiftedLog(log, base);
  const change = await changeSince(spec, place, { info: shiftedInfo(info, base), log: shifted });
  if (change === null) return { place, log: shifted };
  if (spec.kind !== 'kv') {
    const read = `source ${spec.name} has read stream ${spec.stream} up to ${place.position}`;
    throw new MillraceError('STREAM_CHANGED', `${read}, but ${change}. Restore it as it was, or ${BEGIN_ANEW}`);
  }
  const next = readAnew(place, place.through ?? 0);
  return { place: next, log: shiftedLog(log, next.position) };
}

/**
 * Where a table is read from its bucket's beginning, though others have had some of it: a stage that has had nothing gets
 * all, and the others get it once more. `through`: beyond all that anybody has had.
 */
export function readAnew(place: SourcePlace, through: number): SourcePlace {
  const position = Math.max(place.position, through);
  return { ...place, position, rowsTaken: 0, mark: { ...NO_MARK, base: position } };
}

/** What has become of a table's bucket while it was read is no reason to stop: whoever begins anew reads what is there. */
export function lostTable(name: string, cause: unknown): unknown {
  if (!isMillraceError(cause, 'STREAM_CHANGED') && !isMillraceError(cause, 'STREAM_MISSING')) return cause;
  const text = `table ${name} is read again, from its beginning if its bucket is another one: ${cause.message}`;
  return new MillraceError('CONFLICT', text, { cause });
}

function shiftedInfo(info: StreamInfo, base: number): StreamInfo {
  return { ...info, firstSeq: info.firstSeq + base, lastSeq: info.lastSeq + base };
}

function shiftedLog(log: SourceLog, base: number): SourceLog {
  if (base === 0) return log;
  return {
    async info(stream) {
      const info = await log.info(stream);
      return info === null ? null : shiftedInfo(info, base);
    },
    async get({ stream, seq }) {
      const message = seq > base ? await log.get({ stream, seq: seq - base }) : null;
      return message === null ? null : shiftedMessage(message, base);
    },
    read: options => new ShiftedReader(log.read({ ...options, from: options.from - base }), base),
  };
}

function shiftedMessage({ subject, seq, timeMs, headers, data }: StoredMessage, base: number): StoredMessage {
  return { subject, seq: seq + base, timeMs, headers, data };
}

class ShiftedReader implements LogReader {
  #reader: LogReader;
  #base: number;

  constructor(reader: LogReader, base: number) {
    this.#reader = reader;
    this.#base = base;
  }

  take(limits: { messagesMax: number; bytesMax: number }): StoredMessage[] {
    return this.#reader.take(limits).map(message => shiftedMessage(message, this.#base));
  }

  async look() {
    const look = await this.#reader.look();
    return look === null ? null : { ...look, lastSeq: look.lastSeq + this.#base };
  }

  get onReady(): (() => void) | null {
    return this.#reader.onReady;
  }

  set onReady(onReady: (() => void) | null) {
    this.#reader.onReady = onReady;
  }

  get caughtUp(): boolean {
    return this.#reader.caughtUp;
  }

  get left(): number | null {
    return this.#reader.left;
  }

  get nextTimeMs(): number | null {
    return this.#reader.nextTimeMs;
  }

  get error(): Error | null {
    return this.#reader.error;
  }

  stop(): Promise<void> {
    return this.#reader.stop();
  }
}
