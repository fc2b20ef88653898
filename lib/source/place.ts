/**
 * Whether a stream is still the one of which a source has read so much. A place is known by more than its sequence, which is
 * another message's where the stream was made anew, or was put back to an older copy and has grown since.
 */
import { BEGIN_ANEW, MillraceError } from '../base/errors.ts';
import type { Log, StreamInfo } from '../port/log.ts';
import { NO_TIME } from '../window/source-time.ts';
import type { SubjectFilter } from './filter.ts';
import type { SourcePlace } from './outlet.ts';
import type { SourceSpec } from './spec.ts';

/** Throws STREAM_CHANGED: it is another stream, or it has lost its end. */
export function checkStream({ name, stream }: SourceSpec, { position, bornMs }: SourcePlace, info: StreamInfo): void {
  if (info.lastSeq >= position && (bornMs === 0 || bornMs === Date.parse(info.created))) return;
  throw new MillraceError(
    'STREAM_CHANGED',
    `source ${name} has read stream ${stream} up to ${position}, but this one was made at ${info.created} and ends at ${info.lastSeq}: it was recreated or lost data. Restore it as it was, or ${BEGIN_ANEW}`,
  );
}

/**
 * What was put there since we read was published after the clock up to which we know all. Only a message of our own subject
 * tells: each that we have passed was passed by its time, where one of another's may be known from a look, as a clock of
 * another server told it. Throws STREAM_CHANGED.
 */
export async function checkMessage(
  { name, stream }: SourceSpec,
  { position, clockMs }: SourcePlace,
  { log, filter }: { log: Pick<Log, 'get'>; filter: SubjectFilter },
): Promise<void> {
  if (position === 0 || clockMs === NO_TIME.clockMs) return;
  const message = await log.get({ stream, seq: position });
  if (message === null || message.timeMs <= clockMs || !filter.takes(message.subject)) return;
  throw new MillraceError(
    'STREAM_CHANGED',
    `source ${name} has read stream ${stream} up to ${position}, and another message is there that was published later, at ${new Date(message.timeMs).toISOString()}: the stream was put back to an older copy and has grown since. Restore it as it was, or ${BEGIN_ANEW}`,
  );
}
