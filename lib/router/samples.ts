/** How far a writer was at past positions, and what it had done: a broadcast speaks of a position that has passed. */
import type { WriterState } from '../channel/writer.ts';
import type { Counted } from './counted.ts';

const SAMPLES_MAX = 256;

export interface Sample {
  readonly state: WriterState;
  /** Null: nobody counts. */
  readonly counted: Counted | null;
}

export class Samples {
  /** Oldest first. */
  #samples: Sample[] = [];

  take(sample: Sample): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && last.state.position === sample.state.position) this.#samples.pop();
    // When there are too many, every other one goes: what is told becomes coarser, never wrong.
    else if (this.#samples.length >= SAMPLES_MAX) this.#samples = this.#samples.filter((_, i) => i % 2 === 1);
    this.#samples.push(sample);
  }

  /** The last of a position up to this one. */
  at(position: number): Sample | undefined {
    return this.#samples.findLast(({ state }) => state.position <= position);
  }
}
