/**
 * Tables in which nothing may be touched that was not wanted first: what a task's state demands of an operator when all
 * its entries are on disk. Buckets may be listed and dropped at any time, those that the batch itself has begun may be
 * touched, and tables that stay in memory are as they are.
 */
import type { ListTable, Tables, ValueTable, Wants } from '../../../lib/state/tables.ts';

export class WantedTables implements Tables, Wants {
  /** How often a table that may be on disk was asked or told anything. */
  calls = 0;
  #inner: Tables;
  #inMemory: readonly string[];
  #tables: (ValueTable<unknown> | ListTable<unknown>)[] = [];
  #wanted = new Map<unknown, Set<string>>();
  /** Buckets that were there when the batch began, by table; null: everything may be touched. */
  #before: Map<unknown, ReadonlySet<number>> | null = null;

  /** @param options.inMemory tables that stay in memory */
  constructor(inner: Tables, options: { inMemory: readonly string[] }) {
    this.#inner = inner;
    this.#inMemory = options.inMemory;
  }

  key(table: unknown, bucket: number, key: string): void {
    this.#note(table, `${bucket}/${key}`);
  }

  bucket(table: unknown, bucket: number): void {
    this.#note(table, `${bucket}`);
  }

  #note(table: unknown, what: string): void {
    const known = this.#wanted.get(table);
    if (known === undefined) this.#wanted.set(table, new Set([what]));
    else known.add(what);
  }

  /** All is wanted: the batch begins. */
  begin(): void {
    const all = Number.POSITIVE_INFINITY;
    this.#before = new Map(this.#tables.map(table => [table, new Set(table.bucketsBelow(all))]));
  }

  end(): void {
    this.#before = null;
    this.#wanted.clear();
  }

  #check(table: unknown, bucket: number, key: string | null): void {
    if (!this.#before?.get(table)?.has(bucket)) return;
    const wanted = this.#wanted.get(table);
    if (wanted?.has(`${bucket}`) || (key !== null && wanted?.has(`${bucket}/${key}`))) return;
    throw new Error(`${key === null ? 'all' : `'${key}'`} of bucket ${bucket} was touched and not wanted`);
  }

  values<V>(name: string): ValueTable<V> {
    return this.#checked(this.#inner.values<V>(name));
  }

  numbers(name: string): ValueTable<number> {
    const inner = this.#inner.numbers(name);
    return this.#inMemory.includes(name) ? inner : this.#checked(inner);
  }

  lists<T>(name: string): ListTable<T> {
    return this.#checked(this.#inner.lists<T>(name));
  }

  #checked<T extends object>(inner: T): T {
    const table: T = new Proxy(inner, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target);
        if (typeof member !== 'function') return member;
        const method = member as (...given: unknown[]) => unknown;
        const isFree = name === 'drop' || name === 'bucketsBelow' || name === 'firstBucket' || name === 'isPartial';
        return (bucket: number, ...rest: unknown[]) => {
          this.calls++;
          if (!isFree) this.#check(table, bucket, name === 'entries' ? null : (rest[0] as string));
          return method.call(target, bucket, ...rest);
        };
      },
    });
    this.#tables.push(table as T & ValueTable<unknown>);
    return table;
  }
}
