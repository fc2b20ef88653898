/**
 * Whether memory grows: a straight line through the samples after the warm-up, which is their first third and at least
 * four minutes: streams and caches must be full before anything can be told. Flat means that along the line it has grown by
 * no more than a tenth of its mean, or by 16 MB if that is more. A garbage collector's breathing stays below that; of leaks,
 * a quarter of an hour shows those of some 3 MB a minute and more, a longer soak smaller ones.
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
  /** Along the line, from the end of the warm-up to the last sample; negative when it shrinks. */
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
  const n = Math.max(fitted.length, 1);
  const meanMs = fitted.reduce((sum, { atMs }) => sum + atMs, 0) / n;
  const meanBytes = fitted.reduce((sum, { bytes }) => sum + bytes, 0) / n;
  let spread = 0;
  let together = 0;
  for (const { atMs, bytes } of fitted) {
    spread += (atMs - meanMs) ** 2;
    together += (atMs - meanMs) * (bytes - meanBytes);
  }
  const bytesAMs = spread === 0 ? 0 : together / spread;
  const grownBytes = bytesAMs * (lastMs - (fitted[0]?.atMs ?? lastMs));
  const tolerated = Math.max(meanBytes * TOLERANCE_SHARE, TOLERANCE_BYTES);
  const verdict = fitted.length < SAMPLES_MIN ? 'short' : grownBytes <= tolerated ? 'flat' : 'grows';
  return { verdict, meanBytes, grownBytes, bytesAnHour: bytesAMs * 3_600_000 };
}
