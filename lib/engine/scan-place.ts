/**
 * Where a scan goes on, and the page token that says so. It is a place in the whole table, partition after partition, so it
 * stays one wherever the partitions run by the time somebody comes back with it.
 */
import { MillraceError } from '../base/errors.ts';
import type { Place } from '../state/look.ts';

/** Entries of a page, at most. */
export const PAGE_MAX = 1_000;

/** `at` null: at the partition's beginning. */
export interface ScanPlace {
  readonly partition: number;
  readonly at: Place | null;
}

export function writeToken({ partition, at }: ScanPlace): string {
  const bucket = at === null || at.bucket === Number.NEGATIVE_INFINITY ? null : at.bucket;
  return Buffer.from(JSON.stringify([partition, at?.table ?? null, bucket, at?.after ?? null])).toString('base64url');
}

/** Throws INVALID_ARGUMENT: it is not from a scan of that operator. */
export function readToken(token: string, operator: string): ScanPlace {
  try {
    const [partition, table, bucket, after] = JSON.parse(Buffer.from(token, 'base64url').toString()) as unknown[];
    const isKey = after === null || typeof after === 'string';
    const isBucket = bucket === null || Number.isSafeInteger(bucket);
    if (typeof partition === 'number' && Number.isSafeInteger(partition)) {
      if (table === null && bucket === null && after === null) return { partition, at: null };
      if (typeof table === 'string' && isBucket && isKey && namesOf(table).operator === operator) {
        return { partition, at: { table, bucket: (bucket as number | null) ?? Number.NEGATIVE_INFINITY, after } };
      }
    }
  } catch {
    // Told below, as all that is not ours.
  }
  throw new MillraceError('INVALID_ARGUMENT', `the page token is not from a scan of ${operator}; begin without one`);
}

/** An operator's name is one token. */
export function namesOf(name: string): { operator: string; table: string } {
  const dot = name.indexOf('.');
  return { operator: name.slice(0, dot), table: name.slice(dot + 1) };
}
