/**
 * Windows of one size on the time line: which of them hold a moment, and when they end. Pure arithmetic.
 *
 * Window i is `[offset + i·advance, offset + i·advance + size)`, aligned to the epoch. Tumbling windows are those
 * whose advance is their size. *Panes* are what lies between one edge of a window and the next: no edge cuts a pane, so
 * what was aggregated by pane can be put together to any window. An advance has one edge where a window begins and one
 * where a window ends, the same one if the size is a whole number of advances; so a window has at most twice as many panes
 * as there are windows over a moment, however size and advance relate (pairs, Krishnamurthy et al. 2006).
 */
export interface Windows {
  readonly sizeMs: number;
  readonly advanceMs: number;
  readonly offsetMs: number;
}

/** More windows than this over one moment nobody means: each record would be in as many results. */
export const HOPS_MAX = 100_000;

/** The first window that holds the moment. Behind the last one: it falls in a gap between windows. */
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

/** How many windows hold a moment, at most. */
export function hopsOf({ sizeMs, advanceMs }: Pick<Windows, 'sizeMs' | 'advanceMs'>): number {
  return Math.ceil(sizeMs / advanceMs);
}

/** The panes of windows, numbered in the order of time. */
export class Panes {
  readonly #windows: Windows;
  /** Behind the beginning of an advance: where a window ends. */
  readonly #restMs: number;
  readonly #inAdvance: 1 | 2;
  /** From the first pane of a window to the first one behind it. */
  readonly #inWindow: number;

  constructor(windows: Windows) {
    const { sizeMs, advanceMs } = windows;
    this.#windows = windows;
    this.#restMs = sizeMs % advanceMs;
    this.#inAdvance = this.#restMs === 0 ? 1 : 2;
    this.#inWindow = this.#inAdvance * Math.floor(sizeMs / advanceMs) + (this.#restMs === 0 ? 0 : 1);
  }

  at(timeMs: number): number {
    const advance = lastWindowAt(this.#windows, timeMs);
    if (this.#inAdvance === 1) return advance;
    return 2 * advance + (timeMs - startOf(this.#windows, advance) < this.#restMs ? 0 : 1);
  }

  startOf(pane: number): number {
    if (this.#inAdvance === 1) return startOf(this.#windows, pane);
    return startOf(this.#windows, Math.floor(pane / 2)) + (pane % 2 === 0 ? 0 : this.#restMs);
  }

  firstOf(window: number): number {
    return window * this.#inAdvance;
  }

  /** The first pane behind the window. */
  endOf(window: number): number {
    return window * this.#inAdvance + this.#inWindow;
  }
}
