/** When the messages of the last polls were published: what is told of latencies, and of nothing else. */
const POLLS_MAX = 256;

export class Publications {
  /** First messages of the last polls, oldest first. */
  #polls: { readonly seq: number; readonly timeMs: number }[] = [];

  /** A poll begins with this message. */
  note({ seq, timeMs }: { seq: number; timeMs: number }): void {
    if (this.#polls.length >= POLLS_MAX) this.#polls.splice(0, POLLS_MAX / 2);
    this.#polls.push({ seq, timeMs });
  }

  /**
   * When the message at `seq` was published, ms since 1970, or a little earlier: that of the first message of its poll.
   * Null: it was not read by this source, or too long ago.
   */
  at(seq: number): number | null {
    for (let i = this.#polls.length - 1; i >= 0; i--) if (this.#polls[i]!.seq <= seq) return this.#polls[i]!.timeMs;
    return null;
  }

  /** When the first message of the last poll was published, ms since 1970; null: there was none yet. */
  get latestMs(): number | null {
    return this.#polls.at(-1)?.timeMs ?? null;
  }
}
