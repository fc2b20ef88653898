/**
 * Results as bytes that anybody can read: JSON, or MessagePack without extensions of our own. Owns how values that these
 * formats lack are shown; how rows become messages is the sink's.
 */
import { Packr } from 'msgpackr';
import { MillraceError, messageOf } from '../base/errors.ts';

/** What a value is that has no form, and where: its text instead, or it throws. */
type Unfit = (what: string, name: string) => string;

/**
 * JSON text of one line. Dates are ISO texts; a bigint is a number with all its digits; bytes (Uint8Array, Buffer,
 * Uint8ClampedArray, DataView, ArrayBuffer) are a base64 text; NaN and infinities are null; undefined fields are left out;
 * an instance of a class is what its `toJSON` says, or its fields. Rows of sinks go through `json-lines.ts`, which writes
 * most of them faster, and the same.
 * @throws MillraceError RECORD_UNWRITABLE for undefined, functions, objects that contain themselves, and built-in objects
 * that JSON would show as something else (`unfitness`).
 */
export function jsonOutput(value: unknown): string {
  let text: string | undefined;
  try {
    text = jsonText(value, refuse);
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

function refuse(what: string, name: string): never {
  const where = name === '' ? 'it' : JSON.stringify(name);
  throw new TypeError(`${where} is ${what}, which no result can show: give a list, an object, a text or a number`);
}

/** As `JSON.stringify`, but for bigints, bytes and what it would show as something else. Throws what it throws. */
function jsonText(value: unknown, unfit: Unfit): string | undefined {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    // Bigints are refused with a TypeError. They are rare, and looking for them costs several times the plain call.
    if (!(error instanceof TypeError)) throw error;
    return textOf(value, '', unfit);
  }
  if (typeof value !== 'object' || value === null || isOrdinary(value)) return text;
  return textOf(value, '', unfit);
}

/** Whether all in it is written as what it is without our help: lists, objects, dates, and what says itself a plain value. */
function isOrdinary(value: object): boolean {
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i];
      if (typeof item === 'object' && item !== null && !isOrdinary(item)) return false;
    }
    return true;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    if (value instanceof Date) return !Number.isNaN(value.getTime());
    const said = saidBy(value, '');
    if (said !== value) return typeof said !== 'object' || said === null;
    if (bytesOf(value) !== null || unfitness(value) !== null) return false;
  }
  for (const name in value) {
    const field = (value as Record<string, unknown>)[name];
    if (typeof field === 'object') {
      if (field !== null && !isOrdinary(field)) return false;
    } else if (typeof field === 'function' && name === 'toJSON') {
      return false;
    }
  }
  return true;
}

/** What its `toJSON` says, or itself. Buffers and dates have one that is not asked. */
function saidBy(value: object, name: string): unknown {
  if (value instanceof Uint8Array) return value;
  const toJSON: unknown = (value as { toJSON?: unknown }).toJSON;
  return typeof toJSON === 'function' ? toJSON.call(value, name) : value;
}

function bytesOf(value: object): Uint8Array | null {
  if (ArrayBuffer.isView(value)) {
    if (!(value instanceof Uint8Array || value instanceof Uint8ClampedArray || value instanceof DataView)) return null;
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  return value instanceof ArrayBuffer || value instanceof SharedArrayBuffer ? new Uint8Array(value) : null;
}

/**
 * What a built-in object is that would come out as something else, without a word: typed arrays as objects of numbered
 * fields, most others as `{}`. Null: it is none of them.
 */
function unfitness(value: object): string | null {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'an invalid Date' : null;
  const isUnfit =
    ArrayBuffer.isView(value) ||
    value instanceof Map ||
    value instanceof Set ||
    value instanceof Error ||
    value instanceof RegExp ||
    value instanceof Promise ||
    value instanceof WeakMap ||
    value instanceof WeakSet ||
    value instanceof Number ||
    value instanceof String ||
    value instanceof Boolean ||
    value instanceof BigInt ||
    value instanceof Symbol;
  return isUnfit ? `of type ${String(value.constructor?.name)}` : null;
}

/** As `jsonText`, value by value. */
function textOf(value: unknown, name: string, unfit: Unfit): string | undefined {
  if (typeof value === 'bigint') {
    // Some programs teach bigints to be texts.
    const said = saidBy(value as unknown as object, name);
    return typeof said === 'bigint' ? String(said) : JSON.stringify(said);
  }
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const invalid = value instanceof Date ? unfitness(value) : null;
  if (invalid !== null) return unfit(invalid, name);
  const said = saidBy(value, name);
  if (typeof said === 'bigint') return String(said);
  if (typeof said !== 'object' || said === null) return JSON.stringify(said);
  const bytes = bytesOf(said);
  if (bytes !== null) return `"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')}"`;
  if (Array.isArray(said)) return `[${Array.from(said, (item, i) => textOf(item, String(i), unfit) ?? 'null').join()}]`;
  const what = unfitness(said);
  if (what !== null) return unfit(what, name);
  const fields: string[] = [];
  for (const field of Object.keys(said)) {
    const text = textOf((said as Record<string, unknown>)[field], field, unfit);
    if (text !== undefined) fields.push(`${JSON.stringify(field)}:${text}`);
  }
  return `{${fields.join()}}`;
}

const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true, variableMapSize: true });

/**
 * MessagePack with plain maps, readable by any library: bigints are 64-bit integers, Dates timestamps, bytes binary,
 * undefined and functions are nil. What is bytes, and what is refused, is as in JSON.
 * @throws MillraceError RECORD_UNWRITABLE where the result itself is undefined or a function, for symbols and larger
 * bigints, and for what `jsonOutput` refuses.
 */
export function packOutput(value: unknown): Uint8Array {
  if (value === undefined || typeof value === 'function' || typeof value === 'symbol') {
    throw new MillraceError('RECORD_UNWRITABLE', `a result of type ${typeof value} is no value: return an object`);
  }
  try {
    return packr.pack(typeof value !== 'object' || value === null || isOrdinary(value) ? value : packable(value, ''));
  } catch (cause) {
    throw new MillraceError('RECORD_UNWRITABLE', `the result cannot be written: ${messageOf(cause)}`, { cause });
  }
}

/** The same of lists, plain objects, dates and bytes alone: of other views the library would send memory of its own. */
function packable(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Date) return unfitness(value) === null ? value : refuse('an invalid Date', name);
  const said = saidBy(value, name);
  if (typeof said !== 'object' || said === null) return said;
  const bytes = bytesOf(said);
  if (bytes !== null) return bytes;
  if (Array.isArray(said)) return Array.from(said, (item, i) => packable(item, String(i)));
  const what = unfitness(said);
  if (what !== null) return refuse(what, name);
  return Object.fromEntries(Object.entries(said).map(([field, item]) => [field, packable(item, field)]));
}

/** The value as JSON that its source reads, and a person; what JSON cannot say at all is said in words. Never throws. */
export function readable(value: unknown): Uint8Array {
  let text: string;
  try {
    text = jsonText(value, unwritable) ?? String(value);
  } catch (error) {
    text = unwritable(messageOf(error));
  }
  return Buffer.from(text);
}

function unwritable(what: string): string {
  return JSON.stringify({ unwritable: what });
}
