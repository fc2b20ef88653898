/** The time of day, finer than a millisecond, and how another process of this machine can go by the same clock. */

/** Nobody ever writes to it. */
const UNTOUCHED = new Int32Array(new SharedArrayBuffer(4));

/** The wall clock of this process, ms since 1970: set once when it starts, and even from then on. */
export function clockMs(): number {
  return performance.timeOrigin + performance.now();
}

/** How far `clockMs` is ahead of the monotonic clock, which all processes of a machine share. */
export function clockOffsetMs(): number {
  return clockMs() - monotonicMs();
}

/** What `clockMs` says in the process whose offset it is. */
export function clockOfMs(offsetMs: number): number {
  return monotonicMs() + offsetMs;
}

/** Holds this thread, all of it, for so long: a timer is late by up to a millisecond, and a loop would take a core. */
export function holdFor(ms: number): void {
  if (ms > 0) Atomics.wait(UNTOUCHED, 0, 0, ms);
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
