/**
 * Integers of JSON that a double cannot hold, those beyond ±(2^53 − 1): they become bigints, and `JSON.parse` alone would
 * make the nearest double of them, one for several. Every other number is the double that it always was.
 *
 * They are rare, so nearly every message pays for one look at each sixteenth byte and nothing else: a run of sixteen
 * digits cannot lie between two of these.
 */
import { MillraceError } from '../base/errors.ts';

/** Digits of an integer. Beyond any use, it bounds what a message can ask of arithmetic. */
export const INTEGER_DIGITS_MAX = 1_000;

const LARGEST_SAFE = String(Number.MAX_SAFE_INTEGER);
const DIGITS_MIN = LARGEST_SAFE.length;

const QUOTE = 0x22;
const PLUS = 0x2b;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const UPPER_E = 0x45;
const BACKSLASH = 0x5c;
const LOWER_E = 0x65;

/** Whether JSON bytes may hold such an integer; that they do not is certain. */
export function mayHoldLongIntegers(data: Uint8Array): boolean {
  const { length } = data;
  for (let at = DIGITS_MIN - 1; at < length; at += DIGITS_MIN) {
    const byte = data[at]!;
    if (byte > NINE || byte < ZERO || isShort(data, at)) continue;
    let from = at;
    while (from > 0 && isDigit(data[from - 1]!)) from--;
    while (at + 1 < length && isDigit(data[at + 1]!)) at++;
    // Behind the digits it goes on, so however many there are, they are looked at once.
    if (isLongInteger(data, from, at + 1)) return true;
  }
  return false;
}

/** Sixteen digits have four of each fourth byte. It settles nearly all that are fewer, times among them. */
function isShort(data: Uint8Array, at: number): boolean {
  let fourths = 1;
  for (let i = at - 4; fourths < 4 && i >= 0 && isDigit(data[i]!); i -= 4) fourths++;
  for (let i = at + 4; fourths < 4 && i < data.length && isDigit(data[i]!); i += 4) fourths++;
  return fourths < 4;
}

/** Not behind a point or before one, nor a text that is nothing else. */
function isLongInteger(data: Uint8Array, from: number, end: number): boolean {
  const count = end - from;
  if (count < DIGITS_MIN || (count === DIGITS_MIN && data[from]! < NINE)) return false;
  if (from > 0 && (data[from - 1] === POINT || data[from - 1] === QUOTE)) return false;
  return end === data.length || !isOfDouble(data[end]!);
}

/**
 * What `JSON.parse` gives, with bigints for such integers; `value` is what it gave, and is changed.
 * @throws MillraceError RECORD_UNREADABLE for an integer of more than `INTEGER_DIGITS_MAX` digits.
 */
export function withExactIntegers(text: string, value: unknown): unknown {
  const quoted = withQuotes(text);
  return quoted === text ? value : exact(value, JSON.parse(quoted));
}

/** Valid JSON with these integers in quotes. */
function withQuotes(text: string): string {
  let quoted = '';
  let copied = 0;
  let at = 0;
  while (at < text.length) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) {
      at = endOfString(text, at);
      continue;
    }
    if (unit !== MINUS && !isDigit(unit)) {
      at++;
      continue;
    }
    const from = at++;
    while (isDigit(text.charCodeAt(at))) at++;
    const digits = unit === MINUS ? from + 1 : from;
    if (isOfDouble(text.charCodeAt(at))) {
      // A point or an exponent makes it a double, however long it is.
      while (isDigit(text.charCodeAt(at)) || isOfDouble(text.charCodeAt(at))) at++;
    } else if (isLong(text, digits, at)) {
      quoted += `${text.slice(copied, from)}"${text.slice(from, at)}"`;
      copied = at;
    }
  }
  return copied === 0 ? text : quoted + text.slice(copied);
}

function isLong(text: string, from: number, end: number): boolean {
  const count = end - from;
  if (count < DIGITS_MIN) return false;
  if (count > INTEGER_DIGITS_MAX) {
    const what = `an integer of ${count} digits is longer than INTEGER_DIGITS_MAX (${INTEGER_DIGITS_MAX})`;
    throw new MillraceError('RECORD_UNREADABLE', what);
  }
  return count > DIGITS_MIN || text.slice(from, end) > LARGEST_SAFE;
}

/** Behind the closing quote of the string that begins there. */
function endOfString(text: string, from: number): number {
  let at = from;
  for (;;) {
    at = text.indexOf('"', at + 1);
    if (at < 0) return text.length;
    let before = at;
    while (text.charCodeAt(before - 1) === BACKSLASH) before--;
    // An even number of backslashes are so many halves of escapes, and the quote is none.
    if ((at - before) % 2 === 0) return at + 1;
  }
}

/**
 * The same text read twice: where one reading has a number and the other a string, there it is in quotes. So no mark is
 * needed that a stranger's text could have, too. Without recursion: JSON nests deeper than calls can.
 */
function exact(value: unknown, quoted: unknown): unknown {
  if (typeof value === 'number' && typeof quoted === 'string') return BigInt(quoted);
  const open: unknown[] = [value, quoted];
  while (open.length > 0) {
    const from = open.pop() as Record<string, unknown>;
    const into = open.pop() as Record<string, unknown>;
    if (typeof into !== 'object' || into === null) continue;
    for (const name of Object.keys(into)) {
      const field = from[name];
      const read = into[name];
      if (typeof read === 'object') open.push(read, field);
      else if (typeof read === 'number' && typeof field === 'string') put(into, name, BigInt(field));
    }
  }
  return value;
}

function put(fields: Record<string, unknown>, name: string, value: bigint): void {
  if (name !== '__proto__') fields[name] = value;
  else Object.defineProperty(fields, name, { value, writable: true, enumerable: true, configurable: true });
}

function isDigit(unit: number): boolean {
  return unit >= ZERO && unit <= NINE;
}

function isOfDouble(unit: number): boolean {
  return unit === POINT || unit === LOWER_E || unit === UPPER_E || unit === PLUS || unit === MINUS;
}
