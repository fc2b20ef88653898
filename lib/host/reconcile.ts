/**
 * Reconciling one pipeline: a pure decision from what is wanted and what is the case. `hosted.ts` performs it.
 *
 * A revision is tried until it works. What passes by itself (fate `retry`, `fence`) is tried again with backoff. What
 * only a person can mend (`stop`, `reject`, `poison`) is left alone until a new revision is wanted: trying again could
 * not help, and where the broker has lost data a second start might take what is left for a beginning. Nothing is started
 * while the engine takes no orders.
 */
import type { MillraceError } from '../base/errors.ts';
import type { RunningPipeline } from '../seam/engine.ts';

/** What should be done here. Null: nothing, somebody else does it or nobody should. */
export type Wanted = { readonly do: 'run' | 'clear'; readonly revision: number } | null;

export type Phase =
  | { readonly kind: 'idle' }
  | { readonly kind: 'starting'; readonly revision: number }
  | {
      readonly kind: 'running';
      readonly revision: number;
      readonly pipeline: RunningPipeline;
      readonly sinceMs: number;
      readonly attempt: number;
    }
  | { readonly kind: 'stopping'; readonly revision: number; readonly pipeline: RunningPipeline }
  | { readonly kind: 'clearing'; readonly revision: number }
  | { readonly kind: 'cleared'; readonly revision: number }
  | {
      readonly kind: 'failed';
      readonly revision: number;
      readonly error: MillraceError;
      /** How often it failed in a row. */
      readonly attempt: number;
      /** Monotonic time of the next try, ms; null: not before a new revision. */
      readonly retryAtMs: number | null;
    };

export type HostStep =
  | { readonly do: 'start'; readonly revision: number }
  | { readonly do: 'clear'; readonly revision: number }
  | { readonly do: 'stop' }
  | { readonly do: 'rest' }
  /** Null: until something changes. */
  | { readonly do: 'wait'; readonly untilMs: number | null };

export function nextStep(
  phase: Phase,
  wanted: Wanted,
  { nowMs, engineUp }: { readonly nowMs: number; readonly engineUp: boolean },
): HostStep {
  if (phase.kind === 'running') {
    const right = wanted !== null && wanted.do === 'run' && wanted.revision === phase.revision;
    return right ? { do: 'wait', untilMs: null } : { do: 'stop' };
  }
  if (wanted === null) return phase.kind === 'idle' ? { do: 'wait', untilMs: null } : { do: 'rest' };
  const { revision } = wanted;
  const begin: HostStep = wanted.do === 'run' ? { do: 'start', revision } : { do: 'clear', revision };
  if (phase.kind === 'cleared' && phase.revision === wanted.revision) return { do: 'wait', untilMs: null };
  if (phase.kind === 'failed' && phase.revision === wanted.revision) {
    if (phase.retryAtMs === null || nowMs < phase.retryAtMs) return { do: 'wait', untilMs: phase.retryAtMs };
  }
  return wanted.do === 'run' && !engineUp ? { do: 'wait', untilMs: null } : begin;
}

const BACKOFF_MS_MIN = 500;
const BACKOFF_MS_MAX = 60_000;
/** A pipeline that ran for so long has recovered; its next failure is a first one. */
const STABLE_MS = 60_000;

/** The phase after a failure. `ranMs`: how long it had run before, 0 when it never did. */
export function failedPhase(
  error: MillraceError,
  from: { readonly revision: number; readonly attempt: number; readonly ranMs: number; readonly nowMs: number },
): Phase & { kind: 'failed' } {
  const attempt = from.ranMs >= STABLE_MS ? 1 : from.attempt + 1;
  const passes = error.fate === 'retry' || error.fate === 'fence';
  const delayMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** (attempt - 1));
  return {
    kind: 'failed',
    revision: from.revision,
    error,
    attempt,
    retryAtMs: passes ? from.nowMs + delayMs : null,
  };
}
