/** Many records side by side, a column for each of their parts: how they wait, and how a frame carries them. */

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
}

export function emptyColumns(): Columns {
  return { keys: [], timesMs: [], origins: [], ids: [], values: [] };
}

/** What of a record is neither key nor value nor time: the cursor has it (`operator/cursor.ts`). */
export function addRecord(
  columns: Columns,
  key: string | null,
  value: unknown,
  timeMs: number,
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
}

/** Adds record `i` of others. */
export function copyRecord(columns: Columns, from: Columns, i: number): void {
  const { keys, values, timesMs, origins, ids, traces } = from;
  addRecord(columns, keys[i]!, values[i], timesMs[i]!, origins[i]!, ids?.[i] ?? null, traces?.[i] ?? null);
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
  };
}
