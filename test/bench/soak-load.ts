/**
 * The soak's load, and what must come of it. Every 50 ms a device opens; for a minute it is read now and then; every fifth
 * reading is sent a second time, two seconds later. What is expected is known when a reading is sent and forgotten when
 * its row has come, so that a soak of hours takes no more memory than one of minutes.
 *
 * ```
 * device k   opens at k · 50 ms ──── read ──── read ──── read ───► gone after 60 s
 *            └── readings of the first 10 s join the opening ──┘
 * ```
 */
export interface Reading {
  readonly id: string;
  readonly device: string;
  readonly value: number;
  readonly at: number;
}

export interface Opening {
  readonly device: string;
  readonly site: string;
  readonly at: number;
}

/** What is sent at one moment. */
export interface Tick {
  readonly openings: readonly Opening[];
  readonly readings: readonly Reading[];
}

const OPEN_EVERY_MS = 50;
const LIFE_MS = 60_000;
const JOIN_MS = 10_000;
const WINDOW_MS = 10_000;
const COPY_EVERY = 5;
const COPY_AFTER_MS = 2_000;
const VALUES = 1_000;

export class SoakLoad {
  /** Readings and openings handed out, copies included. */
  sent = 0;
  /** Rows that were expected and have come. */
  right = 0;
  /** Rows that nobody expected, or that say something else. */
  wrong = 0;
  /** The first few of those, as they came. */
  readonly examples: string[] = [];
  readonly #fromMs: number;
  readonly #eventsPerSecond: number;
  readonly #totals = new Map<string, { count: number; total: number }>();
  readonly #sites = new Map<string, string>();
  #copies: Reading[] = [];
  #read = 0;
  #opened = 0;

  /** @param options.fromMs when it begins, ms since 1970 */
  constructor(options: { fromMs: number; eventsPerSecond: number }) {
    this.#fromMs = options.fromMs;
    this.#eventsPerSecond = options.eventsPerSecond;
  }

  /** Rows that have yet to come. */
  get outstanding(): number {
    return this.#totals.size + this.#sites.size;
  }

  /** All that is due by `nowMs` and was not handed out before. */
  dueAt(nowMs: number): Tick {
    const elapsedMs = nowMs - this.#fromMs;
    const openings: Opening[] = [];
    while (this.#opened * OPEN_EVERY_MS <= elapsedMs) openings.push(this.#opening(this.#opened++));
    const ripe = this.#copies.findIndex(({ at }) => at + COPY_AFTER_MS > nowMs);
    const readings = this.#copies.splice(0, ripe === -1 ? this.#copies.length : ripe);
    const due = Math.floor((elapsedMs * this.#eventsPerSecond) / 1_000);
    while (this.#read < due) readings.push(this.#reading(this.#read++, nowMs));
    this.sent += openings.length + readings.length;
    return { openings, readings };
  }

  /** The copies that are still to be sent. */
  rest(): Tick {
    const readings = this.#copies;
    this.#copies = [];
    this.sent += readings.length;
    return { openings: [], readings };
  }

  /** A row of the windows has come. */
  takeTotal(row: { device: string; start: number; count: number; total: number }): void {
    const key = `${row.device} ${row.start}`;
    const expected = this.#totals.get(key);
    this.#totals.delete(key);
    this.#judge(expected !== undefined && expected.count === row.count && expected.total === row.total, row);
  }

  /** A row of the join has come. */
  takeSite(row: { id: string; site: string }): void {
    const expected = this.#sites.get(row.id);
    this.#sites.delete(row.id);
    this.#judge(expected === row.site, row);
  }

  #judge(right: boolean, row: object): void {
    if (right) this.right++;
    else if (++this.wrong <= 5) this.examples.push(JSON.stringify(row));
  }

  #opening(k: number): Opening {
    return { device: `d${k}`, site: siteOf(k), at: this.#fromMs + k * OPEN_EVERY_MS };
  }

  #reading(n: number, at: number): Reading {
    const newest = this.#opened - 1;
    const alive = Math.min(this.#opened, LIFE_MS / OPEN_EVERY_MS);
    const k = newest - (scrambled(n) % alive);
    const reading: Reading = { id: `r${n}`, device: `d${k}`, value: scrambled(~n) % VALUES, at };
    const key = `${reading.device} ${at - (at % WINDOW_MS)}`;
    const window = this.#totals.get(key) ?? { count: 0, total: 0 };
    this.#totals.set(key, window);
    window.count++;
    window.total += reading.value;
    if (at - (this.#fromMs + k * OPEN_EVERY_MS) <= JOIN_MS) this.#sites.set(reading.id, siteOf(k));
    if (n % COPY_EVERY === 0) this.#copies.push(reading);
    return reading;
  }
}

function siteOf(k: number): string {
  return `site-${k % 7}`;
}

/** A number that looks random, from 0 to 2^32 - 1. */
function scrambled(n: number): number {
  let hash = Math.imul(n ^ (n >>> 16), 0x45d9f3b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return (hash ^ (hash >>> 16)) >>> 0;
}
