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

/** Longest segment; a single entry that is longer has one to itself. Small, because one is read, or merged, without a pause. */
export const SEGMENT_BYTES_MAX = 1024 * 1024;
const VERSION = 1;
const HEAD_BYTES = 5;
const PUT = 1;
const DEL = 2;
const CLEAR = 3;
/** Kind and three counts of at most five bytes. */
const WRITE_BYTES_MAX = 16;

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
export function* encodeSegments(writes: readonly StoreWrite[]): Generator<Uint8Array> {
  let start = 0;
  let bytes = HEAD_BYTES;
  for (let i = 0; i < writes.length; i++) {
    const length = lengthMax(writes[i]!);
    if (bytes + length > SEGMENT_BYTES_MAX && i > start) {
      yield encodeSegment(writes, start, i, bytes);
      start = i;
      bytes = HEAD_BYTES;
    }
    bytes += length;
  }
  if (start < writes.length) yield encodeSegment(writes, start, writes.length, bytes);
}

/** Throws JOURNAL_CORRUPT. What is returned shares memory with `segment`. */
export function decodeSegment(segment: Uint8Array): StoreWrite[] {
  const bytes = asBuffer(segment);
  if (
    bytes.length < HEAD_BYTES ||
    bytes[0] !== VERSION ||
    bytes.readUInt32LE(1) !== crc32(bytes.subarray(HEAD_BYTES))
  ) {
    throw new MillraceError('JOURNAL_CORRUPT', 'a snapshot segment is damaged, or written by a later version');
  }
  const writes: StoreWrite[] = [];
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
  }
  return writes;
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
): AsyncGenerator<Uint8Array> {
  const seen = new Set<string>();
  const cleared = new Set<string>();
  let kept: StoreWrite[] = [];
  let bytes = HEAD_BYTES;
  for await (const segment of newestFirst) {
    const writes = decodeSegment(segment);
    for (let i = writes.length - 1; i >= 0; i--) {
      const write = writes[i]!;
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
        yield encodeSegment(kept.reverse(), 0, kept.length, bytes);
        kept = [];
        bytes = HEAD_BYTES;
      }
      kept.push(write);
      bytes += length;
    }
  }
  if (kept.length > 0) yield encodeSegment(kept.reverse(), 0, kept.length, bytes);
}

function lengthMax(write: StoreWrite): number {
  if (write.type === 'clear') return WRITE_BYTES_MAX + write.gte.length;
  return WRITE_BYTES_MAX + write.key.length + (write.type === 'put' ? write.value.length : 0);
}

function encodeSegment(writes: readonly StoreWrite[], start: number, end: number, bytesMax: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(bytesMax);
  let at = HEAD_BYTES;
  let before = new Uint8Array(0);
  for (let i = start; i < end; i++) {
    const write = writes[i]!;
    const key = write.type === 'clear' ? write.gte : write.key;
    let shared = 0;
    while (shared < before.length && shared < key.length && before[shared] === key[shared]) shared++;
    bytes[at++] = write.type === 'put' ? PUT : write.type === 'del' ? DEL : CLEAR;
    at = putCount(bytes, at, shared);
    at = putCount(bytes, at, key.length - shared);
    bytes.set(shared === 0 ? key : key.subarray(shared), at);
    at += key.length - shared;
    before = key as Uint8Array<ArrayBuffer>;
    if (write.type !== 'put') continue;
    at = putCount(bytes, at, write.value.length);
    bytes.set(write.value, at);
    at += write.value.length;
  }
  bytes[0] = VERSION;
  bytes.writeUInt32LE(crc32(bytes.subarray(HEAD_BYTES, at)), 1);
  return bytes.subarray(0, at);
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
