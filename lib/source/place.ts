/**
 * Where a source is in its stream, and whether that is still the one of which a source has read so much. A place is known by more than its sequence, which is
 * another message's where the stream was made anew, or was put back to an older copy and has grown since.
 */
import { MillraceError } from '../base/errors.ts';
import type { Log, StreamInfo } from '../port/log.ts';
import { isoTimeMs } from '../window/iso-time.ts';
import { NO_MARK, type SourcePlace, type StreamMark } from './poll.ts';
import type { SourceSpec } from './spec.ts';

/** Throws STREAM_MISSING. */
export async function infoOf({ name, stream }: SourceSpec, log: Pick<Log, 'info'>): Promise<StreamInfo> {
  const info = await log.info(stream);
  if (info !== null) return info;
  throw new MillraceError(
    'STREAM_MISSING',
    `source ${name}: stream ${stream} is gone. Make it again, or delete the pipeline.`,
  );
}

/** What has become of the stream, if it is not the one of which so much was read; null: it is. A message that is gone tells nothing. */
export async function changeSince(
  { stream }: SourceSpec,
  { position, mark }: SourcePlace,
  { info, log }: { info: StreamInfo; log: Pick<Log, 'get'> },
): Promise<string | null> {
  const { bornMs, seq, timeMs } = mark;
  if (info.lastSeq < position || (bornMs !== 0 && bornMs !== isoTimeMs(info.created))) {
    return `this one was made at ${info.created} and ends at ${info.lastSeq}: it was recreated or lost data`;
  }
  const message = seq === 0 ? null : await log.get({ stream, seq });
  if (message === null || message.timeMs === timeMs) return null;
  return `another message is at ${seq}: it was put back to an older copy and has grown since`;
}

/** As a header. */
export function markText({ bornMs, seq, timeMs, base }: StreamMark): string {
  return `${bornMs}:${seq}:${timeMs}:${base}`;
}

export function markFrom(text: string | undefined): StreamMark {
  if (text === undefined) return NO_MARK;
  const [bornMs = 0, seq = 0, timeMs = 0, base = 0] = text.split(':').map(Number);
  return { bornMs, seq, timeMs, base };
}
