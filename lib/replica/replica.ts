/**
 * A replica of a task: its state and how far it is, from snapshot and journal, kept fresh without owning anything and
 * without anybody's code. A standby follows for good, a move until it is warm, a cold start not at all; then a task takes
 * it over. READ `journal/writer.ts` FIRST.
 *
 *   base ─► commits up to the end that is seen ─► (commits as they come) ─► claim ─► the tail that is missing ─► the task's
 *
 * The base is the local store if it can be trusted, else the snapshot, else nothing; then the journal's commits after
 * it. *Trust*: the store is trusted only if the commit it points to is the very one that the journal or the snapshot
 * has at that place, and the latest snapshot is not older: a folder of another cluster, or of a history that the broker
 * has lost, is discarded. So is a snapshot believed only if the journal has the very commit that it reflects, or begins
 * with the message after it: as a base, and as what the next snapshot adds to.
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
 */
import { backoffMs } from '../base/backoff.ts';
import type { Clock } from '../base/clock.ts';
import { isMillraceError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { Chain } from '../chain/chain.ts';
import type { Attempts } from '../journal/attempts.ts';
import type { CutSteps } from '../journal/cut-steps.ts';
import { decodeHead, lastWholeCommit } from '../journal/entry.ts';
import type { JournalReader, StoredCommit } from '../journal/reader.ts';
import type { JournalWriter, Mark } from '../journal/writer.ts';
import type { Store } from '../port/store.ts';
import type { TaskState } from '../state/state.ts';
import type { HeldCheckpoint } from './checkpoint.ts';
import { FollowerStore } from './follower-store.ts';
import type { Place } from './place.ts';
import type { Pointer } from './pointer.ts';
import { type End, NOWHERE, Rebuild, type RebuildSources } from './rebuild.ts';
import { commitOf, type WholeSnapshot } from './snapshots.ts';

/** The first time brings in what is old, the second what has come meanwhile. */
const ROUNDS = 2;
const RETRY_BASE_MS = 250;
const RETRY_MAX_MS = 10_000;
/** Messages of the journal between two turns of others. */
const TURN_STEPS = 64;

/** The state is the replica's until a task has taken it over. */
export interface ReplicaOptions extends RebuildSources {
  readonly clock: Clock;
  readonly random: Random;
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
  /** How often it was started since it got on last, the claim that it was restored for included. */
  readonly attempts: Attempts;
}

export class Replica {
  readonly state: TaskState;
  #options: ReplicaOptions;
  #tail: Chain;
  /** Null: nothing is built yet, or what was did not fit. */
  #rebuild: Rebuild | null = null;
  #follower: FollowerStore;
  #following: Promise<void> | null = null;
  #endPause: (() => void) | null = null;
  /** What a local store pointed to that the journal has not got, so that it is not asked for again. */
  #distrusted: Pointer | null = null;
  #isLeft = false;
  #stopped = false;

  constructor(options: ReplicaOptions) {
    const { log, clock, random, stream, subject, state } = options;
    this.#options = options;
    this.state = state;
    this.#follower = new FollowerStore({ state, clock, checkOver: () => this.#checkStopped() });
    this.#tail = new Chain({ log, clock, random, stream, subject });
  }

  /** The last commit that the state reflects. */
  get commit(): number {
    return this.#rebuild?.at.commit ?? 0;
  }

  /** All of the journal that has been heard of is in. */
  get isFresh(): boolean {
    return this.#rebuild?.isAttached === true && this.#rebuild.reader.isAtEnd;
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
        if (!isMisfit(error) && !(isMillraceError(error) && error.fate === 'retry')) throw error;
        if (this.#rebuild?.isAttached) attempt = 0;
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
      this.#rebuild?.reader.interrupt();
      this.#endPause?.();
      await this.#following;
      this.#isLeft = this.#stopped;
    }
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const end = await this.#end();
        const isEnough = ({ seq, isAtEnd }: JournalReader) => seq >= end.seq || isAtEnd;
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
    return (this.#beginsAlone && this.#rebuild?.at) || NOWHERE;
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
    if (this.#rebuild === null) return null;
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
    return this.#reach({ isEnough: reader => reader.seq >= seq, through: seq, follows: false, ...options });
  }

  /** Builds what is missing, then reads on until it is enough or a task asks. A gap behind the base has it begin anew. */
  async #reach(way: Way): Promise<void> {
    let from = 1;
    for (;;) {
      if (this.#rebuild === null) await this.#begin(from, way.claim ?? null);
      const rebuild = this.#rebuild!;
      await this.#advance(rebuild, way);
      if (rebuild.anewFrom === null) return;
      // From there on, so that each time is nearer to the end than the one before.
      from = rebuild.anewFrom;
      this.#distrusted = rebuild.distrusted;
      await this.#drop();
    }
  }

  async #begin(from: number, claim: End | null): Promise<void> {
    this.#rebuild = new Rebuild({
      ...this.#options,
      ...{ from, claim, distrusted: this.#distrusted, end: () => this.#end() },
      standsAlone: this.#options.standsAlone ?? false,
      checkOver: () => this.#checkStopped(),
    });
    await this.#rebuild.begin();
  }

  /** Applies what comes, until it is enough or all must begin anew. */
  async #advance(rebuild: Rebuild, way: Way): Promise<void> {
    const { clock } = this.#options;
    const { state } = this;
    const { reader } = rebuild;
    while (!way.isEnough(reader) && !this.#isLeft) {
      const steps = await reader.next(way.through);
      for (const step of steps) {
        this.#checkStopped();
        // Nothing is awaited that need not be.
        const taking = rebuild.take(step);
        if (taking !== null) await taking;
        if (rebuild.anewFrom !== null) return;
        if (step.kind === 'commit') {
          if (way.follows && concernsStore(step.commit, rebuild)) {
            await this.#follower.keep(step.commit, { store: rebuild.store!, place: rebuild.place });
          }
        } else if (step.kind === 'claim' || step.kind === 'release') {
          this.#options.onOwner?.(step);
        }
      }
      const { stateBytesMax } = this.#options;
      if (state.bytes > stateBytesMax) state.evict(stateBytesMax);
      // Batches of those that own tasks here come first. Who reads little at a time has waited for it.
      if (steps.length >= TURN_STEPS) await new Promise<void>(resolve => clock.soon(resolve));
    }
    this.#checkStopped();
  }

  /** The journal has been read to our claim: checks all that it has to fit, and hands over. */
  async #give(claim: End): Promise<Restored> {
    const rebuild = this.#rebuild!;
    const { at, isAttached, marks, place, from, replayed, attempts } = rebuild;
    if (at.commit !== claim.commit || !isAttached) {
      throw rebuild.corrupt(`ends at commit ${claim.commit}, and what fits together of it ends at ${at.commit}`);
    }
    const toldTo = Math.max(rebuild.baseCommit, this.#follower.toldTo);
    const snapshot = await this.#options.snapshots.latest({ atLeast: Math.max(rebuild.named, toldTo) });
    // Also where the base is a store: the next snapshot goes on from this one.
    if (commitOf(snapshot) < toldTo) {
      throw rebuild.corrupt(`is whole, and the latest snapshot is older than commit ${toldTo}, which had one`);
    }
    if (snapshot !== null) {
      const { commitSeq, journalSeq } = snapshot.manifest;
      rebuild.checkIsOf({ commit: commitSeq, seq: journalSeq, crc: snapshot.crc });
    }
    const store = rebuild.store!;
    const held = await this.#follower.release(commitOf(snapshot), store);
    const { cutSteps } = rebuild.reader;
    rebuild.store = null;
    this.#rebuild = null;
    await rebuild.close();
    const { bytes, commits } = marks;
    return { store, from, replayed, place, snapshot, held, journal: { bytes, commits }, cutSteps, attempts };
  }

  async #end(): Promise<End> {
    const tail = await this.#tail.open();
    return tail === null ? { seq: 0, commit: 0 } : { seq: tail.seq, commit: lastWholeCommit(decodeHead(tail.data)) };
  }

  get #beginsAlone(): boolean {
    return this.#options.standsAlone === true && this.#tail.seq === 0;
  }

  #checkStopped(): void {
    if (this.#stopped) throw new Error(`${this.#options.location} was left before it was restored`);
  }

  /** Forgets all: it begins anew. */
  async #drop(): Promise<void> {
    await this.#rebuild?.close();
    this.#rebuild = null;
    this.state.reset();
    this.#follower.reset();
  }

  /** Ends what is under way, with an error. */
  leave(): void {
    this.#stopped = this.#isLeft = true;
    this.#tail.stop();
    this.#endPause?.();
    void this.#rebuild?.reader.stop();
  }

  /** After this nothing is open any more but what a task has taken over. For whoever follows, or has seen it end. */
  async stop(): Promise<void> {
    this.leave();
    // What cannot pass was told to whoever had it follow.
    await this.#following?.catch(() => {});
    await this.#rebuild?.close();
    this.#rebuild = null;
  }
}

/** How far to go. */
interface Way {
  isEnough(reader: JournalReader): boolean;
  /** Nothing is read behind this sequence. */
  readonly through?: number;
  /** Our own store is kept as the owner keeps its own. */
  readonly follows: boolean;
  /** Ours, if there is one. */
  readonly claim?: End;
}

/** It says something of checkpoints, and has just been applied. */
function concernsStore({ isCheckpoint, snapshot, commit }: StoredCommit, { isAttached, at }: Rebuild): boolean {
  return (isCheckpoint || snapshot > 0) && isAttached && commit === at.commit;
}

/** What may be so since another owner is at work, was, or has not been yet: only behind a claim it is certain. */
function isMisfit(error: unknown): boolean {
  return (
    isMillraceError(error, 'JOURNAL_CORRUPT') ||
    isMillraceError(error, 'CHAIN_BROKEN') ||
    isMillraceError(error, 'STREAM_CHANGED') ||
    isMillraceError(error, 'STREAM_MISSING') ||
    isMillraceError(error, 'CONFLICT')
  );
}
