/**
 * Snapshots: a list of segments, each holding what changed between two checkpoints, and a manifest that names them. A
 * state is its segments' writes done in order. Pure: bytes in, bytes out; whoever keeps the blobs calls this.
 *
 * A segment: version u8 · crc32 of the rest u32 little-endian · writes. A write is a byte for its kind, then its key as
 * the count of bytes it shares with the key before, the count of its own, and these; a put has the count of its value's
 * bytes and the value. A clear's key is what all its keys start with. Counts are LEB128. Keys are those of the store
 * (`layout.ts`), so a segment can be told apart by table and bucket without knowing any plan.
 *
 * Segments of one *run* were written together. When later runs outweigh an earlier one, they are merged with it: every
 * byte is rewritten a logarithmic number of times, and a snapshot is a logarithmic number of runs (the log-structured
 * merge tree's tiers, O'Neil et al. 1996).
 */
import { crc32 } from 'node:zlib';
import { MillraceError } from '../base/errors.ts';
import type { StoreWrite } from '../port/store.ts';
import { asBuffer, prefixEnd, prefixLength } from './layout.ts';

/** Longest segment; a single entry that is longer has one to itself. Small, because one is read without a pause. */
export const SEGMENT_BYTES_MAX = 1024 * 1024;
const VERSION = 1;
const HEAD_BYTES = 5;
const PUT = 1;
const DEL = 2;
const CLEAR = 3;
/** Kind and three counts of at most five bytes. */
const WRITE_BYTES_MAX = 16;
const FIRST_BYTES = 4096;
/** So many writes are worked at without a pause: about a millisecond. */
const STEP_WRITES = 500;

/** What a step of long work has made. Null: nothing yet, and whoever has others to serve lets them have their turn. */
export type Step = Uint8Array | null;

export interface SegmentRef {
  /** Name of the blob. */
  readonly name: string;
  readonly bytes: number;
  /** Which were written together. Equal numbers are neighbours; later runs have higher ones. */
  readonly run: number;
}

/** What a snapshot is, oldest segment first. Written after all its segments. */
export interface Manifest {
  /** The commit that the snapshot reflects. */
  readonly commitSeq: number;
  /** Sequence of that commit's last message in the journal. */
  readonly journalSeq: number;
  readonly segments: readonly SegmentRef[];
}

export function encodeManifest(manifest: Manifest): Uint8Array {
  return Buffer.from(JSON.stringify({ version: VERSION, ...manifest }));
}

/** Throws JOURNAL_CORRUPT. */
export function decodeManifest(bytes: Uint8Array): Manifest {
  let read: (Manifest & { version: number }) | null;
  try {
    read = JSON.parse(asBuffer(bytes).toString());
  } catch (cause) {
    throw new MillraceError('JOURNAL_CORRUPT', 'a snapshot manifest cannot be read', { cause });
  }
  const isManifest =
    read?.version === VERSION &&
    Number.isSafeInteger(read.commitSeq) &&
    Number.isSafeInteger(read.journalSeq) &&
    Array.isArray(read.segments) &&
    read.segments.every(ref => typeof ref?.name === 'string' && ref.bytes >= 0 && Number.isSafeInteger(ref.run));
  if (!isManifest)
    throw new MillraceError('JOURNAL_CORRUPT', 'a snapshot manifest is of no form that this version reads');
  const { commitSeq, journalSeq, segments } = read!;
  return { commitSeq, journalSeq, segments };
}

/**
 * From which segment on all should be merged into one run; null: it does not pay yet. That is the oldest run that the
 * later ones together outweigh.
 */
export function mergeFrom(segments: readonly SegmentRef[]): number | null {
  let later = 0;
  let from: number | null = null;
  for (let end = segments.length; end > 0; ) {
    let start = end;
    let bytes = 0;
    while (start > 0 && segments[start - 1]!.run === segments[end - 1]!.run) bytes += segments[--start]!.bytes;
    if (later > 0 && later >= bytes) from = start;
    later += bytes;
    end = start;
  }
  return from;
}

/** The writes as segments, in order. */
export function* encodeSegments(writes: readonly StoreWrite[]): Generator<Step> {
  let segment = new SegmentWriter();
  for (let i = 0; i < writes.length; i++) {
    if (!segment.fits(writes[i]!)) {
      yield segment.finish();
      segment = new SegmentWriter();
    }
    segment.add(writes[i]!);
    if (i % STEP_WRITES === STEP_WRITES - 1) yield null;
  }
  if (!segment.isEmpty) yield segment.finish();
}

/** Throws JOURNAL_CORRUPT. What is returned shares memory with `segment`. */
export function decodeSegment(segment: Uint8Array): StoreWrite[] {
  const writes: StoreWrite[] = [];
  for (const some of readSegment(segment)) for (const write of some) writes.push(write);
  return writes;
}

/** The writes of a segment, so many at a time. */
function* readSegment(segment: Uint8Array): Generator<StoreWrite[]> {
  const bytes = asBuffer(segment);
  if (
    bytes.length < HEAD_BYTES ||
    bytes[0] !== VERSION ||
    bytes.readUInt32LE(1) !== crc32(bytes.subarray(HEAD_BYTES))
  ) {
    throw new MillraceError('JOURNAL_CORRUPT', 'a snapshot segment is damaged, or written by a later version');
  }
  let writes: StoreWrite[] = [];
  const cursor = { bytes, at: HEAD_BYTES };
  let key = Buffer.alloc(0);
  while (cursor.at < bytes.length) {
    const kind = bytes[cursor.at++];
    const shared = takeCount(cursor);
    if (shared > key.length) {
      throw new MillraceError('JOURNAL_CORRUPT', 'a snapshot segment names more of the key before than there is');
    }
    const own = takeBytes(cursor);
    const whole = Buffer.allocUnsafe(shared + own.length);
    whole.set(key.subarray(0, shared));
    whole.set(own, shared);
    key = whole;
    if (kind === PUT) writes.push({ type: 'put', key, value: takeBytes(cursor) });
    else if (kind === DEL) writes.push({ type: 'del', key });
    else writes.push({ type: 'clear', gte: key, lt: prefixEnd(key) });
    if (writes.length < STEP_WRITES) continue;
    yield writes;
    writes = [];
  }
  yield writes;
}

/**
 * Merges segments: of each key only the latest write is left, of a cleared bucket only what came after.
 *
 * Takes the *newest segment first* and gives the newest first, so that it can read and write a blob at a time; what is
 * held is one segment and the set of keys seen. With `isWhole` the oldest segment of the snapshot is among them, and
 * deletions need not be kept. Throws JOURNAL_CORRUPT.
 */
export async function* mergeSegments(
  newestFirst: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: { isWhole: boolean },
): AsyncGenerator<Step> {
  const seen = new Set<string>();
  const cleared = new Set<string>();
  let kept: StoreWrite[] = [];
  let bytes = HEAD_BYTES;
  for await (const segment of newestFirst) {
    const read: StoreWrite[][] = [];
    for (const some of readSegment(segment)) {
      read.push(some);
      if (some.length === STEP_WRITES) yield null;
    }
    for (let last = read.pop(); last !== undefined; last = read.pop()) {
      for (let i = last.length - 1; i >= 0; i--) {
        const write = last[i]!;
        const key = asBuffer(write.type === 'clear' ? write.gte : write.key);
        const bucket = key.toString('latin1', 0, prefixLength(key));
        if (cleared.has(bucket)) continue;
        const text = key.toString('latin1');
        if (write.type === 'clear') cleared.add(bucket);
        else if (seen.has(text)) continue;
        else seen.add(text);
        if (options.isWhole && write.type !== 'put') continue;
        const length = lengthMax(write);
        if (bytes + length > SEGMENT_BYTES_MAX && kept.length > 0) {
          // One segment, as it is measured here as it is there.
          yield* encodeSegments(kept.reverse());
          kept = [];
          bytes = HEAD_BYTES;
        }
        kept.push(write);
        bytes += length;
      }
      if (last.length === STEP_WRITES) yield null;
    }
  }
  if (kept.length > 0) yield* encodeSegments(kept.reverse());
}

class SegmentWriter {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
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

  add(write: StoreWrite): void {
    const length = lengthMax(write);
    this.#bytesMax += length;
    if (this.#at + length > this.#bytes.length) this.#grow(length);
    const bytes = this.#bytes;
    const before = this.#before;
    const key = write.type === 'clear' ? write.gte : write.key;
    let shared = 0;
    while (shared < before.length && shared < key.length && before[shared] === key[shared]) shared++;
    let at = this.#at;
    bytes[at++] = write.type === 'put' ? PUT : write.type === 'del' ? DEL : CLEAR;
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

  finish(): Uint8Array {
    const bytes = this.#bytes.subarray(0, this.#at);
    bytes[0] = VERSION;
    bytes.writeUInt32LE(crc32(bytes.subarray(HEAD_BYTES)), 1);
    return bytes;
  }

  #grow(length: number): void {
    const larger = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#at + length));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
  }
}

function lengthMax(write: StoreWrite): number {
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

interface Cursor {
  readonly bytes: Buffer;
  at: number;
}

function takeCount(cursor: Cursor): number {
  let count = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = cursor.bytes[cursor.at++] ?? 0;
    count |= (byte & 0x7f) << shift;
    if (byte < 0x80 || shift > 28) return count >>> 0;
  }
}

function takeBytes(cursor: Cursor): Buffer {
  const length = takeCount(cursor);
  cursor.at += length;
  return cursor.bytes.subarray(cursor.at - length, cursor.at);
}
