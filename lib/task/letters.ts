/**
 * Dead letters and late records as messages: what their bytes and headers say. They are rows of the commit like any
 * result, so each is sent exactly once.
 */
import { type Change, INSERT, wordOf } from '../change/change.ts';
import type { LateRecord } from '../operator/run.ts';
import { addressText } from '../outlet/nats/destination.ts';
import { HEADER_CHANGE } from '../outlet/nats/rows-item.ts';
import { keyText } from '../record/key.ts';
import { HEADER_CONTENT, HEADER_PASSED, type Letter, type LetterContent } from '../record/letter.ts';
import { letterSubject } from '../record/names.ts';
import { readable } from '../record/output.ts';
import type { Lineage } from '../topology/lineage.ts';

/** Longest text of a header, in UTF-8: all headers of a letter together fit the room that is left beside its content. */
const HEADER_BYTES_MAX = 1000;

/** Headers are lines of text, and no longer than is useful. */
function line(text: string): string {
  const oneLine = text.slice(0, HEADER_BYTES_MAX).replace(/\p{Cc}+/gu, ' ');
  if (Buffer.byteLength(oneLine) <= HEADER_BYTES_MAX) return oneLine;
  // The last character may be cut in two: it is left out.
  return Buffer.from(oneLine)
    .toString('utf8', 0, HEADER_BYTES_MAX)
    .replace(/\ufffd+$/, '');
}

export interface LetterRow {
  /** Its subject and headers. */
  readonly address: string;
  readonly bytes: Uint8Array;
}

/**
 * @param options.bytesMax what a message holds beside its headers; longer content is cut, and the letter says so
 * @param options.lineage of the operator; null: the record never left its source
 */
export function deadLetter(
  pipeline: string,
  letter: Letter,
  options: { bytesMax: number; lineage: Lineage | null },
): LetterRow {
  const { bytesMax, lineage } = options;
  const headers: Record<string, string> = {
    'Content-Type': 'application/octet-stream',
    'Millrace-Operator': letter.operator,
    'Millrace-Error': letter.code,
    'Millrace-Message': line(letter.message),
    'Millrace-Index': String(letter.index),
    [HEADER_CONTENT]: contentOf(letter, lineage),
    ...letter.carried,
  };
  if (lineage !== null && lineage.passed.length > 0) headers[HEADER_PASSED] = lineage.passed.join(' ');
  if (letter.subject !== '') headers['Millrace-Subject'] = line(letter.subject);
  sayChange(headers, letter.change);
  const subject = letterSubject(pipeline, { kind: 'dead', operator: letter.operator });
  const bytes = shortened(letter.bytes, letter.bytesTotal ?? letter.bytes.length, bytesMax, headers);
  return { address: addressText(subject, headers), bytes };
}

/** @param bytesMax as for `deadLetter` */
export function lateLetter(pipeline: string, record: LateRecord, bytesMax: number): LetterRow {
  const headers: Record<string, string> = {
    'Content-Type': 'application/json',
    'Millrace-Operator': record.operator,
    'Millrace-Time': new Date(record.timeMs).toISOString(),
    'Millrace-Watermark': Number.isFinite(record.watermarkMs) ? new Date(record.watermarkMs).toISOString() : 'none',
    'Millrace-Late-By': String(Math.round(record.lateByMs)),
  };
  if (record.key !== null) headers['Millrace-Key'] = line(keyText(record.key));
  sayChange(headers, record.change);
  const content = readable(record.value);
  const bytes = shortened(content, content.length, bytesMax, headers);
  const subject = letterSubject(pipeline, { kind: 'late', operator: record.operator });
  return { address: addressText(subject, headers), bytes };
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

/** Never silently: a letter whose content is not whole says how long it was. */
function shortened(bytes: Uint8Array, total: number, bytesMax: number, headers: Record<string, string>): Uint8Array {
  const kept = bytes.length <= bytesMax ? bytes : bytes.subarray(0, bytesMax);
  if (kept.length < total) headers['Millrace-Truncated'] = String(total);
  return kept;
}
