/**
 * What waits for one destination, in the order of commits: rows or frames, each with the progress that the destination
 * has made once it is in. Shared by all ways out.
 */
import { isBeyond, type Progress } from '../channel/frame.ts';

export interface QueuedItem {
  readonly commit: number;
  /** Rows of this commit for this destination before this item, and with it. */
  readonly rowFrom: number;
  readonly rowTo: number;
  readonly bytes: number;
}

export class ItemQueue<T extends QueuedItem> {
  /** Undefined before `#first`: what is out must die young, not wait here for its place to be tidied up. */
  #items: (T | undefined)[] = [];
  #first = 0;
  bytes = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  push(item: T): void {
    this.#items.push(item);
    this.bytes += item.bytes;
  }

  at(index: number): T | undefined {
    return this.#items[this.#first + index];
  }

  shift(): T | undefined {
    const item = this.#items[this.#first];
    if (item === undefined) return undefined;
    this.bytes -= item.bytes;
    this.#items[this.#first++] = undefined;
    if (this.#first > 256 && this.#first * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }

  /** Takes off what the destination holds, rows of the front item included. Returns the items that are wholly in. */
  settle(through: Progress): T[] {
    const done: T[] = [];
    let front = this.at(0);
    while (front !== undefined && !isBeyond({ position: front.commit, row: front.rowTo }, through)) {
      done.push(this.shift()!);
      front = this.at(0);
    }
    if (front !== undefined && front.commit === through.position && front.rowFrom < through.row) {
      this.#items[this.#first] = { ...front, rowFrom: through.row };
    }
    return done;
  }
}

/** Text form of a progress in a header: `commit.row`. */
export function progressText(progress: Progress): string {
  return `${progress.position}.${progress.row}`;
}

export function parseProgress(text: string | undefined): Progress | null {
  const match = text === undefined ? null : /^(\d+)\.(\d+)$/.exec(text);
  return match === null ? null : { position: Number(match[1]), row: Number(match[2]) };
}
