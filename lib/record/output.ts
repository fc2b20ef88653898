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
 * JSON text of one line. Dates are ISO texts; a bigint is a number where that is exact, else a text; NaN and
 * infinities are null; undefined fields are left out; Map and Set are `{}`, as everywhere in JavaScript. Rows of sinks go
 * through `json-lines.ts`, which writes most of them faster, and the same.
 * @throws MillraceError RECORD_UNWRITABLE for undefined, functions, and objects that contain themselves.
 */
export function jsonOutput(value: unknown): string {
  let text: string | undefined;
  try {
    text = stringify(value);
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

function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // Bigints are refused with a TypeError. They are rare, and a replacer costs several times the plain call.
    if (!(error instanceof TypeError)) throw error;
    return JSON.stringify(value, (_, field: unknown) => (typeof field === 'bigint' ? shortBigint(field) : field));
  }
}

function shortBigint(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
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

/** The value as a person can read it, whatever it is: for letters. Never throws. */
export function readable(value: unknown): Uint8Array {
  let text: string;
  try {
    text = JSON.stringify(value, (_, inner) => (typeof inner === 'bigint' ? inner.toString() : inner)) ?? String(value);
  } catch (error) {
    text = JSON.stringify({ unwritable: messageOf(error) });
  }
  return Buffer.from(text);
}
