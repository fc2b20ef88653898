/**
 * The pace of a task: how much a batch may make before it ends, in bytes of its commit: rows, frames, letters, changes of
 * state. It outlives the task, since it is learned from batches that came to nothing.
 *
 * A batch is looked at after each record, and after each thing that fires, so it goes beyond `bytesMax` by what one of
 * them makes. Where state is on disk, records wait in their steps, and what they will make is known only when they run:
 * then what waits is counted instead, and batches shrink while they turn out larger than was meant.
 *
 * A batch beyond `outgrownBytes` cannot be committed. The task is dropped, as after any failure, and does it again with one
 * record at a time; so the one that is too much is found, and becomes a letter before it is given to any operator.
 */
import type { MillraceError } from '../base/errors.ts';
import type { RecordPlace, Refused } from '../operator/feed.ts';

export class Pace {
  /** What a batch may make before it ends. */
  bytesMax: number;
  /** What no commit may be. */
  readonly outgrownBytes: number;
  #bytesMax: number;
  /** Why, by row, by message, of each input. */
  #refused = new Map<string, Map<number, Map<number, MillraceError>>>();

  /** @param options.recordBytesMax what one record, or one thing that fires, may make */
  constructor(options: { commitBytesMax: number; recordBytesMax: number }) {
    this.#bytesMax = options.commitBytesMax;
    this.bytesMax = options.commitBytesMax;
    this.outgrownBytes = options.commitBytesMax + options.recordBytesMax;
  }

  /** Batches are of one record each. */
  get isLeast(): boolean {
    return this.bytesMax <= 1;
  }

  slowDown(): void {
    this.bytesMax = 1;
  }

  /** A batch has made so much, and was committed. */
  made(bytes: number): void {
    if (bytes > 2 * this.#bytesMax) this.bytesMax = Math.max(1, this.bytesMax >> 1);
    else if (this.bytesMax < this.#bytesMax && bytes <= this.#bytesMax >> 1) {
      this.bytesMax = Math.min(this.#bytesMax, this.bytesMax * 2);
    }
  }

  /** The record at `row` of the input's message `seq` is not given to operators any more, and its letter says why. */
  refuse(input: string, { seq, row }: RecordPlace, why: MillraceError): void {
    let rows = this.#refused.get(input);
    if (rows === undefined) this.#refused.set(input, (rows = new Map()));
    const known = rows.get(seq);
    if (known === undefined) rows.set(seq, new Map([[row, why]]));
    else known.set(row, why);
  }

  /** What is refused on an input; null: nothing, as nearly always. */
  refusedOn(input: string): Refused | null {
    const rows = this.#refused.get(input);
    return rows === undefined ? null : ({ seq, row }) => rows.get(seq)?.get(row) ?? null;
  }
}
