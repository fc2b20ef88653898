/**
 * A record that failed in a stage has been decoded, mapped and cut down since it was read. Its letter should hold what
 * the service sent, and that is still in the source stream, under its origin.
 */
import type { Log, StoredMessage } from '../port/log.ts';
import { decompressed } from '../record/encoding.ts';
import { CARRIED_JSON, carriedHeaders, type Letter } from '../record/letter.ts';
import { seqOfOrigin } from '../record/origin.ts';
import type { SourceSpec } from '../source/spec.ts';

/** Formats that read a record's value as JSON, under the content type that a letter gives it. */
const READS_JSON: ReadonlySet<string> = new Set(['auto', 'json', 'ndjson']);

/** The letter with the bytes of the source message, if that is still there and held this record alone. */
export async function fetchOriginal(letter: Letter, source: SourceSpec | null, log: Log): Promise<Letter> {
  if (source === null || letter.origin < 0) return letter;
  const message = await log.get({ stream: source.stream, seq: seqOfOrigin(letter.origin) });
  return message === null ? letter : withOriginal(letter, source, message);
}

/** The letter with the message's bytes, if that held this record alone. */
export function withOriginal(letter: Letter, source: SourceSpec, message: StoredMessage): Letter {
  const data = decompressed(message);
  const { headers, subject } = message;
  const decoded = { data, headers, subject };
  const values: unknown[] = [];
  let unreadable = 0;
  source.decoder.decode(decoded, values, () => {
    unreadable++;
  });
  if (values.length === 1) {
    const part = unreadable === 0 ? undefined : source.decoder.parts?.(decoded)?.[0];
    const carried = carriedHeaders(headers, data !== message.data);
    return { ...letter, bytes: part ?? data, subject, content: part === undefined ? 'message' : 'part', carried };
  }
  // Which of them it was is not known, but its value is at hand.
  const isJson = READS_JSON.has(source.decoder.name) && source.attach === null && source.validate === null;
  return isJson ? { ...letter, subject, content: 'decoded', carried: CARRIED_JSON } : { ...letter, subject };
}
