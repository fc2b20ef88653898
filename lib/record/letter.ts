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
import type { Headers } from '../port/log.ts';
import { partsOfLetter } from './names.ts';
import { HEADER_REPLAY, replayText } from './replay.ts';
import { HEADER_SEAL, type Seal } from './seal.ts';

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

/** Never carried along, nor published again: what the broker or Millrace itself would obey, and the length of another content. */
const LEFT_OUT = /^(nats-|millrace-|kv-operation$|content-length$)/i;
/** What a header may be called (RFC 9110, token). What a client has let through beside it stays where it is. */
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Nothing in a value ends its line, or is a command to a terminal. */
const CONTROLS = /\p{Cc}+/gu;

/** Whether a header of a record's message is one that others may be sent. */
function mayBeSent(name: string): boolean {
  return HEADER_NAME.test(name) && !LEFT_OUT.test(name);
}

/**
 * The headers of an original message as a letter carries them.
 * @param unpacked the letter's bytes are without the message's content encoding
 */
export function carriedHeaders(headers: Headers | null, unpacked: boolean): Record<string, string> {
  const carried: Record<string, string> = {};
  let bytes = 0;
  for (const name in headers) {
    if (!mayBeSent(name) || (unpacked && name.toLowerCase() === 'content-encoding')) continue;
    const value = headers[name]!.replace(CONTROLS, ' ');
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

/** A letter as its headers say. */
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

/** Null: what has that subject is no letter (a marker). */
export function readLetter(letterSubject: string, headers: Headers): ReadLetter | null {
  const parts = partsOfLetter(letterSubject);
  if (parts === null) return null;
  const { kind, operator } = parts;
  return {
    kind,
    operator,
    code: kind === 'dead' ? (headers['Millrace-Error'] ?? '') : null,
    message: kind === 'dead' ? (headers['Millrace-Message'] ?? '') : lateText(headers),
    subject: headers['Millrace-Subject'] ?? null,
    index: Number(headers['Millrace-Index'] ?? 0),
    truncated: headers['Millrace-Truncated'] !== undefined,
    content: (headers[HEADER_CONTENT] as LetterContent | undefined) ?? 'value',
  };
}

/** How late a late record was. */
export function lateText(headers: Headers): string {
  const lateByMs = Number(headers['Millrace-Late-By'] ?? Number.NaN);
  const late = Number.isFinite(lateByMs) ? `${spanText(lateByMs)} late` : 'late';
  return `${late}; its time is ${headers['Millrace-Time'] ?? 'unknown'}`;
}

/** A letter to be published again. */
export interface Replayed {
  readonly number: number;
  readonly headers: Headers;
  readonly data: Uint8Array;
  readonly content: LetterContent;
}

/** The headers under which a letter's content is published again, on `subject`: elsewhere it is another message. */
export function replayHeaders(
  letter: Replayed,
  to: { readonly pipeline: string; readonly subject: string; readonly seal: Seal },
): Record<string, string> {
  const { pipeline, subject, seal } = to;
  const headers: Record<string, string> = {};
  for (const name in letter.headers) {
    if (!name.startsWith(ORIGINAL_PREFIX)) continue;
    const original = name.slice(ORIGINAL_PREFIX.length);
    if (mayBeSent(original)) headers[original] = letter.headers[name]!.replace(CONTROLS, ' ');
  }
  if (letter.content === 'value') headers['Content-Type'] = 'application/json';
  const passed = (letter.headers[HEADER_PASSED] ?? '').split(' ').filter(operator => operator !== '');
  const text = replayText(pipeline, { number: letter.number, passed });
  headers[HEADER_REPLAY] = text;
  headers[HEADER_SEAL] = seal.ofReplay(text, letter.data);
  headers['Nats-Msg-Id'] = `millrace-replay-${pipeline}-${letter.number}-${subject}`;
  return headers;
}
