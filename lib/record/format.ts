/**
 * Formats: from a message's bytes to the values in it. Owns the contract and what every format needs: text from bytes,
 * headers, the limit on records in a message; and the two formats that need nothing else, `text` and `bytes`. Every other
 * format is a file of its own.
 */
import { isAscii, isUtf8 } from 'node:buffer';
import { MillraceError, messageOf } from '../base/errors.ts';
import { mayHoldLongIntegers, withExactIntegers } from './integers.ts';

/** What a decoder sees of a message. */
export interface EncodedMessage {
  readonly data: Uint8Array;
  readonly headers: Readonly<Record<string, string>> | null;
  readonly subject: string;
}

/** A part of a message that is not of its format. `index` counts the message's parts, readable or not. */
export interface UnreadablePart {
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly cause: Error;
}

/**
 * A decoder is made once per source (schemas compiled, tables built) and called once per message; a message may carry
 * many records (NDJSON, CloudEvents batches).
 */
export interface Decoder {
  /** The format's name as plans show it, e.g. `ndjson`. */
  readonly name: string;
  /**
   * Appends the message's values to `out`. A part that cannot be read is reported to `unreadable` with its own bytes and
   * its index within the message, and the rest goes on; nothing is thrown. Values share no memory with the message.
   */
  decode(message: EncodedMessage, out: unknown[], unreadable: (part: UnreadablePart) => void): void;
  /**
   * The bytes of each record that `decode` put out, of a message that carries many; null: the message is its one record.
   * Absent: a message always is one record. For dead letters: slow, and only of messages decoded before.
   */
  parts?(message: EncodedMessage): readonly Uint8Array[] | null;
}

/** Whether a value is a decoder, and not, say, its name. */
export function isDecoder(value: unknown): value is Decoder {
  if (typeof value !== 'object' || value === null) return false;
  const { name, decode } = value as Partial<Decoder>;
  return typeof name === 'string' && typeof decode === 'function';
}

/** Records in one message. A larger message is unreadable as a whole: half of it would be worse. */
export const RECORDS_PER_MESSAGE_MAX = 65_535;
/**
 * Values in one message, lists and objects and all that is in them, names of MessagePack's maps too: what a message takes in memory is
 * bounded by it, where a byte or two may ask for an object.
 */
export const VALUES_PER_MESSAGE_MAX = 2 << 20;
/** How deep MessagePack may nest: what is read by calls within calls. (JSON is not.) */
export const NESTING_READ_MAX = 1_000;

/**
 * The text of UTF-8 bytes. ASCII, which most events are, is taken as latin1: a plain copy.
 * @throws MillraceError RECORD_UNREADABLE for bytes that are not UTF-8.
 */
export function textOf(data: Uint8Array): string {
  const buffer = data instanceof Buffer ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (isAscii(buffer)) return buffer.toString('latin1');
  if (!isUtf8(buffer)) throw unreadable('the text is not UTF-8');
  // A byte order mark belongs to the encoding, not to the text.
  const start = buffer[0] === 0xef && buffer[1] === 0xbb && buffer[2] === 0xbf ? 3 : 0;
  return buffer.toString('utf8', start);
}

/**
 * The value of JSON bytes. An integer that a double cannot hold is a bigint (`integers.ts`). Of a repeated name the last
 * value counts; `__proto__` is a field like any other.
 * @throws MillraceError RECORD_UNREADABLE
 */
export function jsonOf(data: Uint8Array): unknown {
  if (data.length === 0) throw unreadable('the message is empty, not JSON');
  refuseManyValues(data);
  const text = textOf(data);
  try {
    const value: unknown = JSON.parse(text);
    return mayHoldLongIntegers(data) ? withExactIntegers(text, value) : value;
  } catch (cause) {
    throw unreadableCause('not JSON', cause);
  }
}

/** Every value of JSON takes two bytes at least, with what divides it from the next: what is no longer need not be looked at. */
const HARMLESS_BYTES = 2 * VALUES_PER_MESSAGE_MAX;
const QUOTE = 0x22;
const COMMA = 0x2c;
const LIST = 0x5b;
const BACKSLASH = 0x5c;
const OBJECT = 0x7b;

/** @throws MillraceError RECORD_UNREADABLE for JSON, or lines of it, of more values than a message may hold. */
export function refuseManyValues(data: Uint8Array): void {
  const { length } = data;
  if (length <= HARMLESS_BYTES) return;
  let values = 1;
  for (let at = 0; at < length; at++) {
    const byte = data[at]!;
    // A value is the first of what is around it, or stands behind a comma.
    if (byte === COMMA) values++;
    else if (byte === LIST || byte === OBJECT) values += isClosing(data[at + 1]) ? 0 : 1;
    else if (byte === QUOTE) for (at++; at < length && data[at] !== QUOTE; at++) if (data[at] === BACKSLASH) at++;
  }
  if (values > VALUES_PER_MESSAGE_MAX) {
    throw unreadable(`${values} values are more than VALUES_PER_MESSAGE_MAX (${VALUES_PER_MESSAGE_MAX})`);
  }
}

/** 0x5d and 0x7d. */
function isClosing(byte: number | undefined): boolean {
  return byte === LIST + 2 || byte === OBJECT + 2;
}

/** The content type without its parameters, in lower case; `''` where none is given. */
export function mediaTypeOf(contentType: string | null): string {
  if (contentType === null) return '';
  const semicolon = contentType.indexOf(';');
  return (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
}

export function unreadable(what: string, cause?: unknown): MillraceError {
  return new MillraceError('RECORD_UNREADABLE', what, { cause });
}

/** What a format's reading threw, as the cause of an unreadable part. */
export function unreadableCause(what: string, thrown: unknown): MillraceError {
  return thrown instanceof MillraceError ? thrown : unreadable(`${what}: ${messageOf(thrown)}`, thrown);
}

/** Runs what may fail for each of very many parts: an error's stack, of which nobody would know more, costs several times the error. */
export function withoutStacks(work: () => void): void {
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    work();
  } finally {
    Error.stackTraceLimit = before;
  }
}

/** The message's UTF-8 text (without a byte order mark). */
export function text(): Decoder {
  return {
    name: 'text',
    decode(message, out, report) {
      try {
        out.push(textOf(message.data));
      } catch (error) {
        report({ index: 0, bytes: message.data, cause: unreadableCause('not text', error) });
      }
    },
  };
}

/** The message's bytes, as a Uint8Array. */
export function bytes(): Decoder {
  return {
    name: 'bytes',
    decode(message, out) {
      // A copy: the message is a view of what the socket read.
      out.push(new Uint8Array(message.data));
    },
  };
}
