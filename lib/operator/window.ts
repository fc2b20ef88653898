/**
 * Windows of one size, tumbling and hopping: one result per key and window. Sessions are in `session.ts`.
 *
 * State: one row of accumulators (`fold.ts`) per key and *slice*, in a value table, bucket = number of the slice.
 * A slice is a window, or, where windows overlap and every aggregate merges, a pane (`windows.ts`): then a record
 * enters one row instead of one for each window, and windows are put together from panes when they are asked for.
 *
 * A window closes when W ≥ end + grace: its buckets are gone through once, and dropped when no open window needs them.
 * Where a batch ends before all that is due has fired, what has gone out must be known to whoever goes on: rows of windows
 * are deleted, and since panes are needed on, table `closed` says up to which window all have gone out, and table `closing`
 * up to which one those of a key have. Both are empty at all other times. `closed` speaks of all keys that the task had
 * when it wrote it: where it was made of several, or of a part of one (`savepoint/cut.ts`), of a range of key groups. Those
 * that are further than the rest are passed over until it has caught up with them; were the least of them taken for all,
 * windows would go out twice, and were the greatest, never.
 * A record is late for a window that has closed and counts in those still open; late for all of them, it is late.
 *
 * Results have the event time `end − 1` and go out in the order of windows. `emit: 'updates'` sends, once per batch, each
 * key and window that the batch changed, and each window once more at close, as final.
 *
 * `lagMs` is grace: a window that was open at W has W < end + grace, in whole ms end − 1 ≥ W − grace.
 */
import { keyGroupOf } from '../base/hash.ts';
import { INSERT } from '../change/change.ts';
import { ALL_KEYS, groupsOfTaskEntry } from '../state/entry-key.ts';
import type { ValueTable, Wants } from '../state/tables.ts';
import { NO_WATERMARK } from '../window/watermark.ts';
import {
  endOf,
  firstWindowAt,
  hopsOf,
  lastEndedBy,
  lastWindowAt,
  Panes,
  startOf,
  type Windows,
} from '../window/windows.ts';
import type { Further, UnderWay } from './closing.ts';
import { Fold, mergesAll, type Row } from './fold.ts';
import { ascending, OpenPanes, type PaneRows, windowsOfChanged } from './key-panes.ts';
import type { Operator, OperatorContext, OperatorLook } from './operator.ts';
import type { StatefulSpec, WindowSpec } from './spec.ts';
import { keyless, refusePromise } from './user-code.ts';

export type WindowOperatorSpec = Extract<StatefulSpec, { kind: 'window' }>;
type FixedSpec = Exclude<WindowSpec, { kind: 'session' }>;

/** Whether slices are panes: state of the one kind is not read as the other's. */
export function keepsPanes({ window, aggregates }: Pick<WindowOperatorSpec, 'window' | 'aggregates'>): boolean {
  return window.kind === 'hopping' && window.advanceMs < window.sizeMs && mergesAll(aggregates);
}

/** `closed` and `closing` have one bucket each: that of no time. */
const MARKS = 0;

/** Where more windows than this hold a moment, it is remembered from one to the next which keys and panes they have. */
const HOPS_FEW = 32;

export class WindowAggregate implements Operator {
  readonly lagMs: number;
  #spec: WindowOperatorSpec;
  #context: OperatorContext;
  #fold: Fold;
  #windows: Windows;
  /** Null: slices are windows. */
  #panes: Panes | null;
  /** What is remembered of panes; null: windows have few. */
  #open: OpenPanes | null;
  #rows: ValueTable<Row>;
  #watermarkMs = NO_WATERMARK;
  /** With panes: how far a closing has come that takes several batches, of all keys and of some. */
  #closed: ValueTable<number> | null;
  #closing: ValueTable<number> | null;
  #further: Further[] = [];
  /** Windows up to this one have closed, or are closing. */
  #closedTo = Number.NEGATIVE_INFINITY;
  /** With panes: windows up to this one have gone out whole. */
  #sentTo = Number.NEGATIVE_INFINITY;
  #underWay: UnderWay | null = null;
  /** For 'updates': keys by slice that the batch has changed. */
  #changed = new Map<number, Set<string>>();
  #touched: Row[] = [];

  constructor(spec: WindowOperatorSpec, window: FixedSpec, context: OperatorContext) {
    this.#spec = spec;
    this.#context = context;
    this.#fold = new Fold(spec.aggregates, context.worked);
    this.#windows = {
      sizeMs: window.sizeMs,
      advanceMs: window.kind === 'tumbling' ? window.sizeMs : window.advanceMs,
      offsetMs: window.offsetMs,
    };
    this.#panes = keepsPanes(spec) ? new Panes(this.#windows) : null;
    this.#rows = context.tables.values<Row>(this.#panes === null ? 'windows' : 'panes');
    this.#open = this.#panes === null || hopsOf(this.#windows) <= HOPS_FEW ? null : new OpenPanes(this.#rows);
    this.#closed = this.#panes === null ? null : context.tables.numbers('closed');
    this.#closing = this.#panes === null ? null : context.tables.numbers('closing');
    this.lagMs = spec.graceMs;
  }

  receive(_port: number, key: string | null, value: unknown, timeMs: number): void {
    const context = this.#context;
    if (value === null || value === undefined) {
      context.drop('null-value');
      return;
    }
    const first = firstWindowAt(this.#windows, timeMs);
    const last = lastWindowAt(this.#windows, timeMs);
    if (first > last) {
      // Windows that do not touch leave gaps: nothing asks for what falls there.
      context.drop('filtered');
      return;
    }
    if (last <= this.#closedTo) {
      const lateByMs = this.#watermarkMs - this.#spec.graceMs - endOf(this.#windows, last) + 1;
      context.late({ key, value, timeMs, watermarkMs: this.#watermarkMs, lateByMs });
      return;
    }
    try {
      if (key === null) throw keyless('cannot be put in a window', this.#spec.keyField);
      this.#fold.extract(value);
      if (this.#panes !== null) this.#addToSlice(this.#panes.at(timeMs), key, timeMs);
      else if (first === last) this.#addToSlice(last, key, timeMs);
      else this.#addToWindows(Math.max(first, this.#closedTo + 1), last, key, timeMs);
    } catch (cause) {
      context.poison(cause, { key, value, timeMs });
    }
  }

  #addToSlice(slice: number, key: string, timeMs: number): void {
    const row = this.#rows.get(slice, key) ?? this.#fold.start();
    this.#fold.add(row, timeMs);
    this.#keep(slice, key, row);
    if (this.#open !== null) this.#open.changed(slice, key);
  }

  #addToWindows(first: number, last: number, key: string, timeMs: number): void {
    const rows = this.#touched;
    rows.length = 0;
    for (let window = first; window <= last; window++) rows.push(this.#rows.get(window, key) ?? this.#fold.start());
    this.#fold.addAll(rows, timeMs);
    for (let window = first; window <= last; window++) this.#keep(window, key, rows[window - first]!);
  }

  #keep(slice: number, key: string, row: Row): void {
    this.#rows.set(slice, key, row);
    if (this.#spec.emit === 'final') return;
    const keys = this.#changed.get(slice);
    if (keys?.has(key)) return;
    if (keys === undefined) this.#changed.set(slice, new Set([key]));
    else keys.add(key);
    this.#context.owe(this.#panes === null ? 1 : hopsOf(this.#windows));
  }

  advance(watermarkMs: number): boolean {
    this.#setWatermark(watermarkMs);
    const done = this.#panes === null ? this.#closeWindows() : this.#closePanes(this.#panes);
    // In the batch that changed them, whether all is closed or not: no later one would know of them after a restart.
    if (this.#changed.size > 0) this.#sendUpdates();
    return done;
  }

  #closeWindows(): boolean {
    for (const window of this.#rows.bucketsBelow(this.#closedTo + 1)) {
      let sent = 0;
      for (const [key, row] of this.#rows.entries(window)) {
        if (this.#context.full()) {
          this.#deleteFirst(window, sent);
          return false;
        }
        this.#send(window, key, row, true);
        sent++;
      }
      this.#rows.drop(window);
    }
    return true;
  }

  #deleteFirst(window: number, count: number): void {
    let left = count;
    for (const [key] of this.#rows.entries(window)) {
      if (left-- === 0) return;
      this.#rows.delete(window, key);
    }
  }

  #closePanes(panes: Panes): boolean {
    const windows = this.#windows;
    const closedTo = this.#closedTo;
    if (closedTo <= this.#sentTo) {
      this.#clearMarks();
      return true;
    }
    for (let next = this.#sentTo + 1; ; next++) {
      // Only windows that some pane is part of: the watermark may have leapt over years.
      const pane = this.#rows.firstBucket(panes.firstOf(next));
      next = pane === undefined ? closedTo + 1 : Math.max(next, firstWindowAt(windows, panes.startOf(pane)));
      this.#dropBelow(panes.firstOf(Math.min(next, closedTo + 1)));
      if (next > closedTo) break;
      if (!this.#closeFromPanes(panes, next)) return false;
      this.#sentTo = next;
    }
    this.#clearMarks();
    this.#sentTo = closedTo;
    return true;
  }

  /** Panes that no window needs any more. */
  #dropBelow(limit: number): void {
    for (let pane = this.#rows.firstBucket(); pane !== undefined && pane < limit; pane = this.#rows.firstBucket()) {
      this.#open?.leave(pane);
      this.#rows.drop(pane);
    }
  }

  #clearMarks(): void {
    this.#closed!.drop(MARKS);
    this.#closing!.drop(MARKS);
    if (this.#further.length > 0) this.#further = [];
  }

  hold(): void {
    if (this.#sentTo !== Number.NEGATIVE_INFINITY) this.#closed?.set(MARKS, ALL_KEYS, this.#sentTo);
  }

  /** Whether the window of the key has gone out in an earlier batch of this closing. */
  #isOut(window: number, key: string): boolean {
    const sentTo = this.#closing!.get(MARKS, key);
    if (sentTo !== undefined && window <= sentTo) return true;
    if (this.#further.length === 0) return false;
    const group = keyGroupOf(key);
    return this.#further.some(({ from, to, sentTo }) => group >= from && group < to && window <= sentTo);
  }

  /** False: the batch is full, and `closing` has how far it came. */
  #closeFromPanes(panes: Panes, window: number): boolean {
    const isUnderWay = this.#underWay?.window === window;
    const underWay = isUnderWay ? this.#underWay! : this.#begin(panes, window);
    const { keys, rowsOf } = underWay;
    const first = underWay.next;
    for (; underWay.next < keys.length; underWay.next++) {
      const key = keys[underWay.next]!;
      if (this.#isOut(window, key)) continue;
      if (this.#context.full()) {
        for (const sent of keys.slice(first, underWay.next)) {
          if (!this.#isOut(window, sent)) this.#closing!.set(MARKS, sent, window);
        }
        this.#underWay = underWay;
        return false;
      }
      this.#sendMerged(window, key, rowsOf, true);
    }
    this.#underWay = null;
    return true;
  }

  #begin(panes: Panes, window: number): UnderWay {
    const from = panes.firstOf(window);
    const to = panes.endOf(window);
    const open = this.#open;
    if (open === null) {
      const rows = new Map<string, Row[]>();
      for (let pane = from; pane < to; pane++) {
        for (const [key, row] of this.#rows.entries(pane)) {
          const known = rows.get(key);
          if (known === undefined) rows.set(key, [row]);
          else known.push(row);
        }
      }
      return { window, next: 0, keys: [...rows.keys()], rowsOf: key => rows.get(key)! };
    }
    open.moveTo(from, to);
    const rowsOf = (key: string) => open.keys.get(key)!.rowsOf(from, to, this.#paneRows(key));
    return { window, next: 0, keys: [...open.keys.keys()], rowsOf };
  }

  #paneRows(key: string): PaneRows {
    return {
      rowOf: pane => this.#rows.get(pane, key)!,
      merge: rows => this.#merged(rows),
    };
  }

  #merged(rows: readonly Row[]): Row {
    const merged = this.#fold.start();
    this.#fold.mergeInto(merged, rows);
    return merged;
  }

  #sendUpdates(): void {
    if (this.#panes !== null) this.#sendFromPanes(this.#panes);
    else {
      for (const window of [...this.#changed.keys()].sort(ascending)) {
        if (window <= this.#closedTo) continue;
        for (const key of this.#changed.get(window)!) this.#send(window, key, this.#rows.get(window, key)!, false);
      }
    }
    this.#changed = new Map();
  }

  #sendFromPanes(panes: Panes): void {
    const about = { windows: this.#windows, panes, closedTo: this.#closedTo };
    const { keysOf, panesOf } = windowsOfChanged(this.#changed, this.#rows, about);
    for (const window of [...keysOf.keys()].sort(ascending)) {
      const from = panes.firstOf(window);
      const to = panes.endOf(window);
      const rowsOf = (key: string) => panesOf.get(key)!.rowsOf(from, to, this.#paneRows(key));
      for (const key of keysOf.get(window)!) this.#sendMerged(window, key, rowsOf, false);
    }
  }

  #sendMerged(window: number, key: string, rowsOf: (key: string) => Row[], final: boolean): void {
    let row: Row;
    try {
      const rows = rowsOf(key);
      row = rows.length === 1 ? rows[0]! : this.#merged(rows);
    } catch (cause) {
      this.#refuse(cause, window, key);
      return;
    }
    this.#send(window, key, row, final);
  }

  #send(window: number, key: string, row: Row, final: boolean): void {
    const startMs = startOf(this.#windows, window);
    const endMs = endOf(this.#windows, window);
    let shaped: unknown;
    try {
      shaped = this.#spec.shape({ key, startMs, endMs, results: this.#fold.results(row), final });
      refusePromise(shaped, 'the function that shapes a window');
    } catch (cause) {
      this.#refuse(cause, window, key);
      return;
    }
    this.#context.emit(key, shaped, endMs - 1, INSERT);
  }

  /** No record is at fault: the letter tells which window has no result. */
  #refuse(cause: unknown, window: number, key: string): void {
    const startMs = startOf(this.#windows, window);
    const endMs = endOf(this.#windows, window);
    this.#context.poison(cause, { key, value: { startMs, endMs }, timeMs: endMs - 1 });
  }

  resume(watermarkMs: number): void {
    this.#setWatermark(watermarkMs);
    this.#sentTo = this.#closedTo;
    this.#further = [];
    if (this.#closed === null) return;
    for (const [key, sentTo] of this.#closed.entries(MARKS)) {
      const groups = groupsOfTaskEntry(key);
      if (groups === null) this.#sentTo = Math.max(this.#sentTo, sentTo);
      else this.#further.push({ ...groups, sentTo });
    }
  }

  #setWatermark(watermarkMs: number): void {
    this.#watermarkMs = watermarkMs;
    this.#closedTo = lastEndedBy(this.#windows, watermarkMs - this.#spec.graceMs);
  }

  look(): OperatorLook {
    const { size: held, first } = this.#rows;
    const unit = this.#panes === null ? 'windows' : 'panes';
    if (first === null) return { unit, held, nextMs: null };
    const begun = this.#panes === null ? first : firstWindowAt(this.#windows, this.#panes.startOf(first));
    return { unit, held, nextMs: endOf(this.#windows, Math.max(begun, this.#closedTo + 1)) + this.#spec.graceMs };
  }

  want(wants: Wants, _port: number, key: string | null, value: unknown, timeMs: number): void {
    if (key === null || value === null || value === undefined) return;
    const first = Math.max(firstWindowAt(this.#windows, timeMs), this.#closedTo + 1);
    const last = lastWindowAt(this.#windows, timeMs);
    if (first > last) return;
    if (this.#panes === null) {
      for (let window = first; window <= last; window++) wants.key(this.#rows, window, key);
    } else if (this.#spec.emit === 'final') {
      wants.key(this.#rows, this.#panes.at(timeMs), key);
    } else {
      // Its windows are put together again at the end of the batch.
      const end = this.#panes.endOf(last);
      for (let pane = this.#panes.firstOf(first); pane < end; pane++) wants.key(this.#rows, pane, key);
    }
  }

  wantAdvance(wants: Wants, watermarkMs: number): void {
    const closedTo = lastEndedBy(this.#windows, watermarkMs - this.#spec.graceMs);
    const panes = this.#panes;
    if (closedTo <= (panes === null ? Number.NEGATIVE_INFINITY : this.#sentTo)) return;
    const end = panes === null ? closedTo + 1 : panes.endOf(closedTo);
    for (const slice of this.#rows.bucketsBelow(end)) wants.bucket(this.#rows, slice);
  }
}
