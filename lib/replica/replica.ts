/**
 * A replica of a task: its state and how far it is, from snapshot and journal, kept fresh without owning anything and
 * without anybody's code. A standby follows for good, a move until it is warm, a cold start not at all; then a task takes
 * it over. READ `journal/writer.ts` FIRST.
 *
 *   base ─► commits up to the end that is seen ─► (commits as they come) ─► claim ─► the tail that is missing ─► the task's
 *
 * The base is the local store if it can be trusted, else the snapshot, else nothing; then the journal's commits after
 * it. The store is trusted only if the commit it points to is the very one that the journal or the snapshot has at that
 * place, and the latest snapshot is not older (invariant H): a folder of another cluster, or of a history that the broker has
 * lost, is discarded. So is a snapshot believed only if the journal has the very commit that it reflects, or begins with the
 * message after it: as a base, and as what the next snapshot adds to.
 *
 * What was applied is one run of the journal, from the base to the end: a gap, as when the owner has cut what was not read
 * yet, or anything else that does not fit has the replica begin anew from the snapshot. It alarms nobody: an owner goes on
 * meanwhile, and what fits nothing today may be half of what it is about to do. Only behind a claim there is nothing that
 * is still to come. So whoever has claimed begins anew once more, and what does not fit then is an alarm, unless the
 * journal has a later owner.
 *
 * The journal must reach back to the base, and to the oldest commit that is not relayed unless the snapshot has what is not.
 * What lies before, and whether the broker has lost some of it, is nobody's concern. Commits are applied as they are read;
 * of those that may not be sent yet the outboxes are kept.
 *
 * The local store of a follower is written as an owner's is (`checkpoint.ts`, step 4), when an owner's is: its changes as of
 * the commit at which the owner took a checkpoint, once a later commit has named the snapshot of it.
 */
import { backoffMs } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { Chain } from '../chain/chain.ts';
import type { CutSteps } from '../journal/cut-steps.ts';
import { decodeHead, lastWholeCommit } from '../journal/entry.ts';
import { JournalReader, type JournalStep, type StoredCommit } from '../journal/reader.ts';
import type { JournalWriter, Mark } from '../journal/writer.ts';
import type { Log } from '../port/log.ts';
import type { Store, Stores } from '../port/store.ts';
import type { TaskState } from '../state/state.ts';
import type { HeldCheckpoint } from './checkpoint.ts';
import { Marks } from './marks.ts';
import { Place } from './place.ts';
import { type Pointer, readPointer, writeStore } from './pointer.ts';
import { commitOf, type Snapshots, type WholeSnapshot } from './snapshots.ts';

/** The first time brings in what is old, the second what has come meanwhile. */
const ROUNDS = 2;
const RETRY_BASE_MS = 250;
const RETRY_MAX_MS = 10_000;
/** Of the journal, between two turns of others. */
const TURN_STEPS = 64;
/** Entries of a checkpoint that are prepared between two turns of others. */
const SLICE_ENTRIES = 1000;

export interface ReplicaOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  /** Of the task's journal. */
  readonly stream: string;
  readonly subject: string;
  readonly stores: Stores;
  /** Of the task's store on this machine. */
  readonly location: string;
  readonly snapshots: Snapshots;
  /** Empty. It is the replica's until a task has taken it over. */
  readonly state: TaskState;
  readonly stateBytesMax: number;
  /**
   * A task that has no journal at all begins with its snapshot, rather than that its journal was lost. For a snapshot that
   * was put there on purpose, in a life that has just begun.
   */
  readonly standsAlone?: boolean;
  /** An owner has begun or ended: what the journal says of it, in order, from wherever it was read. */
  onOwner?(said: { readonly kind: 'claim' | 'release'; readonly epoch: number }): void;
}

/** What a task takes over. */
export interface Restored {
  readonly store: Store;
  readonly from: 'nothing' | 'store' | 'snapshot';
  /** Commits done again after the base. */
  readonly replayed: number;
  readonly place: Place;
  /** What the next snapshot adds to. */
  readonly snapshot: WholeSnapshot | null;
  /** A checkpoint that the snapshot has nothing of and that must be written, since its changes count as told; null: none. */
  readonly held: HeldCheckpoint | null;
  /** The journal that is there, about. */
  readonly journal: { readonly bytes: number; readonly commits: number };
  readonly cutSteps: CutSteps;
}

/** Where the journal ends, or our claim in it. */
interface End {
  readonly seq: number;
  readonly commit: number;
}

/** What a base is made of, while it is not known whether the store can be trusted. */
interface Base {
  readonly snapshot: WholeSnapshot | null;
  readonly store: Store | null;
  /** The store's, where only the journal can tell whether it is right; null: it is settled. */
  candidate: Pointer | null;
}

export class Replica {
  readonly state: TaskState;
  #options: ReplicaOptions;
  #snapshots: Snapshots;
  #tail: Chain;
  #reader: JournalReader | null = null;
  #store: Store | null = null;
  #base: Base | null = null;
  #from: Restored['from'] = 'nothing';
  /** The base's commit, then the last that was applied. */
  #at: Mark = NOWHERE;
  /** What was applied hangs together with the run that is read. */
  #isAttached = false;
  #marks = new Marks();
  #place = new Place();
  /** The first commit of the run, and the sequence at which the run begins. */
  #first = 1;
  #runSeq = 1;
  #replayed = 0;
  /** The snapshot that commits have named last. */
  #named = 0;
  /** A follower's checkpoint, until it is in the store. */
  #held: HeldCheckpoint | null = null;
  /** The state counts as told up to this commit: no snapshot that is older can be added to. */
  #toldTo = 0;
  #following: Promise<void> | null = null;
  #endPause: (() => void) | null = null;
  /** What a local store pointed to that the journal has not got, so that it is not asked for again. */
  #distrusted: Pointer | null = null;
  #isLeft = false;
  #stopped = false;

  constructor(options: ReplicaOptions) {
    const { log, clock, random, stream, subject, state, snapshots } = options;
    this.#options = options;
    this.state = state;
    this.#snapshots = snapshots;
    this.#tail = new Chain({ log, clock, random, stream, subject });
  }

  /** The last commit that the state reflects. */
  get commit(): number {
    return this.#at.commit;
  }

  /** All of the journal that has been heard of is in. */
  get isFresh(): boolean {
    return this.#isAttached && this.#reader?.isAtEnd === true;
  }

  get #isBuilt(): boolean {
    return this.#reader !== null;
  }

  /** Keeps the replica fresh, until a task asks for it or it is stopped. Throws what cannot pass. */
  follow(): Promise<void> {
    this.#following ??= this.#follow();
    return this.#following;
  }

  async #follow(): Promise<void> {
    for (let attempt = 0; !this.#isLeft; attempt++) {
      try {
        await this.#reach({ isEnough: () => false, follows: true });
      } catch (error) {
        if (this.#stopped) return;
        if (!isPassing(error)) throw error;
        if (this.#isAttached) attempt = 0;
        await this.#drop();
        await this.#pause(attempt);
      }
    }
  }

  #pause(attempt: number): Promise<void> {
    const { clock, random } = this.#options;
    return new Promise(resolve => {
      const timing = { baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS, random };
      const cancel = clock.after(backoffMs(attempt, timing), resolve);
      this.#endPause = () => {
        cancel();
        resolve();
      };
      if (this.#isLeft) this.#endPause();
    });
  }

  /**
   * Brings the replica up to the journal's end as it is now, for a task that is about to claim. What does not fit is left
   * for `complete`, which knows whether it should. Throws what passes, and when it is stopped.
   */
  async catchUp(): Promise<void> {
    if (this.#following !== null) {
      this.#isLeft = true;
      this.#reader?.interrupt();
      this.#endPause?.();
      await this.#following;
      this.#isLeft = this.#stopped;
    }
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const end = await this.#end();
        const isEnough = () => this.#reader!.seq >= end.seq || this.#reader!.isAtEnd;
        await this.#reach({ isEnough, follows: false });
      }
    } catch (error) {
      this.#checkStopped();
      if (!isMisfit(error) || this.#beginsAlone) throw error;
      await this.#drop();
    }
  }

  /** Where a journal begins that is not there yet. */
  get begin(): Mark {
    return this.#beginsAlone ? this.#at : NOWHERE;
  }

  /**
   * `journal` has claimed the task: brings in what is missing up to the claim, checks that all of it fits, and gives all of
   * it away. Throws FENCED where a later owner is why it does not.
   */
  async complete(journal: JournalWriter): Promise<Restored> {
    const claim = { seq: journal.claimSeq, commit: journal.commit };
    try {
      return (await this.#tryComplete(claim)) ?? (await this.#completeAnew(claim));
    } catch (error) {
      // What does not fit together may be the work of an owner after us, and then it is no alarm.
      if (!this.#stopped) await journal.confirm();
      throw error;
    }
  }

  /** Null: what we have does not fit, which may be since it was read while another owner was at work. */
  async #tryComplete(claim: End): Promise<Restored | null> {
    if (!this.#isBuilt) return null;
    try {
      await this.#reachClaim(claim);
      return await this.#give(claim);
    } catch (error) {
      this.#checkStopped();
      if (!isMisfit(error)) throw error;
      return null;
    }
  }

  async #completeAnew(claim: End): Promise<Restored> {
    await this.#drop();
    await this.#reachClaim(claim, { claim });
    return this.#give(claim);
  }

  #reachClaim({ seq }: End, options: { claim?: End } = {}): Promise<void> {
    return this.#reach({ isEnough: () => this.#reader!.seq >= seq, through: seq, follows: false, ...options });
  }

  /** Builds what is missing, then reads on until it is enough or a task asks. A gap behind the base has it begin anew. */
  async #reach(way: {
    isEnough(): boolean;
    readonly through?: number;
    readonly follows: boolean;
    readonly claim?: End;
  }): Promise<void> {
    let from = 1;
    for (;;) {
      if (!this.#isBuilt) await this.#build(from, way.claim ?? null);
      const gapSeq = await this.#advance(way);
      if (gapSeq === null) return;
      // From there on, so that each time is nearer to the end than the one before.
      from = gapSeq;
      await this.#drop();
    }
  }

  /** Applies what comes. Returns null when it is enough, or where to begin anew: behind a gap, or without the store. */
  async #advance(way: { isEnough(): boolean; readonly through?: number; readonly follows: boolean }) {
    const { clock, stateBytesMax } = this.#options;
    const { state } = this;
    const reader = this.#reader!;
    while (!way.isEnough() && !this.#isLeft) {
      const steps = await reader.next(way.through);
      for (const step of steps) {
        this.#checkStopped();
        if (step.kind === 'run') {
          if (this.#isAttached) return step.seq;
          await this.#beginRun(step);
        } else if (step.kind === 'commit') {
          // Nothing is awaited that need not be.
          const applying = this.#take(step.commit);
          if (applying !== null) await applying;
          if (this.#distrusted !== null && this.#distrusted === this.#base!.candidate) return this.#runSeq;
          const { isCheckpoint, snapshot } = step.commit;
          if (way.follows && (isCheckpoint || snapshot > 0)) await this.#keepStore(step.commit);
        } else {
          this.#options.onOwner?.(step);
        }
      }
      if (state.bytes > stateBytesMax) state.evict(stateBytesMax);
      // Batches of those that own tasks here come first. Who reads little at a time has waited for it.
      if (steps.length >= TURN_STEPS) await new Promise<void>(resolve => clock.soon(resolve));
    }
    this.#checkStopped();
    return null;
  }

  /** @param claim ours; null: nobody is known to have stopped writing */
  async #build(from: number, claim: End | null): Promise<void> {
    const { log, stream, subject, stores, location, standsAlone } = this.#options;
    const snapshot = await this.#snapshots.latest();
    const store = await stores.open(location, { fresh: false });
    this.#store = store;
    const found = store === null ? null : await readPointer(store);
    const pointer = isSame(found, this.#distrusted) ? null : found;
    const end = claim ?? (await this.#end());
    const isAlone = standsAlone === true && end.seq === 0;
    const reached = isAlone ? commitOf(snapshot) : end.commit;
    if (pointer !== null && pointer.commit > reached) throw this.#lost('the local store', pointer.commit, reached);
    if (commitOf(snapshot) > reached) throw this.#lost('a snapshot', commitOf(snapshot), reached);
    this.#reader = new JournalReader({ log, stream, subject, from });
    this.#base = { snapshot, store, candidate: pointer };
    const isOf = snapshot?.manifest.commitSeq === pointer?.commit && snapshot?.crc === pointer?.crc;
    // The store is never written before a snapshot of the same commit exists. Where the latest is older, the blobs have
    // lost it, and what the store has of it would be missing from every snapshot to come.
    if (pointer === null || commitOf(snapshot) < pointer.commit) await this.#discardStore(claim);
    else if (isOf && snapshot?.manifest.journalSeq === pointer.seq) await this.#loadStore(pointer, snapshot);
    else if (isAlone || snapshot?.manifest.commitSeq === pointer.commit) await this.#discardStore(claim);
    else this.#place = Place.fromParts(snapshot!.place).tailsOnly();
  }

  async #loadStore(pointer: Pointer, snapshot: WholeSnapshot | null): Promise<void> {
    this.#base!.candidate = null;
    await this.state.loadAll(this.#store!, { bytesMax: this.#options.stateBytesMax });
    this.#from = 'store';
    if (snapshot !== null) this.#place = Place.fromParts(snapshot.place);
    this.#at = pointer;
    this.#toldTo = pointer.commit;
  }

  /** The base is the snapshot then, or nothing. */
  async #discardStore(claim: End | null = null): Promise<void> {
    const { stores, location, stateBytesMax } = this.#options;
    const base = this.#base!;
    base.candidate = null;
    await this.#store?.close();
    this.#store = null;
    const store = await stores.open(location, { fresh: true });
    if (store === null) throw new MillraceError('STORE_CORRUPT', `a fresh store at ${location} could not be opened`);
    this.#store = store;
    this.#place = new Place();
    const { snapshot } = base;
    if (snapshot === null) return;
    try {
      await this.state.loadSegments(this.#segmentsOf(snapshot), { store, bytesMax: stateBytesMax });
    } catch (cause) {
      if (claim === null || !isMillraceError(cause, 'JOURNAL_CORRUPT')) throw cause;
      await this.#passOver(snapshot, claim, cause);
    }
    const { commitSeq, journalSeq } = snapshot.manifest;
    this.#from = 'snapshot';
    this.#place = Place.fromParts(snapshot.place);
    this.#at = { commit: commitSeq, seq: journalSeq, crc: snapshot.crc };
    this.#toldTo = commitSeq;
  }

  async *#segmentsOf(snapshot: WholeSnapshot): AsyncGenerator<Uint8Array> {
    for await (const segment of this.#snapshots.segments(snapshot)) {
      this.#checkStopped();
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
        this.#checkStopped();
      }
    } finally {
      await reader.stop();
    }
    if (commitOf(snapshot) <= named) throw cause;
    await this.#snapshots.discard(snapshot);
    const why = `snapshot ${snapshot.name} cannot be read, and no commit names it: it is dropped, and the one before it is taken`;
    throw new MillraceError('CONFLICT', why, { cause });
  }

  async #beginRun(step: Extract<JournalStep, { kind: 'run' }>): Promise<void> {
    const first = step.commit + 1;
    this.#first = first;
    this.#runSeq = step.seq;
    this.#marks.begin(first, step.crcBefore);
    const { candidate } = this.#base!;
    if (candidate !== null) {
      if (first <= candidate.commit) {
        this.#place = this.#place.tailsOnly();
        return;
      }
      // The journal does not reach back to it.
      await this.#discardStore();
    }
    if (step.commit > this.#at.commit) {
      throw this.#corrupt(
        `begins at commit ${first}, and state is known up to ${this.#at.commit}: the commits between are lost`,
      );
    }
    if (step.commit < this.#at.commit) return;
    this.#checkIsOf(this.#at);
    this.#isAttached = true;
  }

  /** The next commit of the run. A promise: something has to be read first. */
  #take(commit: StoredCommit): Promise<void> | null {
    const mark = { commit: commit.commit, seq: commit.lastSeq, crc: commit.crc };
    this.#marks.add(mark, commit.bytes);
    if (commit.snapshot > this.#named) {
      // What is older than the one before this has been cut away, or is about to be.
      this.#marks.dropBefore(this.#named);
      this.#reader!.cutSteps.takeBefore(this.#marks.firstSeq);
      this.#named = commit.snapshot;
    }
    const candidate = this.#base!.candidate;
    if (candidate !== null) return this.#judge(candidate, mark, commit);
    if (commit.commit > this.#at.commit) return this.#apply(commit, mark);
    this.#place.date(commit);
    if (commit.commit === this.#at.commit) {
      this.#checkIsOf(this.#at);
      this.#isAttached = true;
    }
    return null;
  }

  /** A commit comes while it is open whether the store can be trusted. */
  async #judge(candidate: Pointer, mark: Mark, commit: StoredCommit): Promise<void> {
    if (commit.commit < candidate.commit) {
      this.#place.take(commit, commit.timeMs);
      return;
    }
    this.#place.take(commit, commit.timeMs);
    // What the journal no longer has must be sent: of a store nothing else would tell what is to be.
    const isAllSent = this.#place.relayedThrough >= this.#first - 1;
    if (isAllSent && mark.seq === candidate.seq && mark.crc === candidate.crc) {
      this.#isAttached = true;
      await this.#loadStore(candidate, null);
      return;
    }
    // The base is the snapshot then, to which all of the run has something to say.
    this.#distrusted = candidate;
  }

  #apply(commit: StoredCommit, mark: Mark): Promise<void> | null {
    const { state } = this;
    this.#place.take(commit, commit.timeMs);
    this.#at = mark;
    if (commit.delta === null) return null;
    this.#replayed++;
    if (!state.resident) return state.replay(commit.delta, this.#store!);
    state.applyDelta(commit.delta);
    return null;
  }

  /** What an owner does to its local store, at the same commits. */
  async #keepStore(commit: StoredCommit): Promise<void> {
    const { state } = this;
    const held = this.#held;
    const { clock } = this.#options;
    if (held !== null && commit.snapshot === held.commit.commit) await this.#writeHeld(held);
    if (!commit.isCheckpoint || commit.commit !== this.#at.commit || !this.#isAttached) return;
    // Its owner ended before its snapshot was there. The store has it all the same, before the next changes, and counts for
    // nothing until those are in it, too.
    if (this.#held !== null) await this.#writeHeld(this.#held, { without: true });
    while (state.prepareCheckpoint(SLICE_ENTRIES)) {
      await new Promise<void>(resolve => clock.soon(resolve));
      this.#checkStopped();
    }
    const { epoch, commit: number, lastSeq: seq, crc } = commit;
    const pointer = { epoch, commit: number, seq, crc };
    this.#held = { checkpoint: state.checkpoint(), commit: pointer, place: this.#place.toParts() };
  }

  /** The journal has been read to our claim: checks all that it has to fit, and hands over. */
  async #give(claim: End): Promise<Restored> {
    const { commit } = this.#at;
    if (commit !== claim.commit || !this.#isAttached) {
      throw this.#corrupt(`ends at commit ${claim.commit}, and what fits together of it ends at ${commit}`);
    }
    const snapshot = await this.#snapshots.latest({ atLeast: Math.max(this.#named, this.#toldTo) });
    // Also where the base is a store: the next snapshot goes on from this one.
    if (commitOf(snapshot) < this.#toldTo) {
      throw this.#corrupt(`is whole, and the latest snapshot is older than commit ${this.#toldTo}, which had one`);
    }
    if (snapshot !== null) {
      const { commitSeq, journalSeq } = snapshot.manifest;
      this.#checkIsOf({ commit: commitSeq, seq: journalSeq, crc: snapshot.crc });
    }
    const place = this.#place;
    const held = this.#held !== null && commitOf(snapshot) < this.#held.commit.commit ? this.#held : null;
    // Its snapshot is there, though perhaps no commit has named it yet.
    if (this.#held !== null && held === null) await this.#writeHeld(this.#held);
    const { cutSteps } = this.#reader!;
    await this.#leaveJournal();
    const store = this.#store!;
    this.#store = null;
    const { bytes, commits } = this.#marks;
    return {
      store,
      from: this.#from,
      replayed: this.#replayed,
      place,
      snapshot,
      held,
      journal: { bytes, commits },
      cutSteps,
    };
  }

  /** Writes the checkpoint to our store, with its pointer or `without` one. */
  async #writeHeld(held: HeldCheckpoint, { without = false } = {}): Promise<void> {
    const commit = without ? null : held.commit;
    await writeStore(this.#store!, held.checkpoint, { commit, isOver: () => this.#stopped });
    this.#checkStopped();
    this.state.checkpointLanded();
    this.#toldTo = held.commit.commit;
    this.#held = null;
  }

  /** Throws unless the commit is the journal's, or the one before its run. */
  #checkIsOf(mark: Mark): void {
    if (mark.commit === 0 || this.#marks.has(mark)) return;
    throw this.#corrupt(
      `does not have the commit ${mark.commit} that the snapshot reflects: one of the two is an older copy`,
    );
  }

  async #end(): Promise<End> {
    const tail = await this.#tail.open();
    return tail === null ? { seq: 0, commit: 0 } : { seq: tail.seq, commit: lastWholeCommit(decodeHead(tail.data)) };
  }

  get #beginsAlone(): boolean {
    return this.#options.standsAlone === true && this.#tail.seq === 0;
  }

  #corrupt(what: string): MillraceError {
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

  #checkStopped(): void {
    if (this.#stopped) throw new Error(`${this.#options.location} was left before it was restored`);
  }

  async #leaveJournal(): Promise<void> {
    await this.#reader?.stop();
    this.#reader = null;
  }

  /** Forgets all: it begins anew. */
  async #drop(): Promise<void> {
    await this.#leaveJournal();
    await this.#store?.close();
    this.#store = null;
    this.state.reset();
    this.#base = null;
    this.#from = 'nothing';
    this.#at = NOWHERE;
    this.#isAttached = false;
    this.#marks = new Marks();
    this.#place = new Place();
    this.#replayed = this.#named = this.#toldTo = 0;
    this.#held = null;
  }

  /** Ends what is under way, with an error. */
  leave(): void {
    this.#stopped = this.#isLeft = true;
    this.#tail.stop();
    this.#endPause?.();
    void this.#reader?.stop();
  }

  /** After this nothing is open any more but what a task has taken over. For whoever follows, or has seen it end. */
  async stop(): Promise<void> {
    this.leave();
    // What cannot pass was told to whoever had it follow.
    await this.#following?.catch(() => {});
    await this.#leaveJournal();
    await this.#store?.close();
    this.#store = null;
  }
}

const NOWHERE: Mark = { commit: 0, seq: 0, crc: 0 };

function isSame(a: Pointer | null, b: Pointer | null): boolean {
  return a !== null && b !== null && a.commit === b.commit && a.seq === b.seq && a.crc === b.crc;
}

/** What may be so since another owner is at work, or was: only behind a claim it is certain. */
function isMisfit(error: unknown): boolean {
  return (
    isMillraceError(error, 'JOURNAL_CORRUPT') ||
    isMillraceError(error, 'CHAIN_BROKEN') ||
    isMillraceError(error, 'STREAM_CHANGED') ||
    isMillraceError(error, 'CONFLICT')
  );
}

/** Whoever follows waits for an owner to make it right: with the journal's stream, to begin with. */
function isPassing(error: unknown): boolean {
  return isMisfit(error) || (isMillraceError(error) && (error.fate === 'retry' || error.code === 'STREAM_MISSING'));
}
