/**
 * Letters as messages: the names of their headers, read by whoever shows and replays them, and what a replay publishes.
 *
 * `Millrace-Content` says what a dead letter holds, which decides whether it can be published again:
 * - `message`  the message as the service sent it (without its content encoding)
 * - `record`   one record of a message that held several, as bytes that its source reads
 * - `value`    the value as JSON, as it was when it failed: operators had changed it already
 * Headers of the original message travel along as `Millrace-Header-<name>`.
 */
import { spanText } from '../base/duration.ts';
import type { Change } from '../change/change.ts';
import type { Headers, StoredMessage } from '../port/log.ts';
import { partsOfLetter } from './names.ts';
import { HEADER_REPLAY, replayText } from './replay.ts';

export const HEADER_CONTENT = 'Millrace-Content';
/** The dedupe operators that had let the record pass, as `dedupe-orders again`. */
export const HEADER_PASSED = 'Millrace-Passed';
export const ORIGINAL_PREFIX = 'Millrace-Header-';
/** Original headers that a letter carries along, in bytes; beyond it only the content type is. */
const ORIGINAL_BYTES_MAX = 1_000;

export type LetterContent = 'message' | 'record' | 'value';

/**
 * The same while a letter is on its way: `part` is a record's own bytes out of a larger message, `decoded` its value as
 * JSON that its source reads, too, if no operator has changed it.
 */
export type CarriedContent = 'message' | 'part' | 'decoded' | 'value';

/** The longest reason that a letter gives, in characters. */
export const REASON_LENGTH_MAX = 1000;

/** A record that cannot be processed, on its way to the dead-letter subject. */
export interface Letter {
  readonly operator: string;
  readonly code: string;
  /** Why, at most `REASON_LENGTH_MAX` characters. */
  readonly message: string;
  /** The original bytes, or the record's value as JSON where they are gone. */
  readonly bytes: Uint8Array;
  /** Length of what `bytes` is only the beginning of. Absent: they are whole. */
  readonly bytesTotal?: number;
  /** Where it came from (`origin.ts`); -1: unknown. */
  readonly origin: number;
  /** Index of the record within its source message. */
  readonly index: number;
  readonly subject: string;
  /** What `bytes` is; absent: the value as JSON. */
  readonly content?: CarriedContent;
  /** Headers of its message, as `carriedHeaders` has them. */
  readonly carried?: Headers;
  /** What the record does to its table; absent: it is an insert, or that is not known. */
  readonly change?: Change;
}

/** Not worth carrying along: the broker's and our own. */
const LEFT_OUT = /^(nats-|millrace-|kv-operation$|content-length$)/i;

/**
 * The headers of an original message as a letter carries them.
 * @param unpacked the letter's bytes are without the message's content encoding
 */
export function carriedHeaders(headers: Headers | null, unpacked: boolean): Record<string, string> {
  const carried: Record<string, string> = {};
  let bytes = 0;
  for (const name in headers) {
    if (LEFT_OUT.test(name) || (unpacked && name.toLowerCase() === 'content-encoding')) continue;
    const value = headers[name]!;
    const size = ORIGINAL_PREFIX.length + Buffer.byteLength(name) + Buffer.byteLength(value) + ': \r\n'.length;
    const isType = name.toLowerCase() === 'content-type';
    if (!isType && bytes + size > ORIGINAL_BYTES_MAX) continue;
    if (isType && size > ORIGINAL_BYTES_MAX) continue;
    bytes += size;
    carried[ORIGINAL_PREFIX + name] = value;
  }
  return carried;
}

/** The headers of a letter that holds a record's value as JSON. */
export const CARRIED_JSON: Readonly<Record<string, string>> = {
  [`${ORIGINAL_PREFIX}Content-Type`]: 'application/json',
};

/** A letter as it lies in its stream. */
export interface ReadLetter {
  readonly kind: 'dead' | 'late';
  readonly operator: string;
  /** Null for late records. */
  readonly code: string | null;
  readonly message: string;
  /** Null: it was made by the pipeline, or is a late record. */
  readonly subject: string | null;
  readonly index: number;
  readonly truncated: boolean;
  readonly content: LetterContent;
}

/** Null: the message is no letter (a marker). */
export function readLetter(message: StoredMessage): ReadLetter | null {
  const parts = partsOfLetter(message.subject);
  if (parts === null) return null;
  const { kind, operator } = parts;
  const headers = message.headers ?? {};
  const content = headers[HEADER_CONTENT] as LetterContent | undefined;
  return {
    kind,
    operator,
    code: kind === 'dead' ? (headers['Millrace-Error'] ?? '') : null,
    message: kind === 'dead' ? (headers['Millrace-Message'] ?? '') : lateText(headers),
    subject: headers['Millrace-Subject'] ?? null,
    index: Number(headers['Millrace-Index'] ?? 0),
    truncated: headers['Millrace-Truncated'] !== undefined,
    // Before letters said so, only a message that held one record was kept as it came.
    content: content ?? (kind === 'dead' && headers['Millrace-Subject'] !== undefined ? 'message' : 'value'),
  };
}

/** How late a late record was. */
export function lateText(headers: Headers): string {
  const lateByMs = Number(headers['Millrace-Late-By'] ?? Number.NaN);
  const late = Number.isFinite(lateByMs) ? `${spanText(lateByMs)} late` : 'late';
  return `${late}; its time is ${headers['Millrace-Time'] ?? 'unknown'}`;
}

/** The headers under which a letter's content is published again, on `subject`: elsewhere it is another message. */
export function replayHeaders(pipeline: string, message: StoredMessage, subject: string): Record<string, string> {
  const letter = message.headers ?? {};
  const headers: Record<string, string> = {};
  for (const name in letter) {
    if (name.startsWith(ORIGINAL_PREFIX)) headers[name.slice(ORIGINAL_PREFIX.length)] = letter[name]!;
  }
  if (readLetter(message)?.content === 'value') headers['Content-Type'] = 'application/json';
  const passed = (letter[HEADER_PASSED] ?? '').split(' ').filter(operator => operator !== '');
  headers[HEADER_REPLAY] = replayText(pipeline, { number: message.seq, passed });
  headers['Nats-Msg-Id'] = `millrace-replay-${pipeline}-${message.seq}-${subject}`;
  return headers;
}
