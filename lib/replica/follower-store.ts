/**
 * The local store of a follower, written as an owner's is (`checkpoint.ts`, step 4), and when an owner's is: its changes as
 * of the commit at which the owner took a checkpoint, once a later commit has named the snapshot of it. Until then the
 * checkpoint is held in memory; so what is in the store is never missing from the next snapshot.
 */
import type { Clock } from '../base/clock.ts';
import type { StoredCommit } from '../journal/reader.ts';
import type { Store } from '../port/store.ts';
import type { TaskState } from '../state/state.ts';
import type { HeldCheckpoint } from './checkpoint.ts';
import type { Place } from './place.ts';
import { writeStore } from './pointer.ts';

/** Entries of a checkpoint that are prepared between two turns of others. */
const SLICE_ENTRIES = 1000;

export class FollowerStore {
  readonly #state: TaskState;
  readonly #clock: Clock;
  readonly #checkOver: () => void;
  #held: HeldCheckpoint | null = null;
  /** The state counts as told up to this commit, beyond its base: no snapshot that is older can be added to. */
  toldTo = 0;

  /** @param options.checkOver throws when the replica was left */
  constructor(options: { state: TaskState; clock: Clock; checkOver: () => void }) {
    this.#state = options.state;
    this.#clock = options.clock;
    this.#checkOver = options.checkOver;
  }

  /** The commit was applied, and the state is as of it. */
  async keep(commit: StoredCommit, { store, place }: { store: Store; place: Place }): Promise<void> {
    if (commit.snapshot === this.#held?.commit.commit) await this.#write(this.#held, store);
    if (!commit.isCheckpoint) return;
    // Its owner ended before its snapshot was there. The store has it all the same, before the next changes, and counts for
    // nothing until those are in it, too.
    if (this.#held !== null) await this.#write(this.#held, store, { pointed: false });
    while (this.#state.prepareCheckpoint(SLICE_ENTRIES)) {
      await new Promise<void>(resolve => this.#clock.soon(resolve));
      this.#checkOver();
    }
    const { epoch, commit: number, lastSeq: seq, crc } = commit;
    const pointer = { epoch, commit: number, seq, crc };
    this.#held = { checkpoint: this.#state.checkpoint(), commit: pointer, place: place.toParts() };
  }

  /** A task takes over, and that is the latest snapshot's commit. Returns what no snapshot has: the task must write it. */
  async release(snapshotCommit: number, store: Store): Promise<HeldCheckpoint | null> {
    const held = this.#held;
    if (held === null || snapshotCommit < held.commit.commit) return held;
    // Its snapshot is there, though perhaps no commit has named it yet.
    await this.#write(held, store);
    return null;
  }

  async #write(held: HeldCheckpoint, store: Store, { pointed } = { pointed: true }): Promise<void> {
    const isOver = () => {
      this.#checkOver();
      return false;
    };
    await writeStore(store, held.checkpoint, { commit: pointed ? held.commit : null, isOver });
    this.#checkOver();
    this.#state.checkpointLanded();
    this.toldTo = held.commit.commit;
    this.#held = null;
  }

  /** The state was emptied. */
  reset(): void {
    this.#held = null;
    this.toldTo = 0;
  }
}
