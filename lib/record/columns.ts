/** Many records side by side, a column for each of their parts: how they wait, and how a frame carries them. */
import { type Change, INSERT } from '../change/change.ts';

/**
 * All arrays are of one length. `ids` is null when no record carries a dedupe id: so frames are decoded, and nothing is added
 * to them.
 */
export interface Columns {
  readonly keys: (string | null)[];
  readonly timesMs: number[];
  readonly origins: number[];
  readonly ids: (string | null)[] | null;
  readonly values: unknown[];
  /** W3C trace contexts (`trace.ts`), with holes; absent: no record has one. */
  traces?: (string | null)[];
  /** What each does to its table; shorter than the others: the rest are inserts. Absent: all are. */
  changes?: Change[];
}

export function emptyColumns(): Columns {
  return { keys: [], timesMs: [], origins: [], ids: [], values: [] };
}

/** What of a record is neither key nor value nor time nor change: the cursor has it (`operator/cursor.ts`). */
export function addRecord(
  columns: Columns,
  key: string | null,
  value: unknown,
  timeMs: number,
  change: Change,
  origin: number,
  id: string | null,
  trace: string | null,
): void {
  columns.keys.push(key);
  columns.values.push(value);
  columns.timesMs.push(timeMs);
  columns.origins.push(origin);
  columns.ids!.push(id);
  if (trace !== null) (columns.traces ??= [])[columns.keys.length - 1] = trace;
  if (change !== INSERT) addChange((columns.changes ??= []), columns.keys.length - 1, change);
}

/** Inserts before it are filled in: a list with holes that grows by leaps would become a dictionary. */
export function addChange(changes: Change[], at: number, change: Change): void {
  while (changes.length < at) changes.push(INSERT);
  changes.push(change);
}

/** A byte for each of so many records. */
export function denseChanges(changes: readonly Change[], length: number): Uint8Array {
  const dense = new Uint8Array(length);
  dense.set(changes);
  return dense;
}

export function changeAt(changes: readonly Change[] | undefined, i: number): Change {
  return changes === undefined || i >= changes.length ? INSERT : changes[i]!;
}

/** Adds record `i` of others. */
export function copyRecord(columns: Columns, from: Columns, i: number): void {
  const { keys, values, timesMs, origins, ids, traces, changes } = from;
  const change = changeAt(changes, i);
  addRecord(columns, keys[i]!, values[i], timesMs[i]!, change, origins[i]!, ids?.[i] ?? null, traces?.[i] ?? null);
}

export function sliceColumns(columns: Columns, from: number, to: number): Columns {
  if (from === 0 && to === columns.keys.length) return columns;
  return {
    keys: columns.keys.slice(from, to),
    timesMs: columns.timesMs.slice(from, to),
    origins: columns.origins.slice(from, to),
    ids: columns.ids?.slice(from, to) ?? null,
    values: columns.values.slice(from, to),
    ...(columns.traces === undefined ? {} : { traces: columns.traces.slice(from, to) }),
    ...(columns.changes === undefined ? {} : { changes: columns.changes.slice(from, to) }),
  };
}
