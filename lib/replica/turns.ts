/**
 * Turns: how many tasks of a pipeline may be at some background work at a time. They were started together and have grown
 * alike, so without turns all of them would be at it at once, and batches would wait for all.
 */
export class Turns {
  #free: number;

  /** @param count how many at a time */
  constructor(count: number) {
    this.#free = count;
  }

  /** Takes a turn, which ends with the first call of what is returned. Null: all are taken; ask again. */
  take(): (() => void) | null {
    if (this.#free === 0) return null;
    this.#free--;
    let isTaken = true;
    return () => {
      if (isTaken) this.#free++;
      isTaken = false;
    };
  }
}
