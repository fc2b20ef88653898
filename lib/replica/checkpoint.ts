/**
 * Checkpoints of one task: what state has changed since the last, written in the background to the snapshot and then to
 * the local store, so that the journal may be cut.
 *
 * The order of the durable steps (*safe cut*, with `journal/writer.ts`):
 *   1. the commit that the checkpoint was taken at has landed
 *   2. the new segments are in the blobs
 *   3. the manifest that names them is in the blobs: the snapshot exists
 *   4. the local store has the same changes and a pointer to the commit. Never before 3, so that what is not in the
 *      store is never missing from the next snapshot. While it has some of them it has no pointer, and counts for nothing
 *   5. a later commit names the snapshot; when it has landed we were still the owner, so
 *   6. the journal is cut to it, and blobs that no manifest names any more are deleted, while batches go on: nobody waits
 *      for what is gone
 * A crash between any two leaves an older snapshot with a longer journal, or a newer one with a journal that begins
 * before it. Both are restored from.
 *
 * *Left as it is*: a stop waits for none of this; it may end after any step as a crash may, and what is on its
 * way lands later or not at all. A blob that lands is of a commit that landed, and older than any of the next owner's; a
 * cut drops what a named snapshot holds. Whoever waits for a task to be handed over would wait for tens of seconds for
 * what the next owner does anyway. Only a write that the store has in hand is waited for, since the store is closed next.
 */
import { backoffMs } from '../base/backoff.ts';
import { type Clock, sleep } from '../base/clock.ts';
import { isMillraceError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import type { JournalWriter } from '../journal/writer.ts';
import type { Blobs } from '../port/blob.ts';
import type { Store } from '../port/store.ts';
import type { Checkpoint } from '../state/checkpoint.ts';
import type { SegmentOrPause } from '../state/segment.ts';
import { mergeFrom, mergeSegments, type SegmentRef } from '../state/snapshot.ts';
import type { TaskState } from '../state/state.ts';
import type { PlaceParts } from './place.ts';
import { type Pointer, writeStore } from './pointer.ts';
import { commitOfName, encodeSnapshot, type Snapshot, Snapshots } from './snapshots.ts';
import type { Turns } from './turns.ts';

/** When a checkpoint is due. */
export interface CheckpointLimits {
  /** About how much state stays in memory. */
  readonly stateBytesMax: number;
  /** Journal written since the last checkpoint before the next is taken. */
  readonly checkpointBytes: number;
  /** Entries of it that are prepared at one boundary: some milliseconds of work. */
  readonly checkpointSliceEntries: number;
}

/** A checkpoint that was taken at a commit, and how far the task was then. */
export interface HeldCheckpoint {
  readonly checkpoint: Checkpoint;
  readonly commit: Pointer;
  readonly place: PlaceParts;
}

/** A stretch of journal. */
interface Extent {
  readonly bytes: number;
  readonly commits: number;
}

const NOTHING: Extent = { bytes: 0, commits: 0 };

/**
 * Small commits are read back one by one, so their number is bounded, too: by a quarter of this and up to all of it, drawn
 * anew for each checkpoint. A stage's tasks make as many commits as each other, and would all be due in the same second.
 */
const CHECKPOINT_COMMITS = 5000;
/** What is to be written takes memory until it is: some 40 bytes an entry with a short key and a number. */
const CHECKPOINT_ENTRIES = 250_000;
/** A checkpoint that is due since so many times what makes it due is made at once. */
const LATE_TIMES = 4;
const RETRY_BASE_MS = 100;
const RETRY_MAX_MS = 5000;

export class Checkpoints {
  readonly snapshots: Snapshots;
  #blobs: Blobs;
  #clock: Clock;
  #random: Random;
  #turns: Turns | null;
  /** Ends our turn; null: it is not ours. Held from the first slice until the store has all. */
  #endTurn: (() => void) | null = null;
  #onFailed: (error: unknown) => void;
  #latest: Snapshot | null = null;
  /** The journal since the last checkpoint, former owners' part included. */
  #grown = { bytes: 0, commits: 0 };
  #commitsMax: number;
  /** Entries that the slices so far have left; null: there were none. */
  #left: number | null = null;
  /** A checkpoint has been taken and is not in the store yet. */
  #isOpen = false;
  #working: Promise<void> | null = null;
  #cutting: Promise<void> = Promise.resolve();
  /** The store is being written to; never rejects. */
  #storing: Promise<void> = Promise.resolve();
  /** Written, and no commit has named it yet. */
  #unannounced: Snapshot | null = null;
  #stopped = false;
  #onWritten: (written: { readonly bytes: number; readonly tookMs: number }) => void;
  /** How much journal there ever was to this owner: now, at the checkpoint in hand and at the snapshot that is named. */
  #journal = { now: NOTHING, taken: NOTHING, named: NOTHING, cut: NOTHING };

  constructor(options: {
    blobs: Blobs;
    clock: Clock;
    random: Random;
    prefix: string;
    turns?: Turns | undefined;
    onFailed(error: unknown): void;
    /** A checkpoint is durable: `bytes` of new segments, `tookMs` from its commit on. */
    onWritten?: (written: { readonly bytes: number; readonly tookMs: number }) => void;
  }) {
    this.#blobs = options.blobs;
    this.#clock = options.clock;
    this.#random = options.random;
    this.snapshots = new Snapshots(options);
    this.#turns = options.turns ?? null;
    this.#commitsMax = this.#drawCommitsMax();
    this.#onFailed = options.onFailed;
    this.#onWritten = options.onWritten ?? (() => {});
  }

  #drawCommitsMax(): number {
    return (CHECKPOINT_COMMITS * (1 + 3 * this.#random.next())) / 4;
  }

  /** Journal that no cut has dropped yet, about. */
  get uncut(): Extent {
    const { now, cut } = this.#journal;
    return { bytes: now.bytes - cut.bytes, commits: now.commits - cut.commits };
  }

  /** What restoring found, to go on from. */
  resume(options: { snapshot: Snapshot | null; journal: { bytes: number; commits: number } }): void {
    this.#latest = options.snapshot;
    this.#grown = { ...options.journal };
    this.#journal.now = options.journal;
  }

  /**
   * Goes on with a checkpoint that was taken while a former owner had the task, and of which the latest snapshot has
   * nothing: its commit has landed, so it stands where one of our own would.
   */
  takeUp(held: HeldCheckpoint, options: { state: TaskState; store: Store; epoch: number }): void {
    const { checkpoint, commit, place } = held;
    this.#isOpen = true;
    this.#journal.taken = this.#journal.now;
    // Under our epoch: its owner may have written some of it, in other pieces, under its own.
    this.finish(checkpoint, { ...commit, epoch: options.epoch }, { ...options, place });
  }

  /** Takes a checkpoint at this boundary, if it is time for one and the last is done. */
  begin(options: { state: TaskState; commitBytes: number; limits: CheckpointLimits }): Checkpoint | null {
    const { state, commitBytes } = options;
    const { checkpointBytes, checkpointSliceEntries, stateBytesMax } = options.limits;
    const grown = this.#grown;
    grown.bytes += commitBytes;
    grown.commits++;
    const { now } = this.#journal;
    this.#journal.now = { bytes: now.bytes + commitBytes, commits: now.commits + 1 };
    if (this.#isOpen || this.#stopped) return null;
    const crowded = state.bytes > stateBytesMax && grown.bytes > checkpointBytes / 8;
    const dirty = state.dirtyEntries;
    const isDue = grown.bytes >= checkpointBytes || grown.commits >= this.#commitsMax || dirty >= CHECKPOINT_ENTRIES;
    if (!isDue && !crowded) return null;
    // A slice a commit, so that no batch waits for all of it; but not for ever, since nothing is evicted meanwhile, and
    // with or without a turn: whoever waits for others must not run out of room for it.
    const isLate =
      grown.bytes > checkpointBytes * (crowded ? 1 / 4 : LATE_TIMES) || grown.commits > LATE_TIMES * CHECKPOINT_COMMITS;
    if (this.#turns !== null) this.#endTurn ??= this.#turns.take();
    if (!isLate) {
      if (this.#turns !== null && this.#endTurn === null) return null;
      // More than the batches change meanwhile, or there would always be more.
      const fresh = this.#left === null ? 0 : Math.max(0, dirty - this.#left);
      const more = state.prepareCheckpoint(Math.max(checkpointSliceEntries, dirty >> 5, 2 * fresh));
      this.#left = state.dirtyEntries;
      if (more) return null;
    }
    this.#left = null;
    this.#grown = { bytes: 0, commits: 0 };
    this.#commitsMax = this.#drawCommitsMax();
    this.#isOpen = true;
    this.#journal.taken = this.#journal.now;
    return state.checkpoint();
  }

  /** The checkpoint's commit has landed: write it, in the background. `place`: how far the task was then. */
  finish(
    checkpoint: Checkpoint,
    commit: Pointer,
    options: { state: TaskState; store: Store; place: PlaceParts },
  ): void {
    if (this.#stopped) return;
    this.#working = this.#write(checkpoint, commit, options).then(
      () => {
        this.#working = null;
        this.#isOpen = false;
        this.#leaveTurn();
      },
      error => {
        if (!this.#stopped) this.#onFailed(error);
      },
    );
  }

  async #write(
    checkpoint: Checkpoint,
    commit: Pointer,
    options: { state: TaskState; store: Store; place: PlaceParts },
  ): Promise<void> {
    const sinceMs = this.#clock.monotonic();
    const segments = await this.#persistently(() => this.#putSegments(checkpoint.segments(), commit));
    const manifest = { commitSeq: commit.commit, journalSeq: commit.seq, segments };
    const name = this.snapshots.manifestName(commit);
    const snapshot = { name, manifest, crc: commit.crc };
    const bytes = encodeSnapshot({ ...snapshot, place: options.place });
    await this.#persistently(() => this.#put(name, bytes));
    const written = writeStore(options.store, checkpoint, { commit, isOver: () => this.#stopped });
    this.#storing = written.then(
      () => {},
      () => {},
    );
    await written;
    this.#checkStopped();
    options.state.checkpointLanded();
    this.#latest = snapshot;
    this.#unannounced = snapshot;
    this.#journal.named = this.#journal.taken;
    const fresh = segments.filter(({ run }) => run === commit.commit);
    const freshBytes = fresh.reduce((sum, segment) => sum + segment.bytes, 0);
    this.#onWritten({ bytes: freshBytes, tookMs: Math.round(this.#clock.monotonic() - sinceMs) });
  }

  /** Adds the new segments to the latest snapshot's, merging those that no longer pay for themselves. */
  async #putSegments(fresh: Iterable<SegmentOrPause>, commit: Pointer): Promise<SegmentRef[]> {
    const refs = [...(this.#latest?.manifest.segments ?? []), ...(await this.#putFresh(fresh, commit))];
    const from = mergeFrom(refs);
    if (from === null) return refs;
    const newestFirst = this.#newestFirst(refs.slice(from));
    const merged: SegmentRef[] = [];
    let part = 0;
    for await (const bytes of mergeSegments(newestFirst, { isWhole: from === 0 })) {
      if (bytes === null) {
        await this.#pause();
        continue;
      }
      const name = this.snapshots.segmentName(commit, `m${part++}`);
      await this.#put(name, bytes);
      merged.unshift({ name, bytes: bytes.length, run: commit.commit });
    }
    return [...refs.slice(0, from), ...merged];
  }

  async *#newestFirst(refs: readonly SegmentRef[]): AsyncGenerator<Uint8Array> {
    for (let i = refs.length - 1; i >= 0; i--) yield await this.snapshots.segment(refs[i]!);
  }

  async #putFresh(segments: Iterable<SegmentOrPause>, commit: Pointer): Promise<SegmentRef[]> {
    const refs: SegmentRef[] = [];
    for (const bytes of segments) {
      if (bytes === null) {
        await this.#pause();
        continue;
      }
      const name = this.snapshots.segmentName(commit, `${refs.length}`);
      await this.#put(name, bytes);
      refs.push({ name, bytes: bytes.length, run: commit.commit });
    }
    return refs;
  }

  async #put(name: string, bytes: Uint8Array): Promise<void> {
    await this.#blobs.put(name, bytes);
    this.#checkStopped();
  }

  /** Batches come first: what is done here can wait, and a task that has to is late with everything. */
  async #pause(): Promise<void> {
    await new Promise<void>(resolve => this.#clock.soon(resolve));
    this.#checkStopped();
  }

  /** Ends the checkpoint in hand (*left as it is*); nobody hears of it. */
  #checkStopped(): void {
    if (this.#stopped) throw new Error('the checkpoint was left');
  }

  /** Tries again what passes: a checkpoint that was taken must be written, since its changes are marked as told. */
  async #persistently<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (this.#stopped || !isMillraceError(error) || error.fate !== 'retry') throw error;
        const timing = { baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS, random: this.#random };
        await sleep(this.#clock, backoffMs(attempt, timing));
      }
    }
  }

  /** The snapshot that the next commit should name: one that is whole, and whose commits are all relayed. */
  announce(relayedThrough: number): Snapshot | null {
    const snapshot = this.#unannounced;
    if (snapshot === null || this.#stopped || snapshot.manifest.commitSeq > relayedThrough) return null;
    this.#unannounced = null;
    return snapshot;
  }

  /** The commit that names the snapshot has landed: what it replaces goes, in the background. */
  cut(snapshot: Snapshot, journal: JournalWriter): void {
    const { named } = this.#journal;
    this.#cutting = this.#cutting
      .then(() => this.#cut(snapshot, journal, named))
      .catch(error => {
        if (!this.#stopped) this.#onFailed(error);
      });
  }

  async #cut(snapshot: Snapshot, journal: JournalWriter, named: Extent): Promise<void> {
    if (this.#stopped) return;
    await journal.cut(snapshot.manifest.journalSeq + 1, { isOver: () => this.#stopped });
    if (this.#stopped) return;
    this.#journal.cut = named;
    const keep = new Set(snapshot.manifest.segments.map(ref => ref.name));
    const { commitSeq } = snapshot.manifest;
    for (const name of await this.#blobs.list(`${this.snapshots.prefix}/`)) {
      if (this.#stopped) return;
      const isNewer = commitOfName(name) > commitSeq;
      if (!isNewer && !keep.has(name) && name !== snapshot.name) await this.#blobs.delete(name);
    }
  }

  /** Waits for what is under way, for whoever wants to see what it has done. */
  async settle(): Promise<void> {
    await this.#working;
    await this.#cutting;
  }

  /** Begins nothing more, and leaves what is under way as it is (*left as it is*). */
  leave(): void {
    this.#stopped = true;
    this.#leaveTurn();
  }

  /** After this the store may be closed. */
  async stop(): Promise<void> {
    this.leave();
    await this.#storing;
  }

  #leaveTurn(): void {
    this.#endTurn?.();
    this.#endTurn = null;
  }
}
