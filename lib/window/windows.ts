/**
 * Windows of one size on the time line: which of them hold a moment, and when they end. Pure arithmetic.
 *
 * Window i is `[offset + i·advance, offset + i·advance + size)`, aligned to the epoch. Tumbling windows are those
 * whose advance is their size. A *pane* is the largest slice of time that no window's edge cuts: every window is a
 * whole number of panes, so what was aggregated by pane can be put together to any window.
 */
export interface Windows {
  readonly sizeMs: number;
  readonly advanceMs: number;
  readonly offsetMs: number;
}

/** The first and the last window that hold the moment. `first > last`: it falls in a gap between windows. */
export function windowsAt(windows: Windows, timeMs: number): { first: number; last: number } {
  return { first: firstWindowAt(windows, timeMs), last: lastWindowAt(windows, timeMs) };
}

export function firstWindowAt(windows: Windows, timeMs: number): number {
  return Math.floor((timeMs - windows.offsetMs - windows.sizeMs) / windows.advanceMs) + 1;
}

export function lastWindowAt(windows: Windows, timeMs: number): number {
  return Math.floor((timeMs - windows.offsetMs) / windows.advanceMs);
}

export function startOf(windows: Windows, index: number): number {
  return windows.offsetMs + index * windows.advanceMs;
}

export function endOf(windows: Windows, index: number): number {
  return windows.offsetMs + index * windows.advanceMs + windows.sizeMs;
}

/** The last window that ends at or before the moment: closed, if the moment is the watermark less grace. */
export function lastEndedBy(windows: Windows, timeMs: number): number {
  return Math.floor((timeMs - windows.offsetMs - windows.sizeMs) / windows.advanceMs);
}

/** The panes of these windows, as tumbling windows. */
export function panesOf(windows: Windows): Windows {
  const paneMs = greatestCommonDivisor(windows.sizeMs, windows.advanceMs);
  return { sizeMs: paneMs, advanceMs: paneMs, offsetMs: windows.offsetMs };
}

function greatestCommonDivisor(a: number, b: number): number {
  let [larger, smaller] = [a, b];
  while (smaller > 0) [larger, smaller] = [smaller, larger % smaller];
  return larger;
}
