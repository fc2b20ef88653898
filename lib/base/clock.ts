/** The clock port: wall time and timers, passed in so that the simulator owns both. */
export interface Clock {
  /** Wall clock, ms since 1970. */
  now(): number;
  /** Monotonic, ms, from an arbitrary start. */
  monotonic(): number;
  /** Calls `callback` once after `delayMs`. Returns a function that cancels it. */
  after(delayMs: number, callback: () => void): () => void;
  /** Calls `callback` once, after whatever I/O is ready has had its turn. */
  soon(callback: () => void): void;
}

export function sleep(clock: Clock, delayMs: number): Promise<void> {
  return new Promise(resolve => clock.after(delayMs, resolve));
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, callback) {
    // Node from 24 on warns of what is due already.
    const timer = setTimeout(callback, Math.max(0, delayMs));
    return () => clearTimeout(timer);
  },
  soon: callback => void setImmediate(callback),
};
