/**
 * Deltas: what one batch changed in a task's tables, as the journal carries it.
 *
 * One packed list (`record/rows.ts`): the version, then for each table that changed its name and columns, laid out in
 * `value-table.ts` and `list-table.ts`. Whole tables are columns, so that thousands of small objects of one shape cost
 * their field values. Equal histories give equal bytes, whatever was in memory or on disk.
 */
import { MillraceError } from '../base/errors.ts';
import { pack, unpack } from '../record/rows.ts';
import type { StateTable, TableDelta } from './table.ts';

const VERSION = 1;

export type StateTables = ReadonlyMap<string, StateTable>;

/** What changed since the last delta; null: nothing. Throws RECORD_UNWRITABLE for values that cannot be packed. */
export function encodeDelta(tables: StateTables): Uint8Array | null {
  const parts: TableDelta[] = [];
  for (const table of tables.values()) if (table.changedBuckets.length > 0) table.collect(parts);
  return parts.length === 0 ? null : pack([VERSION, parts]);
}

/** Throws JOURNAL_CORRUPT. */
export function decodeDelta(bytes: Uint8Array): TableDelta[] {
  const delta = unpack(bytes);
  if (!Array.isArray(delta) || delta[0] !== VERSION || !Array.isArray(delta[1])) {
    throw new MillraceError('JOURNAL_CORRUPT', 'the changes in a commit are of no form that this version reads');
  }
  const parts: unknown[] = delta[1];
  if (parts.every(isTableDelta)) return parts;
  throw new MillraceError('JOURNAL_CORRUPT', 'the changes in a commit are damaged');
}

/** Throws JOURNAL_CORRUPT, or PLAN_INCOMPATIBLE for a table that is not declared. */
export function applyParts(tables: StateTables, parts: readonly TableDelta[]): void {
  for (const part of parts) tableNamed(tables, String(part[0])).apply(part);
}

/** The entries that a delta will touch, in the order in which it does. */
export function* touchedBy(part: TableDelta): Generator<{ bucket: number; key: string }> {
  const [, buckets, keys] = part as [string, number[], string[]];
  let keyAt = 0;
  for (let at = 0; at < buckets.length; at += 4) {
    const bucket = buckets[at]!;
    for (let left = buckets[at + 2]! + buckets[at + 3]!; left > 0; left--) yield { bucket, key: keys[keyAt++]! };
  }
}

/** Throws PLAN_INCOMPATIBLE: state of a table that no operator declares would be lost by going on. */
export function tableNamed(tables: StateTables, name: string): StateTable {
  const table = tables.get(name);
  if (table !== undefined) return table;
  throw new MillraceError(
    'PLAN_INCOMPATIBLE',
    `the state to restore has a table '${name}' that no operator of this pipeline has`,
  );
}

function isTableDelta(part: unknown): part is TableDelta {
  if (!Array.isArray(part) || typeof part[0] !== 'string') return false;
  const [, buckets, keys, contents, spans] = part as unknown[];
  if (!isNumbers(buckets) || !Array.isArray(keys) || !Array.isArray(contents)) return false;
  let touched = 0;
  for (let at = 0; at < buckets.length; at += 4) touched += (buckets[at + 2] ?? 0) + (buckets[at + 3] ?? 0);
  if (buckets.length % 4 !== 0 || touched !== keys.length) return false;
  return keys.every(key => typeof key === 'string') && (part.length === 4 || (part.length === 5 && isNumbers(spans)));
}

function isNumbers(values: unknown): values is number[] {
  return Array.isArray(values) && values.every(value => typeof value === 'number');
}
