/**
 * The schema of a task's disk, on one page. Everything in the store is under one of four kinds of key:
 *
 *   entry     table 00 bucket key     → the packed value, or the packed list of items (`record/rows.ts`)
 *   count     !count 00 table 00 bucket → how many entries the bucket has, u32 little-endian; none: no such bucket
 *   total     !total 00               → how many entries there are in all, u32 little-endian
 *   meta      !meta 00 name           → the owner's own: the pointer to the commit that all of this reflects
 *
 * - `table` is UTF-8 without NUL and does not start with `!`.
 * - `bucket` is a signed 64-bit integer, big-endian, sign bit flipped: bytes order as numbers do, oldest first.
 * - `key` is UTF-8. A key that is not well-formed Unicode, which UTF-8 cannot carry, is FF and its UTF-16 units,
 *   big-endian; FF never occurs in UTF-8, so the two cannot meet.
 *
 * A bucket is a contiguous range, so that dropping one is one `clear`. Counts are there because a partly loaded bucket
 * must know whether anything of it is left on disk; without them, that would be a scan. The total is there because a
 * damaged LevelDB loses keys without an error: with a count lost, the total does not add up.
 */
import { invariant, MillraceError } from '../base/errors.ts';

const COUNT = '!count\0';
const TOTAL = '!total\0';
const META = '!meta\0';
const BUCKET_BYTES = 8;
const NOT_UTF8 = 0xff;
const TWO_32 = 2 ** 32;

export interface KeyRange {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
}

/** Throws INVARIANT for a table name that the schema cannot hold. */
export function checkTableName(name: string): void {
  invariant(/^[^!\0][^\0]*$/.test(name) && isWellFormed(name), `'${name}' cannot be the name of a state table`);
}

/** The key of the owner's own record of that name. */
export function metaKey(name: string): Uint8Array {
  return Buffer.from(META + name);
}

/** What all entries of a bucket start with. */
export function bucketPrefix(table: string, bucket: number): Buffer {
  return prefixOf(table + '\0', bucket);
}

/** The key of the bucket's count. */
export function countKey(table: string, bucket: number): Uint8Array {
  return prefixOf(COUNT + table + '\0', bucket);
}

/** The key of the total. */
export function totalKey(): Uint8Array {
  return Buffer.from(TOTAL);
}

/** All counts of all tables, oldest bucket of a table first. */
export function countRange(): KeyRange {
  const prefix = Buffer.from(COUNT);
  return { gte: prefix, lt: prefixEnd(prefix) };
}

/** All entries of the buckets `first` to `last`, both included. */
export function bucketRange(table: string, first: number, last = first): KeyRange {
  return { gte: bucketPrefix(table, first), lt: prefixEnd(bucketPrefix(table, last)) };
}

/** The key as the disk writes it behind its bucket's prefix. */
export function keyBytes(key: string): Buffer {
  if (isWellFormed(key)) return Buffer.from(key);
  const bytes = Buffer.allocUnsafe(1 + key.length * 2);
  bytes[0] = NOT_UTF8;
  for (let i = 0; i < key.length; i++) bytes.writeUInt16BE(key.charCodeAt(i), 1 + i * 2);
  return bytes;
}

/** What `keyBytes` wrote. */
export function keyOf(bytes: Buffer): string {
  if (bytes[0] !== NOT_UTF8) return bytes.toString();
  let key = '';
  for (let at = 1; at + 1 < bytes.length; at += 2) key += String.fromCharCode(bytes.readUInt16BE(at));
  return key;
}

/** The whole key of an entry. */
export function entryKey(prefix: Buffer, key: string): Buffer {
  const whole = Buffer.allocUnsafe(prefix.length + key.length);
  whole.set(prefix);
  // Mostly ASCII, whose bytes are its units: a third of the time of asking first and joining what was made apart.
  for (let i = 0; i < key.length; i++) {
    const unit = key.charCodeAt(i);
    if (unit >= 0x80) return Buffer.concat([prefix, keyBytes(key)]);
    whole[prefix.length + i] = unit;
  }
  return whole;
}

/** How long the bucket's prefix is that the entry's key starts with. Throws STORE_CORRUPT. */
export function prefixLength(entry: Buffer): number {
  const length = entry.indexOf(0) + 1 + BUCKET_BYTES;
  if (length <= BUCKET_BYTES + 1 || length > entry.length) throw damaged(entry);
  return length;
}

/** Takes the prefix of a bucket's entries apart. Throws STORE_CORRUPT. */
export function parsePrefix(prefix: Buffer): { table: string; bucket: number } {
  const at = prefixLength(prefix) - BUCKET_BYTES;
  return { table: prefix.toString('utf8', 0, at - 1), bucket: bucketAt(prefix, at) };
}

/** Which bucket a count is about. Throws STORE_CORRUPT. */
export function parseCountKey(key: Buffer): { table: string; bucket: number } {
  return parsePrefix(key.subarray(COUNT.length));
}

export function encodeCount(count: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(count);
  return bytes;
}

/** Throws STORE_CORRUPT. */
export function decodeCount(value: Uint8Array): number {
  const bytes = asBuffer(value);
  if (bytes.length !== 4) throw damaged(bytes);
  return bytes.readUInt32LE();
}

/** The end of the range of all keys that start with `prefix`. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  const end = Buffer.from(prefix);
  for (let i = end.length - 1; i >= 0; i--) {
    if (end[i]! < 0xff) {
      end[i]!++;
      return end.subarray(0, i + 1);
    }
  }
  throw new MillraceError('INVARIANT', 'a prefix of FF only has no end');
}

/** The same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function prefixOf(name: string, bucket: number): Buffer {
  const bytes = Buffer.allocUnsafe(Buffer.byteLength(name) + BUCKET_BYTES);
  const at = bytes.write(name);
  bytes.writeUInt32BE((Math.floor(bucket / TWO_32) ^ 0x80000000) >>> 0, at);
  bytes.writeUInt32BE(bucket >>> 0, at + 4);
  return bytes;
}

function bucketAt(bytes: Buffer, at: number): number {
  return (bytes.readUInt32BE(at) ^ 0x80000000) * TWO_32 + bytes.readUInt32BE(at + 4);
}

/** In the engine since V8 11.3 (Node 20), in TypeScript's library only with ES2024. */
function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}

function damaged(bytes: Buffer): MillraceError {
  return new MillraceError(
    'STORE_CORRUPT',
    `the local store holds a key or count of no known form: ${bytes.toString('hex').slice(0, 80)}`,
  );
}
