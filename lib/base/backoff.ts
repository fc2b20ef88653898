/** How long to wait before the next try: doubling from a base to a ceiling, with jitter so that a crowd spreads out. */
import type { Random } from './random.ts';

export interface BackoffOptions {
  readonly baseMs: number;
  readonly maxMs: number;
  /** Without one the delay is exact. */
  readonly random?: Random | undefined;
}

/** Delay in ms before try number `attempt` + 1 (0: the first retry). With jitter: uniform in [half, whole). */
export function backoffMs(attempt: number, { baseMs, maxMs, random }: BackoffOptions): number {
  const wholeMs = Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30));
  return random === undefined ? wholeMs : random.between(wholeMs / 2, wholeMs);
}
