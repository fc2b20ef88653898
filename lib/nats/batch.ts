/** What is asked of the messages of a batch before they go out, and the words for those that a stream does not take. */
import { invariant, MillraceError } from '../base/errors.ts';
import type { NewMessage } from '../port/log.ts';

const BATCH_MESSAGES_MAX = 1_000;

export function unkept({ stream, subject }: { stream: string; subject: string }, why: string): MillraceError {
  const text = `stream ${stream} does not keep the subject ${subject} (${why}): give it back its subject, or deploy a pipeline that writes elsewhere`;
  return new MillraceError('STREAM_MISSING', text);
}

/** @param about.stream whose limit it is; null: the server's. */
export function tooLarge(about: {
  subject: string;
  bytes: number;
  bytesMax: number;
  stream: string | null;
}): MillraceError {
  const { subject, bytes, bytesMax, stream } = about;
  const who = stream === null ? 'the server' : `stream ${stream}`;
  const setting = stream === null ? 'max_payload' : 'its max_msg_size';
  const text = `a message of ${bytes} bytes for ${subject}, but ${who} takes ${bytesMax}: raise ${setting}`;
  return new MillraceError('MESSAGE_TOO_LARGE', text);
}

/** The highest sequence that a message of the batch names as its predecessor; null: none has a fence. */
export function fenceOf(messages: readonly NewMessage[]): number | null {
  let fence: number | null = null;
  for (const { expect } of messages) if (expect !== undefined && (fence === null || expect > fence)) fence = expect;
  return fence;
}

/** What the server would refuse in words that look as if they passed. */
export function checkBatch(messages: readonly NewMessage[]): void {
  invariant(messages.length > 0, 'an atomic batch without messages');
  invariant(
    messages.length <= BATCH_MESSAGES_MAX,
    `an atomic batch of ${messages.length}; ${BATCH_MESSAGES_MAX} is most`,
  );
  const seen = new Set<string>();
  for (const { subject, expect } of messages) {
    invariant(expect === undefined || !seen.has(subject), `the fence of ${subject} is not on its first message`);
    seen.add(subject);
  }
}
