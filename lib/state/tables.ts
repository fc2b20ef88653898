/**
 * What operators see of state: tables of entries addressed by (bucket, key).
 *
 * A *bucket* is an integer, by convention event time divided by the operator's bucket width (or 0 where time plays no
 * part). It exists so that expiry is `drop(bucket)`: one step, no scan, and most entries never touch the disk. Keys
 * are encoded keys (`record/key.ts`) or any string. Values are whatever msgpack carries.
 *
 * Everything here is synchronous: what a batch needs was brought into memory before it runs (`Wants`). An access to
 * an entry that is on disk only and was not wanted is a broken invariant and throws.
 */
import type { EntryKeyForm } from './entry-key.ts';

/** How much is in a table, in memory and on disk: to be shown, at no cost. */
interface Extent {
  readonly size: number;
  /** The lowest bucket that has entries; null: none has. */
  readonly first: number | null;
  /** Whether some entries of the bucket are on disk alone, so that it cannot be gone through unwanted. */
  isPartial(bucket: number): boolean;
}

export interface ValueTable<V> extends Extent {
  get(bucket: number, key: string): V | undefined;
  /** Also after changing a value in place: marks the entry as changed. */
  set(bucket: number, key: string, value: V): void;
  delete(bucket: number, key: string): void;
  /** Deletes every entry of the bucket. */
  drop(bucket: number): void;
  /** Buckets < `limit` that have entries, ascending. Cheap when there are none. */
  bucketsBelow(limit: number): readonly number[];
  /** The first bucket that has entries, or the first from `from` on; undefined: there is none. */
  firstBucket(from?: number): number | undefined;
  /** Entries of a bucket; the table may be changed while iterating only by deleting the entry in hand. */
  entries(bucket: number): IterableIterator<[string, V]>;
}

/** Like a value table, but an entry is a list that mostly grows: only what was appended is journaled. */
export interface ListTable<T> extends Extent {
  get(bucket: number, key: string): readonly T[] | undefined;
  append(bucket: number, key: string, item: T): void;
  /** Replaces one item (say, to flag it). */
  replace(bucket: number, key: string, index: number, item: T): void;
  delete(bucket: number, key: string): void;
  drop(bucket: number): void;
  bucketsBelow(limit: number): readonly number[];
  entries(bucket: number): IterableIterator<[string, readonly T[]]>;
}

/**
 * A table, declared: plain data, so that state can be kept where nobody's code is loaded. The name is part of the disk's
 * schema: unique within the operator, and in a whole state `<operator>.<name>`.
 */
export interface TableSpec {
  readonly name: string;
  /** Where the record's key is in an entry's: by it a state is taken apart. */
  readonly key: EntryKeyForm;
  /** `numbers`: values that are numbers alone, packed: for very many entries a third of the memory. */
  readonly kind: 'values' | 'numbers' | 'lists';
  /** Entries are never evicted: for small ones that nobody can name in advance (timers). */
  readonly inMemory?: boolean;
}

/** Opens the tables that one operator has declared, each once. Throws INVARIANT for any other. */
export interface Tables {
  values<V>(name: string): ValueTable<V>;
  numbers(name: string): ValueTable<number>;
  lists<T>(name: string): ListTable<T>;
}

/** Collects what a batch will touch, before it runs; asked for only while some entries are on disk alone. */
export interface Wants {
  key(
    table: ValueTable<never> | ListTable<never> | ValueTable<unknown> | ListTable<unknown>,
    bucket: number,
    key: string,
  ): void;
  bucket(table: ValueTable<never> | ListTable<never> | ValueTable<unknown> | ListTable<unknown>, bucket: number): void;
}
