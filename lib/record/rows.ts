/**
 * Packed values: how records travel in frames between tasks, and how state and journals are written. The layout is in
 * `rows-layout.ts`.
 *
 * Carried unchanged: undefined and a missing field (apart), null, booleans, numbers (NaN, −0, infinities), bigints of up
 * to 1,000 digits, strings (lone surrogates too), Date, Uint8Array (a Buffer becomes a Uint8Array), Map, Set, arrays (a hole becomes
 * undefined), plain objects with their own enumerable string-named fields in order. Everything else is refused.
 *
 * Why not msgpack: it loses −0 and lone surrogates, does not tell a Map from an object, writes class instances as if they
 * were plain, and either spells every name in every row or keeps shared state between calls. This is as fast as
 * `msgpackr` with records: some 5 to 9 million rows of four fields a second written, 8 to 25 read (Node 20, Zen 4).
 */
import { isMillraceError } from '../base/errors.ts';
import { NESTING_MAX, VALUE_NESTING_MAX } from './rows-layout.ts';
import { corrupt, RowReader } from './rows-reader.ts';
import { RowWriter } from './rows-writer.ts';

/** The one writer, unless it is at work: a getter of a value being packed may pack, too. */
let idleWriter: RowWriter | null = new RowWriter();

/**
 * One value as bytes; equal values give equal bytes.
 * @throws MillraceError RECORD_UNWRITABLE naming the field: functions, symbols, class instances, bigints of more than
 * 1,000 digits, nesting deeper than 128.
 */
export function pack(value: unknown): Uint8Array {
  return packTo(value, NESTING_MAX);
}

function packTo(value: unknown, depthMax: number): Uint8Array {
  const writer = idleWriter ?? new RowWriter();
  idleWriter = null;
  try {
    return writer.pack(value, depthMax);
  } finally {
    idleWriter = writer;
  }
}

/**
 * The value that was packed. Nothing in it shares memory with `packed`.
 * @throws MillraceError JOURNAL_CORRUPT
 */
export function unpack(packed: Uint8Array): unknown {
  try {
    return new RowReader(packed).whole();
  } catch (error) {
    // What a damaged length or text makes of DataView and JSON.parse.
    throw isMillraceError(error) ? error : corrupt('damaged bytes', error);
  }
}

export { VALUE_NESTING_MAX } from './rows-layout.ts';

/**
 * The values of records as one: rows of one shape cost their field values alone. Throws as `pack`, naming row and field,
 * and for a value that nests deeper than `VALUE_NESTING_MAX`.
 */
export function encodeRows(values: readonly unknown[]): Uint8Array {
  return packTo(values, VALUE_NESTING_MAX + 1);
}

/** The values, in order. Throws as `unpack`. */
export function decodeRows(packed: Uint8Array): unknown[] {
  const values = unpack(packed);
  if (!Array.isArray(values)) throw corrupt('not a list of rows');
  return values;
}
