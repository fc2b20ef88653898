/**
 * Segments: changes of a state as bytes. Pure: writes in, bytes out, and back. What they are kept for is `snapshot.ts`'s and
 * `write-log.ts`'s.
 *
 * A segment: version u8 · crc32 of the rest u32 little-endian · writes. A write is a byte for its kind, then its key as
 * the count of bytes it shares with the key before, the count of its own, and these; a put has the count of its value's
 * bytes and the value. A clear's key is what all its keys start with. Counts are LEB128. Keys are those of the store
 * (`layout.ts`), so a segment can be told apart by table and bucket without knowing any plan.
 */
import { crc32 } from 'node:zlib';
import { BEGIN_ANEW, MillraceError } from '../base/errors.ts';
import type { StoreWrite } from '../port/store.ts';
import { asBuffer, prefixEnd } from './layout.ts';

/** Longest segment; a single entry that is longer has one to itself. Small, because one is read without a pause. */
export const SEGMENT_BYTES_MAX = 1024 * 1024;
/** So many writes are worked at without a pause: about a millisecond. */
export const STEP_WRITES = 500;
const VERSION = 2;
export const HEAD_BYTES = 5;
const PUT = 1;
const DEL = 2;
const CLEAR = 3;
/** A put that a snapshot need not hear of: in memory alone, in no segment of a snapshot. */
const CACHED_PUT = 4;
/** Kind and three counts of at most five bytes. */
const WRITE_BYTES_MAX = 16;
const FIRST_BYTES = 4096;

/** What a step of long work has made. Null: nothing yet, and whoever has others to serve lets them have their turn. */
export type SegmentOrPause = Uint8Array | null;

/** The writes as segments, in order. */
export function* encodeSegments(writes: Iterable<StoreWrite>): Generator<SegmentOrPause> {
  const segment = new SegmentWriter();
  let done = 0;
  for (const write of writes) {
    if (!segment.fits(write)) yield segment.finish();
    segment.add(write);
    if (++done % STEP_WRITES === 0) yield null;
  }
  if (!segment.isEmpty) yield segment.finish();
}

/** Throws JOURNAL_CORRUPT. What is returned shares memory with `segment`. */
export function decodeSegment(segment: Uint8Array): StoreWrite[] {
  const writes: StoreWrite[] = [];
  for (const some of readSegment(segment)) for (const write of some) writes.push(write);
  return writes;
}

/** The writes of a segment, so many at a time. Throws JOURNAL_CORRUPT. */
export function* readSegment(segment: Uint8Array): Generator<StoreWrite[]> {
  const bytes = asBuffer(segment);
  if (bytes.length > 0 && bytes[0] !== VERSION) {
    throw new MillraceError(
      'JOURNAL_CORRUPT',
      `a snapshot segment has format ${bytes[0]}, of another version of Millrace, or is damaged; this one reads ${VERSION}: ${BEGIN_ANEW}`,
    );
  }
  if (bytes.length < HEAD_BYTES || bytes.readUInt32LE(1) !== crc32(bytes.subarray(HEAD_BYTES))) {
    throw new MillraceError('JOURNAL_CORRUPT', `a snapshot segment is damaged: ${BEGIN_ANEW}`);
  }
  const reader = new SegmentReader(bytes);
  let writes: StoreWrite[] = [];
  for (let write = reader.next(); write !== null; write = reader.next()) {
    writes.push(write);
    if (writes.length < STEP_WRITES) continue;
    yield writes;
    writes = [];
  }
  yield writes;
}

/** Goes through the writes of a segment that is known to be whole. What it gives shares memory with the segment. */
export class SegmentReader {
  /** Whether a snapshot must hear of the last write, too. */
  isNews = true;
  readonly #bytes: Buffer;
  #at = HEAD_BYTES;
  #key: Buffer = Buffer.alloc(0);

  constructor(bytes: Uint8Array) {
    this.#bytes = asBuffer(bytes);
  }

  /** Null: there are no more. Throws JOURNAL_CORRUPT. */
  next(): StoreWrite | null {
    const bytes = this.#bytes;
    if (this.#at >= bytes.length) return null;
    const kind = bytes[this.#at++];
    const shared = this.#count();
    if (shared > this.#key.length) {
      throw new MillraceError('JOURNAL_CORRUPT', 'a snapshot segment names more of the key before than there is');
    }
    const own = this.#count();
    const key = Buffer.allocUnsafe(shared + own);
    this.#key.copy(key, 0, 0, shared);
    bytes.copy(key, shared, this.#at, this.#at + own);
    this.#at += own;
    this.#key = key;
    this.isNews = kind !== CACHED_PUT;
    if (kind === DEL) return { type: 'del', key };
    if (kind === CLEAR) return { type: 'clear', gte: key, lt: prefixEnd(key) };
    const length = this.#count();
    this.#at += length;
    return { type: 'put', key, value: bytes.subarray(this.#at - length, this.#at) };
  }

  #count(): number {
    let count = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.#at++] ?? 0;
      count |= (byte & 0x7f) << shift;
      if (byte < 0x80 || shift > 28) return count >>> 0;
    }
  }
}

/** Writes one segment after the other. */
export class SegmentWriter {
  /** Room for the segment in hand; the next one finds it large enough. */
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #at = HEAD_BYTES;
  /** How long it would be if no key had anything in common with the one before. */
  #bytesMax = HEAD_BYTES;
  #before: Uint8Array = new Uint8Array(0);

  get isEmpty(): boolean {
    return this.#at === HEAD_BYTES;
  }

  fits(write: StoreWrite): boolean {
    return this.isEmpty || this.#bytesMax + lengthMax(write) <= SEGMENT_BYTES_MAX;
  }

  /** `isNews` false: a put that is not for a snapshot; then the segment is not, either. */
  add(write: StoreWrite, isNews = true): void {
    const length = lengthMax(write);
    this.#bytesMax += length;
    if (this.#at + length > this.#bytes.length) this.#grow(length);
    const bytes = this.#bytes;
    const before = this.#before;
    const key = write.type === 'clear' ? write.gte : write.key;
    let shared = 0;
    while (shared < before.length && shared < key.length && before[shared] === key[shared]) shared++;
    let at = this.#at;
    bytes[at++] = write.type === 'del' ? DEL : write.type === 'clear' ? CLEAR : isNews ? PUT : CACHED_PUT;
    at = putCount(bytes, at, shared);
    at = putCount(bytes, at, key.length - shared);
    for (let i = shared; i < key.length; i++) bytes[at++] = key[i]!;
    if (write.type === 'put') {
      at = putCount(bytes, at, write.value.length);
      bytes.set(write.value, at);
      at += write.value.length;
    }
    this.#before = key;
    this.#at = at;
  }

  /** The segment, no longer than it must be since many may wait; another one begins. */
  finish(): Uint8Array {
    const bytes = Buffer.allocUnsafeSlow(this.#at);
    this.#bytes.copy(bytes, HEAD_BYTES, HEAD_BYTES, this.#at);
    bytes[0] = VERSION;
    bytes.writeUInt32LE(crc32(bytes.subarray(HEAD_BYTES)), 1);
    this.#at = this.#bytesMax = HEAD_BYTES;
    this.#before = new Uint8Array(0);
    return bytes;
  }

  #grow(length: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, this.#at + length));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

/** How long a write is in a segment at most. */
export function lengthMax(write: StoreWrite): number {
  if (write.type === 'clear') return WRITE_BYTES_MAX + write.gte.length;
  return WRITE_BYTES_MAX + write.key.length + (write.type === 'put' ? write.value.length : 0);
}

function putCount(bytes: Buffer, start: number, count: number): number {
  let at = start;
  let rest = count;
  for (; rest >= 0x80; rest >>>= 7) bytes[at++] = (rest & 0x7f) | 0x80;
  bytes[at++] = rest;
  return at;
}
