/**
 * The snapshots of one task, as the blobs have them: a manifest, which names segments, each a blob, and says how far the
 * task was. So a snapshot stands alone: whoever has it and its segments needs no journal to go on from its commit. Who
 * writes them, when and in which order is `checkpoint.ts`.
 */
import { backoffMs } from '../base/backoff.ts';
import { type Clock, sleep } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { SHORTER_READINGS_MAX } from '../chain/chain.ts';
import type { Blobs } from '../port/blob.ts';
import { pack, unpack } from '../record/rows.ts';
import { decodeManifest, encodeManifest, type Manifest, type SegmentRef } from '../state/snapshot.ts';
import type { PlaceParts } from './place.ts';
import type { Pointer } from './pointer.ts';

/** A snapshot: which segments, and of which commit. */
export interface Snapshot {
  /** Name of the manifest's blob. */
  readonly name: string;
  readonly manifest: Manifest;
  /** Checksum of the commit's last message, so that a store of the same commit is known as such. */
  readonly crc: number;
}

/** One that was read, with how far the task was at its commit. */
export interface WholeSnapshot extends Snapshot {
  readonly place: PlaceParts;
}

const RETRY_BASE_MS = 100;
const RETRY_MAX_MS = 2000;

export class Snapshots {
  readonly prefix: string;
  #blobs: Blobs;
  #clock: Clock;
  #random: Random;

  constructor(options: { blobs: Blobs; clock: Clock; random: Random; prefix: string }) {
    this.prefix = options.prefix;
    this.#blobs = options.blobs;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  /**
   * The newest snapshot there is, or null. One that is older than a commit says there is may be what a leader shows that was
   * deposed a moment ago: it is looked for again, a few times.
   */
  async latest({ atLeast = 0 }: { atLeast?: number } = {}): Promise<WholeSnapshot | null> {
    for (let attempt = 0; ; attempt++) {
      const snapshot = await this.#newest();
      if (atLeast <= commitOf(snapshot) || attempt >= SHORTER_READINGS_MAX) return snapshot;
      const timing = { baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS, random: this.#random };
      await sleep(this.#clock, backoffMs(attempt, timing));
    }
  }

  async #newest(): Promise<WholeSnapshot | null> {
    const names = await this.#blobs.list(`${this.prefix}/manifest/`);
    const newest = names.at(-1);
    if (newest === undefined) return null;
    const bytes = await this.#blobs.get(newest);
    if (bytes === null) {
      throw new MillraceError('CONFLICT', `snapshot ${newest} is gone: another owner has taken a newer one`);
    }
    const [manifest, crc, place] = unpack(bytes) as [Uint8Array, number, PlaceParts];
    return { name: newest, manifest: decodeManifest(manifest), crc, place };
  }

  /** Oldest first. */
  async *segments(snapshot: Snapshot): AsyncGenerator<Uint8Array> {
    for (const ref of snapshot.manifest.segments) yield await this.segment(ref);
  }

  async segment(ref: SegmentRef): Promise<Uint8Array> {
    const bytes = await this.#blobs.get(ref.name);
    if (bytes === null) {
      throw new MillraceError(
        'CONFLICT',
        `segment ${ref.name} is gone: another owner has replaced the snapshot it is of`,
      );
    }
    return bytes;
  }

  /** Deletes a snapshot that no commit names. Its segments go with those that no snapshot names. */
  discard(snapshot: Snapshot): Promise<void> {
    return this.#blobs.delete(snapshot.name);
  }

  manifestName(commit: Pointer): string {
    return `${this.prefix}/${blobName('manifest', commit, '')}`;
  }

  segmentName(commit: Pointer, part: string): string {
    return `${this.prefix}/${blobName('segment', commit, `-${part}`)}`;
  }
}

export function encodeSnapshot({ manifest, crc, place }: Omit<WholeSnapshot, 'name'>): Uint8Array {
  return pack([encodeManifest(manifest), crc, place]);
}

/** The commit that it reflects; 0: there is none. */
export function commitOf(snapshot: Snapshot | null): number {
  return snapshot?.manifest.commitSeq ?? 0;
}

/** Names sort by commit, then by owner; the epoch keeps two owners from ever meaning two things by one name. */
function blobName(kind: 'manifest' | 'segment', commit: Pointer, part: string): string {
  return `${kind}/${String(commit.commit).padStart(16, '0')}-${String(commit.epoch).padStart(10, '0')}${part}`;
}

/** The commit that a blob is of. */
export function commitOfName(name: string): number {
  return Number(/\/(?:manifest|segment)\/(\d+)-/.exec(name)?.[1] ?? Number.POSITIVE_INFINITY);
}
