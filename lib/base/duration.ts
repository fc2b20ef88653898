/**
 * Durations as people write them: `'30s'`, `'1h30m'`, `'500ms'`, or a number of milliseconds. Owns their grammar and
 * nothing else; everything behind the builder counts in ms.
 */
import { MillraceError } from './errors.ts';

/** `'500ms'`, `'30s'`, `'5m'`, `'2h'`, `'1d'`, `'1w'`, a sum of these from large to small (`'1h30m'`), or ms. */
export type Duration = string | number;

const UNITS_MS: readonly (readonly [unit: string, ms: number])[] = [
  ['w', 604_800_000],
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
];

const PART = /(\d+(?:\.\d+)?)(ms|[wdhms])/y;
const EXAMPLES = `write e.g. '500ms', '30s', '5m', '2h', '1d', '1h30m', or a number of milliseconds`;

/**
 * The duration in ms: a whole number from 0 to 2^53 − 1.
 * @param what names the setting in the error, e.g. `window size`.
 * @throws MillraceError INVALID_ARGUMENT
 */
export function durationMs(duration: Duration, what = 'duration'): number {
  const ms = typeof duration === 'number' ? duration : parse(duration, what);
  if (!Number.isSafeInteger(ms) || ms < 0) {
    throw invalid(duration, what, 'is not a whole number of milliseconds from 0 to 2^53 − 1');
  }
  // −0 would show as "-0" in keys and plans.
  return ms + 0;
}

/** As `durationMs`, and more than nothing: for sizes and gaps, where zero would mean no window at all. */
export function positiveDurationMs(duration: Duration, what = 'duration'): number {
  const ms = durationMs(duration, what);
  if (ms === 0) throw invalid(duration, what, 'must be more than nothing');
  return ms;
}

/** The shortest text that `durationMs` reads back, e.g. `90_000` → `'1m30s'`; for plans and messages. */
export function durationText(ms: number): string {
  if (ms === 0) return '0s';
  let text = '';
  let rest = ms;
  for (const [unit, unitMs] of UNITS_MS) {
    // Weeks are read but not written: nobody recognises '4w2d' as a month.
    if (unit === 'w') continue;
    const count = Math.floor(rest / unitMs);
    if (count > 0) text += count + unit;
    rest -= count * unitMs;
  }
  return text;
}

/**
 * About how long that is, for people: at most two units, from the largest on: `147_015_082` → `'1d16h'`. What is not whole is
 * cut off.
 */
export function spanText(ms: number): string {
  const rounded = Math.max(0, Math.floor(ms));
  const at = UNITS_MS.findIndex(([unit, unitMs]) => unit !== 'w' && rounded >= unitMs);
  if (at < 0) return '0s';
  const [, leastMs] = UNITS_MS[Math.min(at + 1, UNITS_MS.length - 1)]!;
  // Nobody wants to know the ms of what took a minute, nor those of what took seconds.
  const wholeMs = Math.max(leastMs, rounded >= 1_000 ? 1_000 : 1);
  return durationText(Math.floor(rounded / wholeMs) * wholeMs);
}

function parse(duration: unknown, what: string): number {
  if (typeof duration !== 'string') throw invalid(duration, what, 'is neither text nor a number');
  if (/^\d+$/.test(duration)) {
    throw new MillraceError(
      'INVALID_ARGUMENT',
      `${what} '${duration}' has no unit: write ${duration}s or ${duration}ms`,
    );
  }
  let totalMs = 0;
  let position = 0;
  let unitBefore = -1;
  while (position < duration.length) {
    PART.lastIndex = position;
    const part = PART.exec(duration);
    if (part === null) throw invalid(duration, what, 'cannot be read');
    const unit = UNITS_MS.findIndex(([name]) => name === part[2]);
    if (unit <= unitBefore) throw invalid(duration, what, 'must go from large units to small, each once');
    // Rounded to the µs: 0.29 s is 290 ms, although 0.29 × 1000 is not 290 in binary.
    totalMs += Math.round(Number(part[1]) * (UNITS_MS[unit] as readonly [string, number])[1] * 1000) / 1000;
    unitBefore = unit;
    position = PART.lastIndex;
  }
  if (position === 0) throw invalid(duration, what, 'is empty');
  return totalMs;
}

function invalid(duration: unknown, what: string, why: string): MillraceError {
  const shown = typeof duration === 'string' ? `'${duration}'` : String(duration);
  return new MillraceError('INVALID_ARGUMENT', `${what} ${shown} ${why}: ${EXAMPLES}`);
}
