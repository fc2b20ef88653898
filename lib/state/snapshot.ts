/**
 * Snapshots: a list of segments (`segment.ts`), each holding what changed between two checkpoints, and a manifest that
 * names them. A state is its segments' writes done in order. Pure: bytes in, bytes out; whoever keeps the blobs calls this.
 *
 * Segments of one *run* were written together. When later runs outweigh an earlier one, they are merged with it: every
 * byte is rewritten a logarithmic number of times, and a snapshot is a logarithmic number of runs (the log-structured
 * merge tree's tiers, O'Neil et al. 1996).
 */
import { BEGIN_ANEW, MillraceError } from '../base/errors.ts';
import type { StoreWrite } from '../port/store.ts';
import { asBuffer, prefixLength } from './layout.ts';
import { hashOfKey } from './packed-key.ts';
import {
  encodeSegments,
  HEAD_BYTES,
  lengthMax,
  readSegment,
  SEGMENT_BYTES_MAX,
  type SegmentOrPause,
  STEP_WRITES,
} from './segment.ts';
import { Slots } from './slots.ts';

const VERSION = 2;

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
  if (!isManifest) {
    throw new MillraceError(
      'JOURNAL_CORRUPT',
      `a snapshot manifest has format ${read?.version}, of another version of Millrace, or is damaged; this one reads ${VERSION}: ${BEGIN_ANEW}`,
    );
  }
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

/** An entry's key as its task has it, and how long the prefix of its bucket is: the key to go on under. */
export type KeyFor = (key: Buffer, prefixLength: number) => Buffer | null;

/**
 * Merges segments: of each key only the latest write is left, of a cleared bucket only what came after.
 *
 * Takes the *newest segment first* and gives the newest first, so that it can read and write a blob at a time; what is
 * held is one segment and the set of keys seen. With `isWhole` the oldest segment of the snapshot is among them, and
 * deletions need not be kept. `keyFor` says what an entry shall be called, or null if nobody asks for it; a clear is of its
 * whole bucket, so it counts for any of them. Throws JOURNAL_CORRUPT.
 */
export async function* mergeSegments(
  newestFirst: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: { isWhole: boolean; keyFor?: KeyFor },
): AsyncGenerator<SegmentOrPause> {
  const seen = new KeySet();
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
        const end = prefixLength(key);
        const bucket = key.toString('latin1', 0, end);
        if (cleared.has(bucket)) continue;
        const name = write.type === 'clear' || options.keyFor === undefined ? key : options.keyFor(key, end);
        if (name === null) continue;
        if (write.type === 'clear') cleared.add(bucket);
        else if (!seen.add(bucket, key.toString('latin1', end))) continue;
        if (options.isWhole && write.type !== 'put') continue;
        const own = options.keyFor === undefined ? write : copyOf(write, name);
        const length = lengthMax(own);
        if (bytes + length > SEGMENT_BYTES_MAX && kept.length > 0) {
          // One segment, as it is measured here as it is there.
          yield* encodeSegments(kept.reverse());
          kept = [];
          bytes = HEAD_BYTES;
        }
        kept.push(own);
        bytes += length;
      }
      if (last.length === STEP_WRITES) yield null;
    }
  }
  if (kept.length > 0) yield* encodeSegments(kept.reverse());
}

/** With memory of its own: few of a segment's entries may be asked for, and each would hold on to all of it. */
function copyOf(write: StoreWrite, key: Buffer): StoreWrite {
  if (write.type === 'clear') return write;
  return write.type === 'del' ? { type: 'del', key } : { type: 'put', key, value: Buffer.from(write.value) };
}

/** The keys that a merge has seen, by bucket: as many as the state has, so they are packed. */
class KeySet {
  readonly #buckets = new Map<string, Slots>();

  /** False: it is there already. */
  add(bucket: string, key: string): boolean {
    let keys = this.#buckets.get(bucket);
    if (keys === undefined) this.#buckets.set(bucket, (keys = new Slots({ bytes: 0 })));
    const hash = hashOfKey(key);
    if (keys.find(hash, key) >= 0) return false;
    keys.add(hash, key, 0, 0);
    return true;
  }
}
