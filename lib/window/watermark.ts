/**
 * The watermark of a stage, from what is heard of those who write to it: readers of sources, and tasks of other stages.
 * Pure: no clock in it but the broker's, as the writers tell it.
 *
 * W1. It is the least of the writers that hold it back, and never goes back itself.
 * W2. A writer that has spoken holds it back, always. What it says moves with the clock while it is quiet
 *     (`source-time.ts`), so none holds it for ever.
 * W3. One that has never spoken holds it until nothing had come from it for its `idleAfter`, counted on the broker's clock
 *     from the moment at which another was first heard to have spoken; then not at all, until it speaks.
 * W4. One of which the author says `idle: 'skip'` does not hold it while it has been quiet for its `idleAfter`.
 * W5. Silence excuses only while it is fresh: what is known of it must not be older than a moment, against the furthest
 *     that any other writer's clock is known to be. A reader that is frozen or cut off is silent, too, and then the others
 *     wait for it. (`idleAfter` would be another measure; but W could run ahead by as much of what was published since.
 *     Too strict costs nothing: W waits for the next look.) And it must have been heard since this task began to listen, after all that it has read:
 *     a word from before may be older than records that came after it.
 * W6. When nobody holds it, it is as far as the furthest.
 */
/** Event times are within ± this, as Dates are: 100,000,000 days around 1970. */
export const TIME_MAX_MS = 8.64e15;

export const NO_WATERMARK = Number.NEGATIVE_INFINITY;

/** Where event time stands when all who write have said that nothing more is to come: what waits for any time is over. */
export const END_MS = TIME_MAX_MS;

/** Event time of what comes out `lagMs` later. At the end nothing comes out any more, so there is no time behind it. */
export function trailing(watermarkMs: number, lagMs: number): number {
  return watermarkMs >= END_MS ? END_MS : watermarkMs - lagMs;
}

/** Readers look twice a second, stages tell of silence once, and both take a moment to be heard. */
const FRESH_MS = 3_000;
/** Less than this is jitter, which nobody wants to be told of. */
const TOLD_QUIET_MS = 2_000;

/** A writer, as far as it has been heard. */
export interface Voice {
  /** The name of the source or stage, for people. */
  readonly name: string;
  /** Event time up to which it is complete; -Infinity: it has not spoken. */
  readonly watermarkMs: number;
  /** Broker's clock up to which that is all there was; -Infinity: not known. */
  readonly clockMs: number;
  /** How long before that its last message was published; Infinity: there was none. */
  readonly quietMs: number;
  readonly idleAfterMs: number;
  /** It holds nobody back when it is quiet. */
  readonly skips: boolean;
}

export class InputWatermarks {
  #voices: readonly Voice[];
  #watermarkMs: number;
  /** The broker's clock when somebody was first heard to have spoken. */
  #firstMs = Number.POSITIVE_INFINITY;

  /** @param options.watermarkMs where it stood before a restart */
  constructor(options: { voices: readonly Voice[]; watermarkMs?: number }) {
    this.#voices = options.voices;
    this.#watermarkMs = options.watermarkMs ?? NO_WATERMARK;
  }

  /** The watermark, after what the writers have said by now. */
  advance(): number {
    let least = Number.POSITIVE_INFINITY;
    let furthest = NO_WATERMARK;
    const clockMs = this.#latestClock();
    for (const voice of this.#voices) {
      const { watermarkMs } = voice;
      if (watermarkMs > furthest) furthest = watermarkMs;
      if (watermarkMs < least && !this.#isExcused(voice, clockMs)) least = watermarkMs;
    }
    const heldMs = least === Number.POSITIVE_INFINITY ? furthest : least;
    if (heldMs > this.#watermarkMs) this.#watermarkMs = heldMs;
    return this.#watermarkMs;
  }

  /** No writer has ever spoken: nothing is on its way here, and nothing can have come of it. */
  get isSilent(): boolean {
    if (this.#watermarkMs !== NO_WATERMARK) return false;
    for (const voice of this.#voices) if (voice.watermarkMs !== NO_WATERMARK) return false;
    return true;
  }

  /** The broker's clock up to which all writers are known; -Infinity: of some it is not. */
  get clockMs(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const { clockMs } of this.#voices) if (clockMs < least) least = clockMs;
    return least === Number.POSITIVE_INFINITY ? Number.NEGATIVE_INFINITY : least;
  }

  /** The writer that the others wait for, if one of them is further and it has been quiet for a while. */
  get waitsFor(): Voice | null {
    const clockMs = this.#latestClock();
    let holder: Voice | null = null;
    let furthest = NO_WATERMARK;
    for (const voice of this.#voices) {
      if (voice.watermarkMs > furthest) furthest = voice.watermarkMs;
      if (holder !== null && voice.watermarkMs >= holder.watermarkMs) continue;
      if (!this.#isExcused(voice, clockMs)) holder = voice;
    }
    return holder !== null && holder.watermarkMs < furthest && holder.quietMs >= TOLD_QUIET_MS ? holder : null;
  }

  /** The furthest that a writer's clock is known to be; notes when the first of them had spoken. */
  #latestClock(): number {
    let latest = Number.NEGATIVE_INFINITY;
    let first = Number.POSITIVE_INFINITY;
    for (const { watermarkMs, clockMs } of this.#voices) {
      if (clockMs > latest) latest = clockMs;
      if (watermarkMs !== NO_WATERMARK && clockMs !== Number.NEGATIVE_INFINITY && clockMs < first) first = clockMs;
    }
    if (this.#firstMs === Number.POSITIVE_INFINITY) this.#firstMs = first;
    return latest;
  }

  #isExcused({ watermarkMs, clockMs, quietMs, idleAfterMs, skips }: Voice, latestMs: number): boolean {
    const isSilent = watermarkMs === NO_WATERMARK;
    if (!isSilent && !(skips && quietMs >= idleAfterMs)) return false;
    if (clockMs + FRESH_MS < latestMs) return false;
    return !isSilent || clockMs >= this.#firstMs + idleAfterMs;
  }
}
