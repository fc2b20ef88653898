/**
 * Where a cut of a journal stops for a while. A cut holds up whoever appends to the stream, some microseconds for each
 * message it drops and milliseconds for what the broker must read from its disk for it. So no step of it drops more than
 * a few messages, small or large. Whoever reads or writes the journal notes what there is.
 */

const STEP_MESSAGES = 128;
const STEP_BYTES = 1 << 20;

export class CutSteps {
  /** Sequences that a cut goes to one after the other. */
  #steps: number[] = [];
  /** What has come since the last of them. */
  #messages = 0;
  #bytes = 0;

  /** A message of the journal, in order. */
  note(seq: number, bytes: number): void {
    if (++this.#messages < STEP_MESSAGES && (this.#bytes += bytes) < STEP_BYTES) return;
    this.#steps.push(seq);
    this.#messages = 0;
    this.#bytes = 0;
  }

  /** The steps before `seq`, which is about to be cut to, or was. */
  takeBefore(seq: number): readonly number[] {
    const end = this.#steps.findIndex(step => step >= seq);
    return this.#steps.splice(0, end < 0 ? this.#steps.length : end);
  }
}
