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
import { MillraceError } from '../base/errors.ts';
import { keyGroupOf } from '../base/hash.ts';
import { INSERT } from '../change/change.ts';
import { ALL_KEYS, type GroupRange, groupsOfTaskEntry } from '../state/entry-key.ts';
import type { ValueTable, Wants } from '../state/tables.ts';
import { NO_WATERMARK } from '../window/watermark.ts';
import { endOf, firstWindowAt, lastEndedBy, lastWindowAt, panesOf, startOf, type Windows } from '../window/windows.ts';
import { Fold, mergesAll, type Row } from './fold.ts';
import type { Operator, OperatorContext, OperatorLook } from './operator.ts';
import type { StatefulSpec, WindowSpec } from './spec.ts';
import { refusePromise } from './user-code.ts';

export type WindowOperatorSpec = Extract<StatefulSpec, { kind: 'window' }>;
type FixedSpec = Exclude<WindowSpec, { kind: 'session' }>;

/** Whether slices are panes: state of the one kind is not read as the other's. */
export function keepsPanes({ window, aggregates }: Pick<WindowOperatorSpec, 'window' | 'aggregates'>): boolean {
  return window.kind === 'hopping' && window.advanceMs < window.sizeMs && mergesAll(aggregates);
}

/** `closed` and `closing` have one bucket each: that of no time. */
const MARKS = 0;

/** Keys whose windows have gone out further than the task's others: all of these key groups. */
interface Further extends GroupRange {
  readonly sentTo: number;
}

export class WindowAggregate implements Operator {
  readonly lagMs: number;
  #spec: WindowOperatorSpec;
  #context: OperatorContext;
  #fold: Fold;
  #windows: Windows;
  /** Null: slices are windows. */
  #panes: Windows | null;
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
  /** For 'updates': keys by slice that the batch has changed. */
  #changed = new Map<number, Set<string>>();
  #touched: Row[] = [];

  constructor(spec: WindowOperatorSpec, window: FixedSpec, context: OperatorContext) {
    this.#spec = spec;
    this.#context = context;
    this.#fold = new Fold(spec.aggregates);
    this.#windows = {
      sizeMs: window.sizeMs,
      advanceMs: window.kind === 'tumbling' ? window.sizeMs : window.advanceMs,
      offsetMs: window.offsetMs,
    };
    this.#panes = keepsPanes(spec) ? panesOf(this.#windows) : null;
    this.#rows = context.tables.values<Row>(this.#panes === null ? 'windows' : 'panes');
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
      if (key === null) throw new MillraceError('RECORD_KEY', 'a record without a key cannot be put in a window');
      this.#fold.extract(value);
      if (this.#panes !== null) this.#addToSlice(lastWindowAt(this.#panes, timeMs), key, timeMs);
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
    this.#context.owe(this.#panes === null ? 1 : Math.ceil(this.#windows.sizeMs / this.#windows.advanceMs));
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

  #closePanes(panes: Windows): boolean {
    const windows = this.#windows;
    const closedTo = this.#closedTo;
    if (closedTo <= this.#sentTo) {
      this.#clearMarks();
      return true;
    }
    // Only windows that some pane is part of: the watermark may have leapt over years.
    let next = this.#sentTo + 1;
    for (const pane of this.#rows.bucketsBelow(lastWindowAt(panes, endOf(windows, closedTo)))) {
      const paneMs = startOf(panes, pane);
      const last = Math.min(closedTo, lastWindowAt(windows, paneMs));
      next = Math.max(next, firstWindowAt(windows, paneMs));
      for (; next <= last; next++) {
        if (!this.#closeFromPanes(panes, next)) return false;
        this.#sentTo = next;
      }
    }
    for (const pane of this.#rows.bucketsBelow(lastWindowAt(panes, startOf(windows, closedTo + 1)))) {
      this.#rows.drop(pane);
    }
    this.#clearMarks();
    this.#sentTo = closedTo;
    return true;
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
  #closeFromPanes(panes: Windows, window: number): boolean {
    const closing = this.#closing!;
    const keys = new Map<string, Row[]>();
    const end = lastWindowAt(panes, endOf(this.#windows, window));
    for (let pane = lastWindowAt(panes, startOf(this.#windows, window)); pane < end; pane++) {
      for (const [key, row] of this.#rows.entries(pane)) {
        const rows = keys.get(key);
        if (rows === undefined) keys.set(key, [row]);
        else rows.push(row);
      }
    }
    let gone = 0;
    for (const [key, rows] of keys) {
      if (!this.#isOut(window, key)) {
        if (this.#context.full()) {
          for (const sent of keys.keys()) {
            if (gone-- === 0) break;
            if (!this.#isOut(window, sent)) closing.set(MARKS, sent, window);
          }
          return false;
        }
        this.#sendMerged(window, key, rows, true);
      }
      gone++;
    }
    return true;
  }

  #sendUpdates(): void {
    const windows = new Map<number, Set<string>>();
    for (const [slice, keys] of this.#changed) {
      const sliceMs = startOf(this.#panes ?? this.#windows, slice);
      const last = this.#panes === null ? slice : lastWindowAt(this.#windows, sliceMs);
      const first = this.#panes === null ? slice : firstWindowAt(this.#windows, sliceMs);
      for (let window = Math.max(first, this.#closedTo + 1); window <= last; window++) {
        const known = windows.get(window);
        if (known === undefined) windows.set(window, this.#panes === null ? keys : new Set(keys));
        else for (const key of keys) known.add(key);
      }
    }
    this.#changed = new Map();
    for (const window of [...windows.keys()].sort((a, b) => a - b)) {
      for (const key of windows.get(window)!) {
        if (this.#panes === null) this.#send(window, key, this.#rows.get(window, key)!, false);
        else this.#sendMerged(window, key, this.#rowsOf(this.#panes, window, key), false);
      }
    }
  }

  #rowsOf(panes: Windows, window: number, key: string): Row[] {
    const rows: Row[] = [];
    const end = lastWindowAt(panes, endOf(this.#windows, window));
    for (let pane = lastWindowAt(panes, startOf(this.#windows, window)); pane < end; pane++) {
      const row = this.#rows.get(pane, key);
      if (row !== undefined) rows.push(row);
    }
    return rows;
  }

  #sendMerged(window: number, key: string, rows: readonly Row[], final: boolean): void {
    if (rows.length === 1) {
      this.#send(window, key, rows[0]!, final);
      return;
    }
    let merged: Row;
    try {
      merged = this.#fold.start();
      this.#fold.mergeInto(merged, rows);
    } catch (cause) {
      this.#refuse(cause, window, key);
      return;
    }
    this.#send(window, key, merged, final);
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
    const begun = this.#panes === null ? first : firstWindowAt(this.#windows, startOf(this.#panes, first));
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
      wants.key(this.#rows, lastWindowAt(this.#panes, timeMs), key);
    } else {
      // Its windows are put together again at the end of the batch.
      const end = lastWindowAt(this.#panes, endOf(this.#windows, last));
      for (let pane = lastWindowAt(this.#panes, startOf(this.#windows, first)); pane < end; pane++) {
        wants.key(this.#rows, pane, key);
      }
    }
  }

  wantAdvance(wants: Wants, watermarkMs: number): void {
    const closedTo = lastEndedBy(this.#windows, watermarkMs - this.#spec.graceMs);
    const panes = this.#panes;
    if (closedTo <= (panes === null ? Number.NEGATIVE_INFINITY : this.#sentTo)) return;
    const end = panes === null ? closedTo + 1 : lastWindowAt(panes, endOf(this.#windows, closedTo));
    for (const slice of this.#rows.bucketsBelow(end)) wants.bucket(this.#rows, slice);
  }
}
