/**
 * What is thought of a member by what was heard of it: whether it is there, and what place it has. Pure; all times are of the
 * one monotonic clock of whoever judges, and no two clocks are compared.
 *
 * - Nobody, twice: the broker knows at once when a process has ended, and says so to whoever asks. Whoever hears it twice
 *   in a row acts; once may have been the moment between two connections.
 * - Silence is no proof: the member is frozen, cut off, or lives on as if nothing were. So it takes longer.
 * - *nothing twice*: a member that has gone keeps its place for a while. Others work on its parts meanwhile and nothing else
 *   moves, and they are given back when it is back and stays. One that comes and goes every few seconds is given nothing in
 *   between, and so loses each part once, however often it comes.
 */

/** What one member has heard of another. */
export interface Sight {
  /** When it last was heard. */
  readonly heardAtMs: number;
  /** So much of the time since then nobody could have been heard. */
  readonly deafMs: number;
  /** So many questions since then have found nobody. */
  readonly nobodies: number;
}

export type Verdict = 'alive' | 'suspect' | 'gone';

export interface Judgement {
  readonly verdict: Verdict;
  /** It should be asked. */
  readonly ask: boolean;
}

export const BEAT_MS = 200;
/** A beat is missing. */
export const MISSED_MS = 250;
export const SUSPECT_MS = 1_000;
export const GONE_MS = 3_000;
export const NOBODIES = 2;

export function judgeMember({ heardAtMs, deafMs, nobodies }: Sight, nowMs: number): Judgement {
  const sinceMs = nowMs - heardAtMs;
  const silentMs = sinceMs - deafMs;
  if (nobodies >= NOBODIES || silentMs >= GONE_MS) return { verdict: 'gone', ask: false };
  return { verdict: silentMs >= SUSPECT_MS ? 'suspect' : 'alive', ask: sinceMs >= MISSED_MS };
}

/** How a member has come and gone. */
export interface History {
  readonly isThere: boolean;
  /** Since when it has been so. */
  readonly sinceMs: number;
  /** When it went, before which it was steady; null: it is. */
  readonly awaySinceMs: number | null;
}

export interface Patience {
  /** So long its place is kept for a member that has gone. */
  readonly returnPatienceMs: number;
  /** Whoever has gone is steady again after so long in one piece. */
  readonly steadyMs: number;
}

/**
 * - `steady`  it takes part in all
 * - `kept`    it has gone, or has only just come back: it is counted, so that nobody takes its place, and is given nothing yet
 * - `out`     it has been gone, or coming and going, for too long: it is counted when it is steady
 */
export type Standing = 'steady' | 'kept' | 'out';

/** @param before null: it was never heard of */
export function historyAfter(before: History | null, isThere: boolean, nowMs: number, patience: Patience): History {
  if (before === null) return { isThere, sinceMs: nowMs, awaySinceMs: isThere ? null : nowMs };
  const isSteady = standingOf(before, nowMs, patience) === 'steady';
  const awaySinceMs = isSteady ? null : before.awaySinceMs;
  if (before.isThere === isThere) return isSteady && before.awaySinceMs !== null ? { ...before, awaySinceMs } : before;
  return { isThere, sinceMs: nowMs, awaySinceMs: awaySinceMs ?? nowMs };
}

export function standingOf(history: History, nowMs: number, { returnPatienceMs, steadyMs }: Patience): Standing {
  const { isThere, sinceMs, awaySinceMs } = history;
  if (awaySinceMs === null || (isThere && nowMs - sinceMs >= steadyMs)) return 'steady';
  return nowMs - awaySinceMs < returnPatienceMs ? 'kept' : 'out';
}
