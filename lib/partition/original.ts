/**
 * A record that failed in a stage has been decoded, mapped and cut down since it was read. Its letter should hold what
 * the service sent, and that is still in the source stream, under its origin.
 */
import type { Log, StoredMessage } from '../port/log.ts';
import { decompressed } from '../record/encoding.ts';
import type { Letter } from '../record/frame.ts';
import { seqOfOrigin } from '../record/origin.ts';
import type { SourceSpec } from '../source/spec.ts';

/** The letter with the bytes of the source message, if that is still there and held this record alone. */
export async function fetchOriginal(letter: Letter, source: SourceSpec | null, log: Log): Promise<Letter> {
  if (source === null || letter.origin < 0) return letter;
  const message = await log.get({ stream: source.stream, seq: seqOfOrigin(letter.origin) });
  return message === null ? letter : withOriginal(letter, source, message);
}

/** The letter with the message's bytes, if that held this record alone. */
export function withOriginal(letter: Letter, source: SourceSpec, message: StoredMessage): Letter {
  const data = decompressed(message);
  const values: unknown[] = [];
  source.decoder.decode({ data, headers: message.headers, subject: message.subject }, values, () => {});
  return { ...letter, bytes: values.length === 1 ? data : letter.bytes, subject: message.subject };
}
