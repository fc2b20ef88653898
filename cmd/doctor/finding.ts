/** What a check of `millrace doctor` finds. */
import { isMillraceError, messageOf } from '../../lib/base/errors.ts';

/** `good`: as it should be; `warn`: works, and may not always; `bad`: does not work. */
export type Verdict = 'good' | 'warn' | 'bad';

export interface Finding {
  /** What was looked at. */
  readonly check: string;
  readonly verdict: Verdict;
  readonly text: string;
  /** What to do about it; null when it is good. */
  readonly advice: string | null;
}

export function good(check: string, text: string): Finding {
  return { check, verdict: 'good', text, advice: null };
}

export function warn(check: string, text: string, advice: string): Finding {
  return { check, verdict: 'warn', text, advice };
}

export function bad(check: string, text: string, advice: string): Finding {
  return { check, verdict: 'bad', text, advice };
}

/** What a check threw: errors on purpose say themselves what to do. Rethrows all others. */
export function failed(check: string, error: unknown, advice: string): Finding {
  if (!isMillraceError(error)) throw error;
  return bad(check, messageOf(error), advice);
}
