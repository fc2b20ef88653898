/**
 * Whether memory grows: a straight line through the samples after the warm-up, which is their first third. Flat means that
 * along the line it has grown by no more than a tenth of its mean, or by 16 MB if that is more: a garbage collector's
 * breathing and a heap that fills up once stay below, a leak that would fill a machine within a day of such runs does not.
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
const SAMPLES_MIN = 6;
const TOLERANCE_SHARE = 0.1;
const TOLERANCE_BYTES = 16 * 2 ** 20;

/** @param samples in order of time. */
export function driftOf(samples: readonly MemorySample[]): Drift {
  const lastMs = samples.at(-1)?.atMs ?? 0;
  const fitted = samples.filter(({ atMs }) => atMs >= lastMs * WARM_UP_SHARE);
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
