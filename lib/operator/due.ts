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

  /** Visits the members up to `timeMs`, in no particular order, and leaves them where they are. */
  forEachUpTo(timeMs: number, visit: (due: Due) => void): void {
    for (let i = this.#head; i < this.#sorted.length && this.#sorted[i]!.timeMs <= timeMs; i++) visit(this.#sorted[i]!);
    const { data } = this.#later;
    const pending = [0];
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      const due = data[at];
      // What is below a member of the heap is not earlier than it.
      if (due === undefined || due.timeMs > timeMs) continue;
      visit(due);
      pending.push(2 * at + 1, 2 * at + 2);
    }
  }
}

/** By time; the rest makes the order the same after a restart. */
export function compareDue(left: Due, right: Due): number {
  return (
    left.timeMs - right.timeMs || (left.key < right.key ? -1 : left.key > right.key ? 1 : left.index - right.index)
  );
}
