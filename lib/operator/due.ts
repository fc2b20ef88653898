/**
 * What is due next, in the order of time: a queue in memory, derived from tables, whose members point to entries there.
 *
 * It holds only what lies in buckets that have begun to fall due (whoever owns it loads a bucket when the watermark
 * reaches it), so it stays small next to the state, and each member enters and leaves it once. What a bucket held when
 * it was loaded is sorted once; what comes to it later, which is little, waits in a heap.
 */
import TinyQueue from 'tinyqueue';

export interface Due {
  readonly timeMs: number;
  readonly bucket: number;
  readonly key: string;
  /** An item's place in its list; 0 for values. */
  readonly index: number;
}

/**
 * So many members leave in one batch, whatever becomes of them; those that follow leave in the next. So a flood of what is
 * due never keeps all others waiting, and where state is on disk, no more of it is brought back than leaves.
 */
export const DUE_MAX = 10_000;

/** Members that have left are given back to the heap in lots of at least so many. */
const LEFT_MAX = 1_024;

export class DueQueue {
  #sorted: Due[] = [];
  /** Those before this one have left. */
  #head = 0;
  #later = new TinyQueue<Due>([], compareDue);

  /** Takes in what a bucket holds, in any order. Buckets come in the order of time and do not overlap. */
  load(members: Due[]): void {
    members.sort(compareDue);
    if (this.#head === this.#sorted.length) {
      this.#sorted = members;
      this.#head = 0;
    } else {
      for (const due of members) this.#sorted.push(due);
    }
  }

  /** Takes in one that belongs to a bucket which is loaded. */
  push(due: Due): void {
    this.#later.push(due);
  }

  /** The earliest member, or undefined. */
  peek(): Due | undefined {
    const loaded = this.#sorted[this.#head];
    const later = this.#later.peek();
    if (loaded === undefined || later === undefined) return loaded ?? later;
    return compareDue(loaded, later) <= 0 ? loaded : later;
  }

  pop(): Due | undefined {
    const due = this.peek();
    if (due === undefined || due !== this.#sorted[this.#head]) return this.#later.pop();
    this.#head++;
    if (this.#head > LEFT_MAX && this.#head * 2 > this.#sorted.length) {
      this.#sorted = this.#sorted.slice(this.#head);
      this.#head = 0;
    }
    return due;
  }

  /** Visits those of the first DUE_MAX members that are up to `timeMs`, and perhaps some after them; all stay where they are. */
  forEachUpTo(timeMs: number, visit: (due: Due) => void): void {
    const sorted = this.#sorted;
    const end = Math.min(sorted.length, this.#head + DUE_MAX);
    for (let i = this.#head; i < end && sorted[i]!.timeMs <= timeMs; i++) visit(sorted[i]!);
    const { data } = this.#later;
    if (data.length === 0) return;
    // What is below a member of the heap is not earlier than it.
    const next = new TinyQueue([0], (left, right) => compareDue(data[left]!, data[right]!));
    for (let visited = 0; visited < DUE_MAX; visited++) {
      const at = next.pop();
      if (at === undefined || data[at]!.timeMs > timeMs) return;
      visit(data[at]!);
      for (const below of [2 * at + 1, 2 * at + 2]) if (below < data.length) next.push(below);
    }
  }
}

/** By time; the rest makes the order the same after a restart. */
export function compareDue(left: Due, right: Due): number {
  return (
    left.timeMs - right.timeMs || (left.key < right.key ? -1 : left.key > right.key ? 1 : left.index - right.index)
  );
}
