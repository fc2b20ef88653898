/**
 * Results as bytes that anybody can read: JSON, or MessagePack without extensions of our own. Owns how values that these
 * formats lack are shown; how rows become messages is the sink's.
 */
import { Packr } from 'msgpackr';
import { MillraceError, messageOf } from '../base/errors.ts';

export const CONTENT_TYPES = {
  json: 'application/json',
  ndjson: 'application/x-ndjson',
  msgpack: 'application/msgpack',
  /** MessagePack values one after the other. */
  msgpackStream: 'application/x-msgpack-stream',
} as const;

/**
 * JSON text of one line. Dates are ISO texts; a bigint is a number with all its digits; bytes are a base64 text; NaN and
 * infinities are null; undefined fields are left out; Map and Set are `{}`, as everywhere in JavaScript. Rows of sinks go
 * through `json-lines.ts`, which writes most of them faster, and the same.
 * @throws MillraceError RECORD_UNWRITABLE for undefined, functions, and objects that contain themselves.
 */
export function jsonOutput(value: unknown): string {
  let text: string | undefined;
  try {
    text = jsonText(value);
  } catch (cause) {
    throw new MillraceError('RECORD_UNWRITABLE', `the result cannot be written as JSON: ${messageOf(cause)}`, {
      cause,
    });
  }
  if (text === undefined) {
    throw new MillraceError('RECORD_UNWRITABLE', `a result of type ${typeof value} is no JSON value: return an object`);
  }
  return text;
}

/** As `JSON.stringify`, but for bigints and bytes. Throws what it throws. */
function jsonText(value: unknown): string | undefined {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    // Bigints are refused with a TypeError. They are rare, and looking for them costs several times the plain call.
    if (!(error instanceof TypeError)) throw error;
    return textOf(value, '');
  }
  return text !== undefined && holdsBytes(value) ? textOf(value, '') : text;
}

/** Whether there are bytes in what has been written: as an object with a name for each, or as a Buffer says itself. */
function holdsBytes(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  try {
    return holdsBytesWithin(value);
  } catch {
    // It contains itself, and says otherwise how it is written.
    return false;
  }
}

function holdsBytesWithin(value: object): boolean {
  if (value instanceof Uint8Array) return true;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i];
      if (typeof item === 'object' && item !== null && holdsBytesWithin(item)) return true;
    }
    return false;
  }
  for (const name in value) {
    const field = (value as Record<string, unknown>)[name];
    if (typeof field === 'object' && field !== null && holdsBytesWithin(field)) return true;
  }
  return false;
}

/** As `jsonText`, value by value. */
function textOf(value: unknown, name: string): string | undefined {
  // A Buffer would say itself how it is written.
  if (value instanceof Uint8Array) return base64(value);
  const toJSON: unknown = value === null || value === undefined ? undefined : (value as { toJSON?: unknown }).toJSON;
  const said: unknown = typeof toJSON === 'function' ? toJSON.call(value, name) : value;
  if (typeof said === 'bigint') return String(said);
  if (typeof said !== 'object' || said === null) return JSON.stringify(said);
  if (said instanceof Uint8Array) return base64(said);
  if (Array.isArray(said)) return `[${Array.from(said, (item, i) => textOf(item, String(i)) ?? 'null').join()}]`;
  // Objects of a number, a text or a boolean.
  if (said instanceof Number || said instanceof String || said instanceof Boolean) return JSON.stringify(said);
  const fields: string[] = [];
  for (const field of Object.keys(said)) {
    const text = textOf((said as Record<string, unknown>)[field], field);
    if (text !== undefined) fields.push(`${JSON.stringify(field)}:${text}`);
  }
  return `{${fields.join()}}`;
}

function base64(bytes: Uint8Array): string {
  return `"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')}"`;
}

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true, variableMapSize: true });

/**
 * MessagePack with plain maps, readable by any library: bigints are 64-bit integers, Dates timestamps, Uint8Arrays
 * binary, undefined and functions are nil, a Map is a map, a Set a list.
 * @throws MillraceError RECORD_UNWRITABLE where the result itself is undefined or a function, and for symbols, larger
 * bigints, and objects that contain themselves.
 */
export function packOutput(value: unknown): Uint8Array {
  if (value === undefined || typeof value === 'function' || typeof value === 'symbol') {
    throw new MillraceError('RECORD_UNWRITABLE', `a result of type ${typeof value} is no value: return an object`);
  }
  try {
    return packr.pack(value);
  } catch (cause) {
    throw new MillraceError('RECORD_UNWRITABLE', `the result cannot be written: ${messageOf(cause)}`, { cause });
  }
}

/** The value as JSON that its source reads, and a person; what JSON cannot say at all is said in words. Never throws. */
export function readable(value: unknown): Uint8Array {
  let text: string;
  try {
    text = jsonText(value) ?? String(value);
  } catch (error) {
    text = JSON.stringify({ unwritable: messageOf(error) });
  }
  return Buffer.from(text);
}
