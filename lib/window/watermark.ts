/**
 * Watermarks: "no record older than this is expected any more". Pure; the wall clock is passed in.
 *
 * A source's watermark is its largest event time less `maxOutOfOrderMs`. What has several inputs takes the least of
 * those that are not idle. Three rules:
 * A. It never goes back. An input that wakes rejoins at the current watermark.
 * B. An idle input holds nobody back, but has said what it has said.
 * C. While all inputs are idle, it moves on with the wall clock, from the furthest that any of them has said, so that
 *    the last windows close without a record to push them.
 */
/** Event times are within ± this, as Dates are: 100,000,000 days around 1970. */
export const TIME_MAX_MS = 8.64e15;

export const NO_WATERMARK = Number.NEGATIVE_INFINITY;

interface Input {
  watermarkMs: number;
  idle: boolean;
}

export class InputWatermarks {
  #inputs: Input[];
  #watermarkMs: number;
  /** Wall clock and watermark of the moment from which all inputs have been idle. */
  #idleSince: { nowMs: number; watermarkMs: number } | null = null;

  /** @param options.watermarkMs where it stood before a restart */
  constructor(options: { inputs: number; watermarkMs?: number }) {
    this.#inputs = Array.from({ length: options.inputs }, () => ({ watermarkMs: NO_WATERMARK, idle: false }));
    this.#watermarkMs = options.watermarkMs ?? NO_WATERMARK;
  }

  /** What input `index` says of itself. */
  update(index: number, state: { watermarkMs: number; idle: boolean }): void {
    const input = this.#inputs[index]!;
    if (state.watermarkMs > input.watermarkMs) input.watermarkMs = state.watermarkMs;
    input.idle = state.idle;
  }

  /** The watermark at wall clock `nowMs`. */
  at(nowMs: number): number {
    let least = Number.POSITIVE_INFINITY;
    let furthest = NO_WATERMARK;
    for (const input of this.#inputs) {
      if (!input.idle && input.watermarkMs < least) least = input.watermarkMs;
      if (input.watermarkMs > furthest) furthest = input.watermarkMs;
    }
    if (least < Number.POSITIVE_INFINITY) {
      this.#idleSince = null;
    } else {
      this.#idleSince ??= { nowMs, watermarkMs: Math.max(this.#watermarkMs, furthest) };
      least = this.#idleSince.watermarkMs + Math.max(0, nowMs - this.#idleSince.nowMs);
    }
    if (least > this.#watermarkMs) this.#watermarkMs = least;
    return this.#watermarkMs;
  }
}
