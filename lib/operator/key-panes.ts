/**
 * Panes put together to windows, where windows have many. Windows that follow each other share nearly all of their panes,
 * so what was merged for one is kept for the next: a *run* of panes, whose length is a power of two and whose first pane is
 * a multiple of it. A window is then some runs of each length at most, and a pane is merged once for each length and not
 * once for each window: n windows over n panes cost n·log n merges, not n². What is kept is derived, and the same
 * whenever it is made, so a result does not depend on when that was.
 */
import type { ValueTable } from '../state/tables.ts';
import { firstWindowAt, lastWindowAt, type Panes, type Windows } from '../window/windows.ts';
import type { Row } from './fold.ts';

/** Up to this many rows are merged as they are: cheaper than looking for runs, and by far most keys. */
const FEW = 8;

/** One key's panes that hold anything, in order, and the runs of them that are merged. */
export class KeyPanes {
  #numbers: number[] = [];
  /** Those before this one have been dropped. */
  #head = 0;
  /** By the binary logarithm of its length, less one: what a run comes to, by its place among those of that length. */
  #runs: Map<number, Row>[] = [];

  get isEmpty(): boolean {
    return this.#head === this.#numbers.length;
  }

  /** A pane holds more than it did, or something for the first time. */
  changed(pane: number): void {
    const numbers = this.#numbers;
    const last = numbers.at(-1);
    if (last === undefined || last < pane || this.isEmpty) numbers.push(pane);
    else {
      const at = firstFrom(numbers, pane, this.#head, numbers.length);
      if (numbers[at] !== pane) numbers.splice(at, 0, pane);
    }
    this.#forget(pane);
  }

  /** The pane, if it is the first, is nobody's any more. */
  drop(pane: number): void {
    if (this.#numbers[this.#head] !== pane) return;
    this.#forget(pane);
    this.#head++;
    if (this.#head * 2 <= this.#numbers.length) return;
    this.#numbers = this.#numbers.slice(this.#head);
    this.#head = 0;
  }

  #forget(pane: number): void {
    for (let i = 0; i < this.#runs.length; i++) this.#runs[i]!.delete(Math.floor(pane / 2 ** (i + 1)));
  }

  /** Few rows that together are what the panes from `from` on, before `to`, hold. Throws what a merge throws. */
  rowsOf(from: number, to: number, source: PaneRows): Row[] {
    const numbers = this.#numbers;
    const rows: Row[] = [];
    const end = firstFrom(numbers, to, this.#head, numbers.length);
    let at = firstFrom(numbers, from, this.#head, end);
    if (end - at <= FEW) {
      for (; at < end; at++) rows.push(source.rowOf(numbers[at]!));
      return rows;
    }
    for (let free = from; at < end; ) {
      // The longest run with this pane that fits.
      const pane = numbers[at]!;
      let level = 0;
      let [first, next] = [pane, pane + 1];
      for (let length = 2; ; length *= 2) {
        const start = Math.floor(pane / length) * length;
        if (start < free || start + length > to) break;
        level++;
        [first, next] = [start, start + length];
      }
      const after = firstFrom(numbers, next, at, end);
      rows.push(this.#runOf({ level, first, at, after }, source));
      at = after;
      free = next;
    }
    return rows;
  }

  /** What a run comes to; `at` and `after` are where its panes are in the list. */
  #runOf({ level, first, at, after }: Run, source: PaneRows): Row {
    if (after - at === 1) return source.rowOf(this.#numbers[at]!);
    while (this.#runs.length < level) this.#runs.push(new Map());
    const length = 2 ** level;
    const place = first / length;
    const runs = this.#runs[level - 1]!;
    const known = runs.get(place);
    if (known !== undefined) return known;
    const middle = first + length / 2;
    const half = firstFrom(this.#numbers, middle, at, after);
    const left = { level: level - 1, first, at, after: half };
    const right = { level: level - 1, first: middle, at: half, after };
    if (half === at) return this.#runOf(right, source);
    if (half === after) return this.#runOf(left, source);
    const run = source.merge([this.#runOf(left, source), this.#runOf(right, source)]);
    runs.set(place, run);
    return run;
  }
}

interface Run {
  readonly level: number;
  readonly first: number;
  readonly at: number;
  readonly after: number;
}

/** A key's rows by pane, and how they are merged. */
export interface PaneRows {
  rowOf(pane: number): Row;
  merge(rows: readonly Row[]): Row;
}

/** The keys of the window that closes, each with its panes in it; goes from window to window. */
export class OpenPanes {
  readonly keys = new Map<string, KeyPanes>();
  readonly #rows: ValueTable<Row>;
  #from = Number.NEGATIVE_INFINITY;
  #to = Number.NEGATIVE_INFINITY;

  constructor(rows: ValueTable<Row>) {
    this.#rows = rows;
  }

  /** A pane of the key has changed. In-order records are in panes that no window has needed yet. */
  changed(pane: number, key: string): void {
    if (pane >= this.#from && pane < this.#to) this.#keyOf(key).changed(pane);
  }

  /** Goes on to a later window's panes. */
  moveTo(from: number, to: number): void {
    const rows = this.#rows;
    let pane = rows.firstBucket(Math.max(from, this.#to));
    for (; pane !== undefined && pane < to; pane = rows.firstBucket(pane + 1)) {
      for (const [key] of rows.entries(pane)) this.#keyOf(key).changed(pane);
    }
    this.#from = from;
    this.#to = to;
  }

  /** The pane is nobody's any more: the first that there is. To be called before it is dropped. */
  leave(pane: number): void {
    if (pane >= this.#to) return;
    for (const [key] of this.#rows.entries(pane)) {
      const panes = this.keys.get(key);
      if (panes === undefined) continue;
      panes.drop(pane);
      if (panes.isEmpty) this.keys.delete(key);
    }
  }

  #keyOf(key: string): KeyPanes {
    let panes = this.keys.get(key);
    if (panes === undefined) this.keys.set(key, (panes = new KeyPanes()));
    return panes;
  }
}

/**
 * The windows, not closed yet, that changed panes are part of, with the keys that changed them; and of each of these keys
 * the panes that these windows need. `changed`: keys by pane.
 */
export function windowsOfChanged(
  changed: ReadonlyMap<number, ReadonlySet<string>>,
  rows: ValueTable<Row>,
  { windows, panes, closedTo }: { windows: Windows; panes: Panes; closedTo: number },
): { keysOf: Map<number, Set<string>>; panesOf: Map<string, KeyPanes> } {
  const keysOf = new Map<number, Set<string>>();
  const panesOf = new Map<string, KeyPanes>();
  const seenTo = new Map<string, number>();
  const numbers = [...changed.keys()].sort(ascending);
  for (const pane of numbers) {
    const keys = changed.get(pane)!;
    const paneMs = panes.startOf(pane);
    const first = Math.max(firstWindowAt(windows, paneMs), closedTo + 1);
    const last = lastWindowAt(windows, paneMs);
    for (let window = first; window <= last; window++) {
      const known = keysOf.get(window);
      if (known === undefined) keysOf.set(window, new Set(keys));
      else for (const key of keys) known.add(key);
    }
    const to = panes.endOf(last);
    for (const key of keys) {
      let known = panesOf.get(key);
      if (known === undefined) panesOf.set(key, (known = new KeyPanes()));
      const from = Math.max(panes.firstOf(first), seenTo.get(key) ?? Number.NEGATIVE_INFINITY);
      for (let held = rows.firstBucket(from); held !== undefined && held < to; held = rows.firstBucket(held + 1)) {
        if (rows.get(held, key) !== undefined) known.changed(held);
      }
      seenTo.set(key, to);
    }
  }
  return { keysOf, panesOf };
}

export function ascending(a: number, b: number): number {
  return a - b;
}

/** Where in the ascending list, from `low` on and before `high`, the first number is that is not below `least`. */
function firstFrom(numbers: readonly number[], least: number, low = 0, high = numbers.length): number {
  let from = low;
  let to = high;
  while (from < to) {
    const middle = (from + to) >>> 1;
    if (numbers[middle]! < least) from = middle + 1;
    else to = middle;
  }
  return from;
}
