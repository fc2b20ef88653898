/**
 * Dead letters and late records as messages: what their bytes and headers say. They are rows of the commit like any
 * result, so each is sent exactly once.
 */
import { isMillraceError, messageOf } from '../base/errors.ts';
import type { RowHeaders } from '../commit/outbox.ts';
import type { LateRecord } from '../operator/run.ts';
import type { Letter } from '../record/frame.ts';
import { decodeKey } from '../record/key.ts';
import { letterSubject } from '../record/names.ts';

/** The value as a person can read it, whatever it is. */
export function readable(value: unknown): Uint8Array {
  let text: string;
  try {
    text = JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? inner.toString() : inner)) ?? String(value);
  } catch (error) {
    text = JSON.stringify({ unwritable: messageOf(error) });
  }
  return Buffer.from(text);
}

const HEADER_VALUE_MAX = 1000;

/** Headers are lines of text. */
function line(text: string): string {
  return text.replace(/[\r\n]+/g, ' ').slice(0, HEADER_VALUE_MAX);
}

export interface LetterMessage {
  readonly subject: string;
  readonly bytes: Uint8Array;
  readonly headers: RowHeaders;
}

export function deadLetter(pipeline: string, letter: Letter, bytesMax: number): LetterMessage {
  const headers: Record<string, string> = {
    'Content-Type': 'application/octet-stream',
    'Millrace-Operator': letter.operator,
    'Millrace-Error': letter.code,
    'Millrace-Message': line(letter.message),
    'Millrace-Index': String(letter.index),
  };
  if (letter.subject !== '') headers['Millrace-Subject'] = line(letter.subject);
  const fits = letter.bytes.length <= bytesMax;
  if (!fits) headers['Millrace-Truncated'] = String(letter.bytes.length);
  return {
    subject: letterSubject(pipeline, { kind: 'dead', operator: letter.operator }),
    bytes: fits ? letter.bytes : letter.bytes.subarray(0, bytesMax),
    headers,
  };
}

export function lateLetter(pipeline: string, record: LateRecord): LetterMessage {
  const headers: Record<string, string> = {
    'Content-Type': 'application/json',
    'Millrace-Operator': record.operator,
    'Millrace-Time': new Date(record.timeMs).toISOString(),
    'Millrace-Watermark': Number.isFinite(record.watermarkMs) ? new Date(record.watermarkMs).toISOString() : 'none',
    'Millrace-Late-By': String(Math.round(record.lateByMs)),
  };
  if (record.key !== null) headers['Millrace-Key'] = line(keyText(record.key));
  return {
    subject: letterSubject(pipeline, { kind: 'late', operator: record.operator }),
    bytes: readable(record.value),
    headers,
  };
}

function keyText(encoded: string): string {
  try {
    const key = decodeKey(encoded);
    return typeof key === 'string' ? key : JSON.stringify(key);
  } catch (error) {
    if (isMillraceError(error)) return encoded;
    throw error;
  }
}
