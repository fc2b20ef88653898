/**
 * The slice: how long a part may be at work before all others of its thread have their turn. A batch ends when its slice is
 * over, however many records wait, so functions that are slow make their own pipeline slow and no other.
 *
 * It is asked after each record and before each thing that fires, and looks at the clock only now and then: the slower the
 * work, the oftener. Where state is on disk, records run after they are all fed, and the clock says nothing while they are:
 * so a batch that took too long makes the next ones smaller, until they fit.
 */
import type { Clock } from '../base/clock.ts';

/** How long a slice is, ms. */
export const SLICE_MS = 200;
/** Whoever was at work for so long gives way before the next batch. */
const LONG_MS = 50;
/** Times that it is asked between two looks at the clock, at most … */
const EVERY_MAX = 16;
/** … which is meant to be so long, ms. */
const LOOK_MS = 5;
/** What fires asks first: a batch that could do nothing would never end. */
const ASKED_MIN = 4;

export class Slice {
  #clock: Pick<Clock, 'monotonic'>;
  #sinceMs = 0;
  /** At work in this batch before that. */
  #workedMs = 0;
  #asked = 0;
  #askedMax = Number.POSITIVE_INFINITY;
  #every = 1;
  #untilLook = 1;
  #lookedMs = 0;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** A batch begins. */
  begin(): void {
    this.#workedMs = 0;
    this.#asked = 0;
    this.goOn();
  }

  /** Others have had their turn, while something was waited for. */
  goOn(): void {
    this.#sinceMs = this.#lookedMs = this.#clock.monotonic();
    this.#untilLook = this.#every;
  }

  /** Something is waited for. */
  rest(): void {
    this.#workedMs += this.#clock.monotonic() - this.#sinceMs;
  }

  /** The batch is done. True: the others should have their turn now. */
  end(): boolean {
    this.rest();
    const ms = this.#workedMs;
    if (ms > 2 * SLICE_MS) {
      const asked = Math.min(this.#asked, this.#askedMax);
      this.#askedMax = Math.max(ASKED_MIN, Math.floor((asked * SLICE_MS) / ms));
    } else if (ms < SLICE_MS / 2) this.#askedMax *= 2;
    return ms >= LONG_MS;
  }

  /** The batch takes no more, and nothing more fires in it. */
  isOver(): boolean {
    if (this.#asked++ >= this.#askedMax) return true;
    if (--this.#untilLook > 0) return false;
    const nowMs = this.#clock.monotonic();
    const ms = nowMs - this.#lookedMs;
    if (ms > LOOK_MS) this.#every = ms > 4 * LOOK_MS ? 1 : Math.max(1, this.#every >> 1);
    else if (this.#every < EVERY_MAX && ms < LOOK_MS / 4) this.#every *= 2;
    this.#lookedMs = nowMs;
    this.#untilLook = this.#every;
    return this.#workedMs + nowMs - this.#sinceMs >= SLICE_MS;
  }
}
