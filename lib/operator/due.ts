/**
 * What is due next, in the order of time: a heap in memory, derived from tables, whose members point to entries there.
 *
 * It holds only what lies in buckets that have begun to fall due (whoever owns it loads a bucket when the watermark
 * reaches it), so it stays small next to the state, and each member enters and leaves it once.
 */
import TinyQueue from 'tinyqueue';

export interface Due {
  readonly timeMs: number;
  readonly bucket: number;
  readonly key: string;
  /** Of an item in a list; 0 for values. */
  readonly index: number;
}

export class DueQueue {
  #heap = new TinyQueue<Due>([], compareDue);

  push(due: Due): void {
    this.#heap.push(due);
  }

  /** The earliest member, or undefined. */
  peek(): Due | undefined {
    return this.#heap.peek();
  }

  pop(): Due | undefined {
    return this.#heap.pop();
  }

  clear(): void {
    this.#heap = new TinyQueue<Due>([], compareDue);
  }

  /** Visits the members up to `timeMs`, in no particular order, and leaves them where they are. */
  forEachUpTo(timeMs: number, visit: (due: Due) => void): void {
    const { data } = this.#heap;
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
