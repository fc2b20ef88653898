/**
 * The budget: what all tasks of a worker may hold together, whatever pipelines they are of. A task joins when it comes and
 * leaves when it goes, and what each may hold follows at once: nothing of it is fixed when a pipeline starts.
 *
 * State is shared out as it is needed: a task may hold what the others leave, and its even share whatever they hold. So one
 * that has much is not held down while the others have little; when these grow, it gives way at its next commit.
 */

/** All state in memory, about. */
const STATE_BYTES = 1 << 30;
/** All journal that no snapshot holds: what is read back after a crash. */
const JOURNAL_BYTES = 256 << 20;
/** No task gets less of either. */
const TASK_BYTES_MIN = 8 << 20;

/** One task's part in it. */
export interface Share {
  /** About how much state the task has in memory; it says so itself. */
  stateBytes: number;
  /** About how much it may have. */
  readonly stateBytesMax: number;
  /** Journal that it may write before its next checkpoint. */
  readonly journalBytesMax: number;
  leave(): void;
}

export class Budget {
  readonly #stateBytes: number;
  readonly #journalBytes: number;
  readonly #shares = new Set<Share>();

  /** @param options.share of a worker's budget, where its tasks are in several threads: none of them knows the others. */
  constructor({ stateBytes = STATE_BYTES, journalBytes = JOURNAL_BYTES, share = 1 } = {}) {
    this.#stateBytes = stateBytes * share;
    this.#journalBytes = journalBytes * share;
  }

  join(): Share {
    const shares = this.#shares;
    const even = (bytes: number) => Math.max(TASK_BYTES_MIN, Math.floor(bytes / shares.size));
    const left = (share: Share) => {
      let bytes = this.#stateBytes;
      for (const other of shares) if (other !== share) bytes -= other.stateBytes;
      return bytes;
    };
    const [stateBytes, journalBytes] = [this.#stateBytes, this.#journalBytes];
    const share: Share = {
      stateBytes: 0,
      get stateBytesMax() {
        return Math.max(even(stateBytes), left(share));
      },
      get journalBytesMax() {
        return even(journalBytes);
      },
      leave: () => shares.delete(share),
    };
    shares.add(share);
    return share;
  }
}
