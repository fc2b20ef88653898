/**
 * Keys: what records are grouped, joined and partitioned by, and their one text form. FROZEN FOR EVER, as the hash over
 * it is: partitions and state are laid out by encoded keys.
 *
 * A plain string encodes as itself, which is the whole cost for most pipelines. Everything else starts with a control
 * character below U+0010 that names its type:
 *
 *   U+0001 text      a string that starts with such a character itself, or is not well-formed (then as a JSON string)
 *   U+0002 decimal   a number            U+0003 decimal   an integer beyond ±(2^53 − 1), a bigint
 *   U+0004 1 or 0    a boolean           U+0005           null, inside a tuple only
 *   U+0006 (n : e)*  a tuple: each element e, encoded, after its length n in UTF-16 units
 *
 * The form is injective (two keys share a text only if they are the same key) and well-formed Unicode, so it survives
 * UTF-8. 0 and −0 are one key, and so are 1 and 1n: what a sender's format makes of an integer does not divide its
 * records. 1 and '1' are two. `undefined` is `null`. A *number* beyond ±(2^53 − 1) is none: several integers read as it.
 */
import { MillraceError } from '../base/errors.ts';
import { isPromise } from './schema.ts';

export type KeyPart = string | number | bigint | boolean | null | undefined | readonly KeyPart[];

/** What a user's key function may return; null or undefined: the record has no key. */
export type Key = KeyPart;

/** What `decodeKey` gives back. */
export type DecodedKey = string | number | bigint | boolean | null | readonly DecodedKey[];

/** The longest encoded key, in UTF-16 units. Keys are held in memory by the million and written with every change. */
export const KEY_LENGTH_MAX = 4096;
/** How deep tuples may nest. */
export const KEY_DEPTH_MAX = 8;

const TEXT = '\u0001';
const NUMBER = '\u0002';
const BIGINT = '\u0003';
const BOOLEAN = '\u0004';
const NULL = '\u0005';
const TUPLE = '\u0006';
/** First characters below this one name a type; those not used yet are kept for types to come. */
const FIRST_PLAIN = 0x10;

const BIGINT_MAX = 10n ** BigInt(KEY_LENGTH_MAX);

const ZERO = 48;

/** In Unicode mode a surrogate class matches only what is not part of a pair. */
const LONE_SURROGATE = /[\ud800-\udfff]/u;

/**
 * The key's text, or null where there is no key.
 * @throws MillraceError RECORD_KEY for NaN, infinities, numbers that may stand for several integers, objects, functions,
 * and keys beyond the limits above.
 */
export function encodeKey(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  const text = typeof value === 'string' ? encodeText(value) : encodePart(value, 0);
  if (text.length > KEY_LENGTH_MAX) {
    throw new MillraceError(
      'RECORD_KEY',
      `a key of ${text.length} characters is longer than KEY_LENGTH_MAX (${KEY_LENGTH_MAX}): ${text.slice(0, 40)}…`,
    );
  }
  return text;
}

/**
 * The key that `encodeKey` made the text from (`-0` as `0`, `undefined` in a tuple as `null`).
 * @throws MillraceError RECORD_KEY when no key has this text.
 */
export function decodeKey(text: string | null): DecodedKey {
  return text === null ? null : decodePart(text, 0);
}

/** The key as people read it in messages and listings: `user-7`, `42`, `["shop", 42]`, `(none)`. Not a key again. */
export function keyText(encoded: string | null): string {
  if (encoded === null) return '(none)';
  if (isPlain(encoded)) return encoded;
  const key = decodeKey(encoded);
  return typeof key === 'object' ? shownTuple(key) : String(key);
}

/** Whether an encoded key is a string that stands for itself. */
export function isPlain(encoded: string): boolean {
  return encoded.length === 0 || encoded.charCodeAt(0) >= FIRST_PLAIN;
}

function encodeText(value: string): string {
  let wellFormed = true;
  for (let i = 0; i < value.length; i++) {
    if (value.charCodeAt(i) >= 0xd800) {
      wellFormed = !LONE_SURROGATE.test(value);
      break;
    }
  }
  if (wellFormed) return isPlain(value) ? value : TEXT + value;
  // After TEXT, a plain text starts with a type character and this one with a quotation mark.
  return TEXT + JSON.stringify(value);
}

function encodePart(value: unknown, depth: number): string {
  switch (typeof value) {
    case 'string':
      return encodeText(value);
    case 'number':
      // -0 becomes "0" here; every other finite number reads back from its shortest decimal.
      if (isExact(value)) return numberKey(value);
      if (Number.isFinite(value)) throw severalIntegers(value);
      break;
    case 'bigint':
      return isExact(Number(value)) ? numberKey(Number(value)) : bigintKey(value);
    case 'boolean':
      return value ? BOOLEAN + '1' : BOOLEAN + '0';
    case 'undefined':
      return NULL;
    case 'object':
      if (value === null) return NULL;
      if (Array.isArray(value)) return encodeTuple(value, depth);
      break;
  }
  throw new MillraceError(
    'RECORD_KEY',
    `${describe(value)} cannot be ${depth === 0 ? 'a key' : 'part of a key'}: ` +
      'return a string, a finite number, a bigint, a boolean, an array of these, or null for no key',
  );
}

/** Whether no other integer reads as the same number. */
function isExact(value: number): boolean {
  return value <= Number.MAX_SAFE_INTEGER && value >= Number.MIN_SAFE_INTEGER;
}

function severalIntegers(value: number): MillraceError {
  return new MillraceError(
    'RECORD_KEY',
    `the number ${value} may stand for several integers, so it cannot be a key or part of one: ` +
      'take the bigint as it was read, or a text',
  );
}

function bigintKey(value: bigint): string {
  // Written only if it can fit: digits of a huge one take longer than all else together.
  if (value < BIGINT_MAX && value > -BIGINT_MAX) return BIGINT + value;
  throw new MillraceError('RECORD_KEY', `a key is an integer of more than KEY_LENGTH_MAX (${KEY_LENGTH_MAX}) digits`);
}

/** So many keys of numbers seen lately are kept, found by the numbers' last bits. */
const KNOWN = 8192;
const knownNumbers = new Float64Array(KNOWN).fill(Number.NaN);
const knownKeys = new Array<string>(KNOWN).fill('');

/** The same keys come again and again, and a text that is one object is made, and hashed, once. */
function numberKey(value: number): string {
  const at = value & (KNOWN - 1);
  if (knownNumbers[at] === value) return knownKeys[at]!;
  const key = NUMBER + value;
  knownNumbers[at] = value;
  knownKeys[at] = key;
  return key;
}

/** Longest text of a whole number that is kept as a number: below 2^31. */
const WHOLE_DIGITS_MAX = 9;

/**
 * Keys as a column to be packed: those of whole numbers as the numbers, since a text costs several times as much to
 * write, to send and to read.
 */
export function toKeyColumn(keys: readonly (string | null)[]): readonly (string | number | null)[] {
  const first = keys.length === 0 ? null : keys[0]!;
  if (first === null || !first.startsWith(NUMBER)) return keys;
  const column = new Array<string | number | null>(keys.length);
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!;
    column[i] = key === null ? null : (wholeOf(key) ?? key);
  }
  return column;
}

/** What `toKeyColumn` made, as keys again, in place. */
export function fromKeyColumn(column: (string | number | null)[]): (string | null)[] {
  for (let i = 0; i < column.length; i++) {
    const key = column[i]!;
    if (typeof key === 'number') column[i] = numberKey(key);
  }
  return column as (string | null)[];
}

/** The number that the key is the text of, if it is a whole one and not large; null: it is not. */
function wholeOf(key: string): number | null {
  const { length } = key;
  if (length < 2 || length > 1 + WHOLE_DIGITS_MAX || key[0] !== NUMBER) return null;
  let value = 0;
  for (let i = 1; i < length; i++) {
    const digit = key.charCodeAt(i) - ZERO;
    if (digit < 0 || digit > 9 || (value === 0 && i > 1)) return null;
    value = value * 10 + digit;
  }
  return value;
}

function encodeTuple(parts: readonly unknown[], depth: number): string {
  if (depth === KEY_DEPTH_MAX) {
    throw new MillraceError('RECORD_KEY', `a key nests deeper than KEY_DEPTH_MAX (${KEY_DEPTH_MAX})`);
  }
  let text = TUPLE;
  for (let i = 0; i < parts.length; i++) {
    const part = encodePart(parts[i], depth + 1);
    text += part.length + ':' + part;
    // Stops a huge array at the limit rather than after building a huge text.
    if (text.length > KEY_LENGTH_MAX) break;
  }
  return text;
}

function decodePart(text: string, depth: number): DecodedKey {
  if (isPlain(text)) return text;
  const rest = text.slice(1);
  switch (text[0]) {
    case TEXT:
      if (rest.startsWith('"')) return decodeJsonText(text, rest);
      if (!isPlain(rest)) return rest;
      break;
    case NUMBER: {
      const number = Number(rest);
      if (isExact(number) && String(number) === rest) return number;
      break;
    }
    case BIGINT:
      if (/^-?[1-9]\d*$/.test(rest) && !isExact(Number(rest))) return BigInt(rest);
      break;
    case BOOLEAN:
      if (rest === '1' || rest === '0') return rest === '1';
      break;
    case NULL:
      if (rest === '' && depth > 0) return null;
      break;
    case TUPLE:
      if (depth < KEY_DEPTH_MAX) return decodeTuple(text, depth);
      break;
  }
  throw notAKey(text);
}

function decodeJsonText(text: string, json: string): string {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === 'string') return value;
  } catch (cause) {
    throw notAKey(text, cause);
  }
  throw notAKey(text);
}

function decodeTuple(text: string, depth: number): readonly DecodedKey[] {
  const parts: DecodedKey[] = [];
  let position = 1;
  while (position < text.length) {
    const colon = text.indexOf(':', position);
    const digits = text.slice(position, colon);
    const end = colon + 1 + Number(digits);
    if (colon < 0 || !/^(0|[1-9]\d*)$/.test(digits) || end > text.length) throw notAKey(text);
    parts.push(decodePart(text.slice(colon + 1, end), depth + 1));
    position = end;
  }
  return parts;
}

function notAKey(text: string, cause?: unknown): MillraceError {
  return new MillraceError('RECORD_KEY', `${JSON.stringify(text.slice(0, 80))} is not the text of a key`, { cause });
}

function shownTuple(key: readonly DecodedKey[] | null): string {
  return JSON.stringify(key, (_, part: unknown) => (typeof part === 'bigint' ? `${part}n` : part));
}

function describe(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'object' && value !== null) {
    if (isPromise(value)) return 'a promise';
    const name: unknown = value.constructor?.name;
    return name === 'Object' || typeof name !== 'string' ? 'an object' : `an object of class ${name}`;
  }
  return `a ${typeof value}`;
}
