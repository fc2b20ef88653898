/**
 * One try at a replica's state: a base, then the run of the journal behind it. Owns what it is made of until it is closed or
 * given away, and notices when it must be left for another try. Why the base may be trusted is in `replica.ts`.
 */
import { isMillraceError, MillraceError } from '../base/errors.ts';
import { JournaledAttempts } from '../journal/attempts.ts';
import { JournalReader, type JournalStep, type StoredCommit } from '../journal/reader.ts';
import type { Mark } from '../journal/writer.ts';
import type { Log } from '../port/log.ts';
import type { Store, Stores } from '../port/store.ts';
import type { TaskState } from '../state/state.ts';
import { Marks } from './marks.ts';
import { Place } from './place.ts';
import { type Pointer, readPointer } from './pointer.ts';
import { commitOf, type Snapshots, type WholeSnapshot } from './snapshots.ts';

/** Where the journal ends, or our claim in it. */
export interface End {
  readonly seq: number;
  readonly commit: number;
}

export const NOWHERE: Mark = { commit: 0, seq: 0, crc: 0 };

/** What the state of a task is built from. */
export interface RebuildSources {
  readonly log: Log;
  /** Where the task's journal is. */
  readonly stream: string;
  readonly subject: string;
  readonly stores: Stores;
  /** Where the task's store is on this machine. */
  readonly location: string;
  readonly snapshots: Snapshots;
  /** Empty. */
  readonly state: TaskState;
  readonly stateBytesMax: number;
}

export interface RebuildOptions extends RebuildSources {
  /** See `ReplicaOptions`. */
  readonly standsAlone: boolean;
  /** The first sequence of the journal that is looked at. */
  readonly from: number;
  /** Ours; null: nobody is known to have stopped writing. */
  readonly claim: End | null;
  /** Where the journal ends now. */
  end(): Promise<End>;
  /** What a local store pointed to and the journal has not got, so that it is not asked for again. */
  readonly distrusted: Pointer | null;
  /** Throws when nobody wants it any more. */
  checkOver(): void;
}

/** What a base is made of, while it is not known whether the store can be trusted. */
interface Base {
  readonly snapshot: WholeSnapshot | null;
  readonly claim: End | null;
  /** The store's, where only the journal can tell whether it is right; null: it is settled. */
  candidate: Pointer | null;
}

export class Rebuild {
  readonly reader: JournalReader;
  store: Store | null = null;
  from: 'nothing' | 'store' | 'snapshot' = 'nothing';
  /** The base's commit, then the last that was applied. */
  at: Mark = NOWHERE;
  /** Store or snapshot have told up to this commit: no snapshot that is older can be added to. */
  baseCommit = 0;
  /** What was applied hangs together with the run that is read. */
  isAttached = false;
  readonly attempts = new JournaledAttempts();
  readonly marks = new Marks();
  place = new Place();
  replayed = 0;
  /** The snapshot that commits have named last. */
  named = 0;
  /** It must be left, and the next look at the journal from this sequence on; null: it stands so far. */
  anewFrom: number | null = null;
  distrusted: Pointer | null;
  #options: RebuildOptions;
  #base: Base | null = null;
  /** The first commit of the run, and the sequence at which the run begins. */
  #first = 1;
  #runSeq = 1;

  constructor(options: RebuildOptions) {
    this.#options = options;
    this.distrusted = options.distrusted;
    this.reader = new JournalReader(options);
  }

  /** Takes what the journal says next. A promise: something has to be read first. */
  take(step: JournalStep): Promise<void> | null {
    this.attempts.take(step);
    if (step.kind === 'run') return this.#beginRun(step);
    return step.kind === 'commit' ? this.#take(step.commit) : null;
  }

  /** Decides on the base, as far as the journal need not be read for that. */
  async begin(): Promise<void> {
    const { snapshots, stores, location, standsAlone, claim, distrusted } = this.#options;
    const snapshot = await snapshots.latest();
    const store = await stores.open(location, { fresh: false });
    this.store = store;
    const found = store === null ? null : await readPointer(store);
    const pointer = isSame(found, distrusted) ? null : found;
    const end = claim ?? (await this.#options.end());
    const isAlone = standsAlone === true && end.seq === 0;
    const reached = isAlone ? commitOf(snapshot) : end.commit;
    if (pointer !== null && pointer.commit > reached) throw this.#lost('the local store', pointer.commit, reached);
    if (commitOf(snapshot) > reached) throw this.#lost('a snapshot', commitOf(snapshot), reached);
    this.#base = { snapshot, claim, candidate: pointer };
    const isOf = snapshot?.manifest.commitSeq === pointer?.commit && snapshot?.crc === pointer?.crc;
    // The store is never written before a snapshot of the same commit exists. Where the latest is older, the blobs have
    // lost it, and what the store has of it would be missing from every snapshot to come.
    if (pointer === null || commitOf(snapshot) < pointer.commit) await this.#discardStore();
    else if (isOf && snapshot?.manifest.journalSeq === pointer.seq) await this.#loadStore(pointer, snapshot);
    else if (isAlone || snapshot?.manifest.commitSeq === pointer.commit) await this.#discardStore();
    else this.place = Place.fromParts(snapshot!.place).tailsOnly();
  }

  async #loadStore(pointer: Pointer, snapshot: WholeSnapshot | null): Promise<void> {
    this.#base!.candidate = null;
    await this.#options.state.loadAll(this.store!, { bytesMax: this.#options.stateBytesMax });
    this.from = 'store';
    if (snapshot !== null) this.place = Place.fromParts(snapshot.place);
    this.at = pointer;
    this.baseCommit = pointer.commit;
  }

  /** The base is the snapshot then, or nothing. */
  async #discardStore(): Promise<void> {
    const { stores, location, stateBytesMax } = this.#options;
    const base = this.#base!;
    base.candidate = null;
    await this.#closeStore();
    const store = await stores.open(location, { fresh: true });
    if (store === null) throw new MillraceError('STORE_CORRUPT', `a fresh store at ${location} could not be opened`);
    this.store = store;
    this.place = new Place();
    const { snapshot, claim } = base;
    if (snapshot === null) return;
    try {
      await this.#options.state.loadSegments(this.#segmentsOf(snapshot), { store, bytesMax: stateBytesMax });
    } catch (cause) {
      if (claim === null || !isMillraceError(cause, 'JOURNAL_CORRUPT')) throw cause;
      await this.#passOver(snapshot, claim, cause);
    }
    const { commitSeq, journalSeq } = snapshot.manifest;
    this.from = 'snapshot';
    this.place = Place.fromParts(snapshot.place);
    this.at = { commit: commitSeq, seq: journalSeq, crc: snapshot.crc };
    this.baseCommit = commitSeq;
  }

  async *#segmentsOf(snapshot: WholeSnapshot): AsyncGenerator<Uint8Array> {
    for await (const segment of this.#options.snapshots.segments(snapshot)) {
      this.#options.checkOver();
      yield segment;
    }
  }

  /**
   * A snapshot that no commit names yet and that cannot be read, as when its writer was frozen until a sweep took what it had
   * written for left behind, is in nobody's way: it goes, and the one before it still has its journal. Only behind a claim,
   * since a commit that names it may be on its way until then.
   */
  async #passOver(snapshot: WholeSnapshot, claim: End, cause: MillraceError): Promise<never> {
    const { log, stream, subject } = this.#options;
    const reader = new JournalReader({ log, stream, subject });
    let named = 0;
    try {
      while (reader.seq < claim.seq) {
        for (const step of await reader.next(claim.seq)) {
          if (step.kind === 'commit') named = Math.max(named, step.commit.snapshot);
        }
        this.#options.checkOver();
      }
    } finally {
      await reader.stop();
    }
    if (commitOf(snapshot) <= named) throw cause;
    await this.#options.snapshots.discard(snapshot);
    const why = `snapshot ${snapshot.name} cannot be read, and no commit names it: it is dropped, and the one before it is taken`;
    throw new MillraceError('CONFLICT', why, { cause });
  }

  async #beginRun(step: Extract<JournalStep, { kind: 'run' }>): Promise<void> {
    if (this.isAttached) {
      // What was applied is not connected with what follows.
      this.anewFrom = step.seq;
      return;
    }
    const first = step.commit + 1;
    this.#first = first;
    this.#runSeq = step.seq;
    this.marks.begin(first, step.crcBefore);
    const { candidate } = this.#base!;
    if (candidate !== null) {
      if (first <= candidate.commit) {
        this.place = this.place.tailsOnly();
        return;
      }
      // The journal does not reach back to it.
      await this.#discardStore();
    }
    if (step.commit > this.at.commit) {
      throw this.corrupt(
        `begins at commit ${first}, and state is known up to ${this.at.commit}: the commits between are lost`,
      );
    }
    if (step.commit < this.at.commit) return;
    this.checkIsOf(this.at);
    this.isAttached = true;
  }

  /** The next commit of the run. A promise: something has to be read first. */
  #take(commit: StoredCommit): Promise<void> | null {
    const mark = { commit: commit.commit, seq: commit.lastSeq, crc: commit.crc };
    this.marks.add(mark, commit.bytes);
    if (commit.snapshot > this.named) {
      // What is older than the one before this has been cut away, or is about to be.
      this.marks.dropBefore(this.named);
      this.reader.cutSteps.takeBefore(this.marks.firstSeq);
      this.named = commit.snapshot;
    }
    const candidate = this.#base!.candidate;
    if (candidate !== null) return this.#judge(candidate, mark, commit);
    if (commit.commit > this.at.commit) return this.#apply(commit, mark);
    this.place.date(commit);
    if (commit.commit === this.at.commit) {
      this.checkIsOf(this.at);
      this.isAttached = true;
    }
    return null;
  }

  /** A commit comes while it is open whether the store can be trusted. */
  async #judge(candidate: Pointer, mark: Mark, commit: StoredCommit): Promise<void> {
    if (commit.commit < candidate.commit) {
      this.place.take(commit, commit.timeMs);
      return;
    }
    this.place.take(commit, commit.timeMs);
    // What the journal no longer has must be sent: of a store nothing else would tell what is to be.
    const isAllSent = this.place.relayedThrough >= this.#first - 1;
    if (isAllSent && mark.seq === candidate.seq && mark.crc === candidate.crc) {
      this.isAttached = true;
      await this.#loadStore(candidate, null);
      return;
    }
    // The base is the snapshot then, to which all of the run has something to say.
    this.distrusted = candidate;
    this.anewFrom = this.#runSeq;
  }

  #apply(commit: StoredCommit, mark: Mark): Promise<void> | null {
    const { state } = this.#options;
    this.place.take(commit, commit.timeMs);
    this.at = mark;
    if (commit.delta === null) return null;
    this.replayed++;
    if (!state.resident) return state.replay(commit.delta, this.store!);
    state.applyDelta(commit.delta);
    return null;
  }

  /** Throws unless the commit is the journal's, or the one before its run. */
  checkIsOf(mark: Mark): void {
    if (mark.commit === 0 || this.marks.has(mark)) return;
    throw this.corrupt(
      `does not have the commit ${mark.commit} that the snapshot reflects: one of the two is an older copy`,
    );
  }

  corrupt(what: string): MillraceError {
    return new MillraceError(
      'JOURNAL_CORRUPT',
      `journal ${this.#options.subject} ${what}. Restore the stream or the snapshots from a backup, or delete the pipeline with its state.`,
    );
  }

  #lost(what: 'the local store' | 'a snapshot', commit: number, reached: number): MillraceError {
    const { subject, location } = this.#options;
    const way =
      what === 'a snapshot'
        ? 'Restore the stream from a backup, or delete the pipeline with its state.'
        : 'Restore the stream from a backup; or, to go on with what is left, delete the local store first.';
    return new MillraceError(
      'CHAIN_BROKEN',
      `journal ${subject} ends at commit ${reached}, and ${what} of ${location} reflects commit ${commit}: the broker lost acknowledged data. ${way}`,
    );
  }

  async #closeStore(): Promise<void> {
    await this.store?.close();
    this.store = null;
  }

  /** What was given away is not ours any more. */
  async close(): Promise<void> {
    await this.reader.stop();
    await this.#closeStore();
  }
}

function isSame(a: Pointer | null, b: Pointer | null): boolean {
  return a !== null && b !== null && a.commit === b.commit && a.seq === b.seq && a.crc === b.crc;
}
