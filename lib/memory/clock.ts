/**
 * Virtual time. `SimClock` owns the timers of a whole simulated world and runs them one by one, in order of time and,
 * among equals, in an order that the seed decides; between two timers everything that they set going with promises
 * runs to its end. `ProcessClock` is one process's view of a clock, which can be frozen (SIGSTOP) and killed.
 */
import TinyQueue from 'tinyqueue';
import type { Clock } from '../base/clock.ts';
import { invariant } from '../base/errors.ts';
import type { Random } from '../base/random.ts';

interface Timer {
  readonly dueMs: number;
  readonly tie: number;
  /** Null: cancelled. */
  callback: (() => void) | null;
}

/** 2026-01-01T00:00:00Z: any moment will do, as long as it is always the same. */
const START_MS = 1_767_225_600_000;

export class SimClock implements Clock {
  readonly #startMs: number;
  readonly #random: Random | undefined;
  readonly #timers = new TinyQueue<Timer>([], (a, b) => a.dueMs - b.dueMs || a.tie - b.tie);
  #elapsedMs = 0;
  #lastTie = 0;
  #running = false;

  /** Without `random`, timers of the same moment run in the order in which they were set. */
  constructor(options: { startMs?: number; random?: Random } = {}) {
    this.#startMs = options.startMs ?? START_MS;
    this.#random = options.random;
  }

  now(): number {
    return Math.floor(this.#startMs + this.#elapsedMs);
  }

  monotonic(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, callback: () => void): () => void {
    const timer: Timer = {
      dueMs: this.#elapsedMs + Math.max(0, delayMs),
      tie: this.#random === undefined ? ++this.#lastTie : this.#random.next(),
      callback,
    };
    this.#timers.push(timer);
    return () => {
      timer.callback = null;
    };
  }

  soon(callback: () => void): void {
    this.after(0, callback);
  }

  /** Runs all timers that are due up to `untilMs` (as `monotonic` counts) and ends exactly there. */
  async run(untilMs: number): Promise<void> {
    await this.runUntil(() => false, { limitMs: untilMs });
    this.#elapsedMs = Math.max(this.#elapsedMs, untilMs);
  }

  /**
   * Runs until `done` says so, looking after every timer. False: it never did, and either `limitMs` (as `monotonic`
   * counts) is reached or no timer is left, which means that the world stands still.
   */
  async runUntil(done: () => boolean, options: { limitMs?: number } = {}): Promise<boolean> {
    invariant(!this.#running, 'the simulated clock is already running');
    this.#running = true;
    try {
      const limitMs = options.limitMs ?? Number.POSITIVE_INFINITY;
      for (;;) {
        await settled();
        if (done()) return true;
        const next = this.#timers.peek();
        if (next === undefined || next.dueMs > limitMs) return false;
        this.#timers.pop();
        if (next.callback === null) continue;
        this.#elapsedMs = next.dueMs;
        next.callback();
      }
    } finally {
      this.#running = false;
    }
  }

  /** Runs until the promise is settled and returns what it holds. Throws INVARIANT when the world stands still first. */
  async runThrough<T>(work: Promise<T>, options: { limitMs?: number } = {}): Promise<T> {
    let ended = false;
    const mark = () => {
      ended = true;
    };
    work.then(mark, mark);
    const done = await this.runUntil(() => ended, options);
    invariant(done, `what the simulation waits for did not happen by ${this.#elapsedMs} ms`);
    return work;
  }
}

/** Node runs next-tick callbacks only when no promise job is left: all that could go on by itself has. */
function settled(): Promise<void> {
  return new Promise(resolve => process.nextTick(resolve));
}

export class ProcessClock implements Clock {
  readonly #clock: Clock;
  #frozen = false;
  #dead = false;
  /** What came due while frozen, in order. */
  #overdue: (() => void)[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get frozen(): boolean {
    return this.#frozen;
  }

  get dead(): boolean {
    return this.#dead;
  }

  now(): number {
    return this.#clock.now();
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  after(delayMs: number, callback: () => void): () => void {
    let live = true;
    const cancel = this.#clock.after(delayMs, () => this.#fire(() => live && callback()));
    return () => {
      live = false;
      cancel();
    };
  }

  soon(callback: () => void): void {
    this.#clock.soon(() => this.#fire(callback));
  }

  /** Time goes on, but nothing of this process runs. */
  freeze(): void {
    this.#frozen = true;
  }

  /** What came due meanwhile runs now, in order. */
  thaw(): void {
    if (!this.#frozen) return;
    this.#frozen = false;
    const overdue = this.#overdue;
    this.#overdue = [];
    for (const callback of overdue) this.#clock.after(0, () => this.#fire(callback));
  }

  /** Nothing of this process ever runs again. */
  kill(): void {
    this.#dead = true;
    this.#overdue = [];
  }

  #fire(callback: () => void): void {
    if (this.#dead) return;
    if (this.#frozen) this.#overdue.push(callback);
    else callback();
  }
}
