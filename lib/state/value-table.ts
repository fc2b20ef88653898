/**
 * The value table: what `ValueTable` promises operators, and its part of a delta.
 *
 * In a delta: [name, buckets, keys, values]. `buckets` holds four numbers a bucket: its id, 1 if it is dropped first,
 * how many keys are deleted, how many are set. `keys` are those, bucket by bucket; `values` those of the set ones.
 */
import { invariant, MillraceError } from '../base/errors.ts';
import { CHANGED } from './bucket.ts';
import { Entry, EntryTable } from './entry-table.ts';
import type { TableDelta } from './table.ts';
import type { ValueTable } from './tables.ts';

export class ValueStateTable extends EntryTable implements ValueTable<unknown> {
  get(id: number, key: string): unknown {
    const bucket = id === this.lastId ? this.last : this.find(id);
    if (bucket === null) return undefined;
    const entry = bucket.byKey.get(key);
    if (entry !== undefined) return entry.content;
    if (bucket.onDisk > 0) this.checkAbsent(bucket, key);
    return undefined;
  }

  set(id: number, key: string, value: unknown): void {
    invariant(value !== undefined, 'a state value cannot be undefined; delete the entry');
    const bucket = this.open(id);
    const entry = bucket.byKey.get(key);
    if (entry === undefined) {
      this.create(bucket, key, value);
      return;
    }
    entry.content = value;
    if ((entry.flags & CHANGED) === 0) {
      this.change(bucket, key, entry);
      this.changedUnits++;
    }
  }

  entries(id: number): IterableIterator<[string, unknown]> {
    return contentsOf(this.whole(id)?.byKey ?? null);
  }

  protected unitsOf(): number {
    return 1;
  }

  protected make(content: unknown): Entry {
    return new Entry(content);
  }

  protected settle(): void {}

  collect(parts: TableDelta[]): void {
    const buckets: number[] = [];
    const keys: string[] = [];
    const values: unknown[] = [];
    for (const bucket of this.changedBuckets) {
      const { changed, changedKeys, removed } = bucket;
      if (removed !== null) for (const key of removed) keys.push(key);
      const before = values.length;
      for (let i = 0; i < changed.length; i++) {
        const entry = changed[i]!;
        if ((entry.flags & CHANGED) === 0) continue;
        keys.push(changedKeys[i]!);
        values.push(entry.content);
      }
      const sets = values.length - before;
      const deletes = removed === null ? 0 : removed.size;
      if (bucket.isDropped || deletes > 0 || sets > 0) buckets.push(bucket.id, bucket.isDropped ? 1 : 0, deletes, sets);
    }
    if (buckets.length > 0) parts.push([this.name, buckets, keys, values]);
  }

  apply(delta: TableDelta): void {
    applyValues(this, delta);
  }
}

/** Does a delta of values to the table. Throws JOURNAL_CORRUPT. */
export function applyValues<V>(table: ValueTable<V> & { readonly name: string }, delta: TableDelta): void {
  const [, buckets, keys, values] = delta as [string, number[], string[], V[]];
  if (delta.length !== 4 || values.length > keys.length) throw misfit(table.name);
  let keyAt = 0;
  let valueAt = 0;
  for (let at = 0; at < buckets.length; at += 4) {
    const id = buckets[at]!;
    if (buckets[at + 1] === 1) table.drop(id);
    for (let left = buckets[at + 2]!; left > 0; left--) table.delete(id, keys[keyAt++]!);
    for (let left = buckets[at + 3]!; left > 0; left--) table.set(id, keys[keyAt++]!, values[valueAt++]!);
  }
}

/** The entries as operators see them. */
export function* contentsOf<T>(entries: ReadonlyMap<string, Entry> | null): IterableIterator<[string, T]> {
  if (entries === null) return;
  for (const [key, entry] of entries) yield [key, entry.content as T];
}

/** The changes cannot have been made to this state. */
export function misfit(table: string): MillraceError {
  return new MillraceError('JOURNAL_CORRUPT', `a commit's changes do not fit the state of ${table}`);
}
