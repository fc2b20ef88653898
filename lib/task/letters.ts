/**
 * Dead letters and late records as messages: what their bytes and headers say. They are rows of the commit like any
 * result, so each is sent exactly once. Many share messages: `letter-pile.ts`.
 */
import { type Change, INSERT, wordOf } from '../change/change.ts';
import type { LateRecord } from '../operator/run.ts';
import { HEADER_CHANGE, HEADER_ORIGIN } from '../outlet/nats/rows-item.ts';
import { keyText } from '../record/key.ts';
import { HEADER_CONTENT, HEADER_PASSED, type Letter, type LetterContent, ORIGINAL_PREFIX } from '../record/letter.ts';
import { letterSubject } from '../record/names.ts';
import type { Lineage } from '../topology/lineage.ts';

/** Longest text of a header, in UTF-8: all headers of a letter together fit the room that is left beside its content. */
const HEADER_BYTES_MAX = 1000;

/** Headers are lines of text, and no longer than is useful. */
function line(text: string): string {
  return cut(text.slice(0, HEADER_BYTES_MAX).replace(/\p{Cc}+/gu, ' '), HEADER_BYTES_MAX);
}

function cut(text: string, bytesMax: number): string {
  if (Buffer.byteLength(text) <= bytesMax) return text;
  // The last character may be cut in two: it is left out.
  return Buffer.from(text)
    .toString('utf8', 0, bytesMax)
    .replace(/\ufffd+$/, '');
}

/** What comes to the headers of a letter on its way: who sends it, its seal, a batch's, a trace. A quarter is enough of a small message. */
const SENT_WITH_BYTES = 1536;

export interface LetterRow {
  readonly subject: string;
  readonly headers: Record<string, string>;
  readonly bytes: Uint8Array;
}

export interface LetterOptions {
  /** What a message may be; longer content is cut, and the letter says so. */
  readonly messageBytesMax: number;
  /** The operator's; null: the record never left its source. */
  readonly lineage: Lineage | null;
  /** The source message, as `<stream>:<sequence>`; null: it is not known. */
  readonly origin: string | null;
}

export function deadLetter(pipeline: string, letter: Letter, options: LetterOptions): LetterRow {
  const { messageBytesMax, lineage } = options;
  const headers: Record<string, string> = {
    'Content-Type': 'application/octet-stream',
    'Millrace-Operator': letter.operator,
    'Millrace-Error': letter.code,
    'Millrace-Message': line(letter.message),
    'Millrace-Index': String(letter.index),
    [HEADER_CONTENT]: contentOf(letter, lineage),
    ...letter.carried,
  };
  sayOrigin(headers, options.origin);
  sayPassed(headers, lineage);
  if (letter.subject !== '') headers['Millrace-Subject'] = line(letter.subject);
  sayChange(headers, letter.change);
  const subject = letterSubject(pipeline, { kind: 'dead', operator: letter.operator });
  const total = letter.bytesTotal ?? letter.bytes.length;
  const bytes = shortened(letter.bytes, { total, messageBytesMax, headers });
  return { subject, headers, bytes };
}

/** @param options.content the record's value */
export function lateLetter(
  pipeline: string,
  record: LateRecord,
  options: LetterOptions & { readonly content: Uint8Array },
): LetterRow {
  const { content, messageBytesMax, lineage } = options;
  const headers: Record<string, string> = {
    'Content-Type': 'application/json',
    'Millrace-Operator': record.operator,
    'Millrace-Time': new Date(record.timeMs).toISOString(),
    'Millrace-Watermark': Number.isFinite(record.watermarkMs) ? new Date(record.watermarkMs).toISOString() : 'none',
    'Millrace-Late-By': String(Math.round(record.lateByMs)),
  };
  sayOrigin(headers, options.origin);
  sayPassed(headers, lineage);
  if (record.key !== null) headers['Millrace-Key'] = line(keyText(record.key));
  sayChange(headers, record.change);
  const bytes = shortened(content, { total: content.length, messageBytesMax, headers });
  const subject = letterSubject(pipeline, { kind: 'late', operator: record.operator });
  return { subject, headers, bytes };
}

function sayOrigin(headers: Record<string, string>, origin: string | null): void {
  if (origin !== null) headers[HEADER_ORIGIN] = origin;
}

/** These have the record's id already, so a replay without their names would be a copy to them. */
function sayPassed(headers: Record<string, string>, lineage: Lineage | null): void {
  if (lineage !== null && lineage.passed.length > 0) headers[HEADER_PASSED] = lineage.passed.join(' ');
}

/** A replay does not take it along: the source judges the record anew. */
function sayChange(headers: Record<string, string>, change: Change = INSERT): void {
  if (change !== INSERT) headers[HEADER_CHANGE] = wordOf(change);
}

function contentOf({ content = 'value' }: Letter, lineage: Lineage | null): LetterContent {
  if (content === 'part') return 'record';
  if (content === 'decoded') return lineage === null || lineage.unchanged ? 'record' : 'value';
  return content;
}

/**
 * The content, as much as there is room for beside the headers. Never silently: a letter whose content is not whole says
 * how long it was. Where a message is so small that not even the headers fit, those of the record's own message go, and
 * then the reason is cut.
 */
function shortened(
  bytes: Uint8Array,
  about: { total: number; messageBytesMax: number; headers: Record<string, string> },
): Uint8Array {
  const { total, messageBytesMax, headers } = about;
  const roomBesideOurs = messageBytesMax - Math.min(SENT_WITH_BYTES, messageBytesMax >> 2);
  let room = roomBesideOurs - sizeOf(headers);
  let isWhole = bytes.length === total;
  if (room < 0) {
    for (const name of Object.keys(headers)) if (name.startsWith(ORIGINAL_PREFIX)) delete headers[name];
    room = roomBesideOurs - sizeOf(headers);
    isWhole = false;
  }
  const reason = headers['Millrace-Message'];
  if (room < 0 && reason !== undefined) {
    headers['Millrace-Message'] = cut(reason, Math.max(0, Buffer.byteLength(reason) + room));
    room = 0;
  }
  const kept = bytes.length <= room ? bytes : bytes.subarray(0, Math.max(0, room));
  if (!isWhole || kept.length < bytes.length) headers['Millrace-Truncated'] = String(total);
  return kept;
}

/** As lines of a message. */
function sizeOf(headers: Readonly<Record<string, string>>): number {
  let bytes = 0;
  for (const name in headers) bytes += name.length + Buffer.byteLength(headers[name]!) + 4;
  return bytes;
}
