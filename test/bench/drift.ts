/**
 * Whether memory grows: the floor of the first half of the samples after the warm-up against that of the second. The
 * warm-up is their first third and at least four minutes: streams and caches must be full before anything can be told.
 * Flat means that from the end of the warm-up on the floor has risen by no more than a tenth of the mean, or by 16 MB if
 * that is more. The floor, because collectors of garbage breathe: a broker's memory goes from one to three times what it
 * needs and back within minutes, and a line through that says at which breath the soak ended. What leaks never comes
 * back: a quarter of an hour shows leaks of some 3 MB a minute and more, a longer soak smaller ones.
 */
export interface MemorySample {
  /** Since the beginning, ms. */
  readonly atMs: number;
  readonly bytes: number;
}

export interface Drift {
  /** `short`: too few samples to tell. */
  readonly verdict: 'flat' | 'grows' | 'short';
  readonly meanBytes: number;
  /** What the floor has risen by from the end of the warm-up to the last sample; negative when it sank. */
  readonly grownBytes: number;
  /** The same rate for an hour. */
  readonly bytesAnHour: number;
}

const WARM_UP_SHARE = 1 / 3;
const WARM_UP_MS = 240_000;
const SAMPLES_MIN = 6;
const TOLERANCE_SHARE = 0.1;
const TOLERANCE_BYTES = 16 * 2 ** 20;

/** @param samples in order of time. */
export function driftOf(samples: readonly MemorySample[]): Drift {
  const lastMs = samples.at(-1)?.atMs ?? 0;
  const warmMs = Math.max(lastMs * WARM_UP_SHARE, WARM_UP_MS);
  const fitted = samples.filter(({ atMs }) => atMs >= warmMs);
  const meanBytes = fitted.reduce((sum, { bytes }) => sum + bytes, 0) / Math.max(fitted.length, 1);
  const middle = Math.ceil(fitted.length / 2);
  const risen = floorOf(fitted.slice(middle)) - floorOf(fitted.slice(0, middle));
  const lastedMs = lastMs - (fitted[0]?.atMs ?? lastMs);
  // The halves lie half of the time apart.
  const bytesAMs = fitted.length < SAMPLES_MIN ? 0 : (2 * risen) / lastedMs;
  const grownBytes = bytesAMs * lastedMs;
  const tolerated = Math.max(meanBytes * TOLERANCE_SHARE, TOLERANCE_BYTES);
  const verdict = fitted.length < SAMPLES_MIN ? 'short' : grownBytes <= tolerated ? 'flat' : 'grows';
  return { verdict, meanBytes, grownBytes, bytesAnHour: bytesAMs * 3_600_000 };
}

function floorOf(samples: readonly MemorySample[]): number {
  return samples.reduce((least, { bytes }) => Math.min(least, bytes), Number.POSITIVE_INFINITY);
}
