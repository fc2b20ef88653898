/**
 * The list table: what `ListTable` promises operators, and its part of a delta.
 *
 * In a delta: [name, buckets, keys, items, spans]. `buckets` and `keys` are as in a value table. `spans` holds for each
 * set key: how many items it had before (0: the list starts anew), how many were appended, how many were replaced, and
 * the indexes of these. `items` are the appended ones, then the replaced ones, key by key.
 */
import { invariant } from '../base/errors.ts';
import { CHANGED } from './bucket.ts';
import { Entry, EntryTable } from './entry-table.ts';
import type { TableDelta } from './table.ts';
import type { ListTable } from './tables.ts';
import { contentsOf, misfit } from './value-table.ts';

class ListEntry extends Entry {
  declare content: unknown[];
  /** How many items the journal has. */
  told = 0;
  /** Indexes below `told` of items replaced since; may hold one twice. */
  replaced: number[] | null = null;
}

export class ListStateTable extends EntryTable<ListEntry> implements ListTable<unknown> {
  get(id: number, key: string): readonly unknown[] | undefined {
    return this.#at(id, key)?.content;
  }

  append(id: number, key: string, item: unknown): void {
    const bucket = this.open(id);
    const entry = bucket.byKey.get(key);
    if (entry === undefined) {
      this.create(bucket, key, [item]);
      return;
    }
    entry.content.push(item);
    this.grow(bucket, 1);
    if ((entry.flags & CHANGED) === 0) this.change(bucket, key, entry);
  }

  replace(id: number, key: string, index: number, item: unknown): void {
    const entry = this.#at(id, key);
    const isThere = entry !== undefined && Number.isInteger(index) && index >= 0 && index < entry.content.length;
    invariant(isThere, `${this.name}: there is no item ${index} of '${key}' to replace`);
    entry.content[index] = item;
    // Mostly it is the one that was replaced last.
    if (index >= entry.told || entry.replaced?.at(-1) === index) return;
    (entry.replaced ??= []).push(index);
    this.changedUnits++;
    if ((entry.flags & CHANGED) === 0) this.change(this.open(id), key, entry);
  }

  entries(id: number): IterableIterator<[string, readonly unknown[]]> {
    return contentsOf(this.whole(id)?.byKey ?? null);
  }

  #at(id: number, key: string): ListEntry | undefined {
    const bucket = id === this.lastId ? this.last : this.find(id);
    if (bucket === null) return undefined;
    const entry = bucket.byKey.get(key);
    if (entry === undefined && bucket.onDisk > 0) this.checkAbsent(bucket, key);
    return entry;
  }

  protected unitsOf(content: unknown): number {
    return (content as unknown[]).length;
  }

  protected make(content: unknown): ListEntry {
    return new ListEntry(content);
  }

  protected settle(entry: ListEntry): void {
    entry.told = entry.content.length;
    entry.replaced = null;
  }

  collect(parts: TableDelta[]): void {
    const buckets: number[] = [];
    const keys: string[] = [];
    const items: unknown[] = [];
    const spans: number[] = [];
    for (const bucket of this.changedBuckets) {
      const { changed, changedKeys, removed } = bucket;
      if (removed !== null) for (const key of removed) keys.push(key);
      let lists = 0;
      for (let i = 0; i < changed.length; i++) {
        const entry = changed[i]!;
        if ((entry.flags & CHANGED) === 0) continue;
        lists++;
        keys.push(changedKeys[i]!);
        collectList(entry, items, spans);
      }
      const deletes = removed === null ? 0 : removed.size;
      if (bucket.isDropped || deletes > 0 || lists > 0)
        buckets.push(bucket.id, bucket.isDropped ? 1 : 0, deletes, lists);
    }
    if (buckets.length > 0) parts.push([this.name, buckets, keys, items, spans]);
  }

  apply(delta: TableDelta): void {
    const [, buckets, keys, items, spans] = delta as [string, number[], string[], unknown[], number[]];
    if (delta.length !== 5) throw misfit(this.name);
    let keyAt = 0;
    let itemAt = 0;
    let spanAt = 0;
    for (let at = 0; at < buckets.length; at += 4) {
      const id = buckets[at]!;
      if (buckets[at + 1] === 1) this.drop(id);
      for (let left = buckets[at + 2]!; left > 0; left--) this.delete(id, keys[keyAt++]!);
      for (let left = buckets[at + 3]!; left > 0; left--) {
        const key = keys[keyAt++]!;
        const told = spans[spanAt++]!;
        const appended = spans[spanAt++]!;
        const replaced = spans[spanAt++]!;
        if (told === 0) this.delete(id, key);
        if ((this.get(id, key)?.length ?? 0) !== told) throw misfit(this.name);
        for (let i = 0; i < appended; i++) this.append(id, key, items[itemAt++]);
        for (let i = 0; i < replaced; i++) this.replace(id, key, spans[spanAt++]!, items[itemAt++]);
      }
    }
  }
}

function collectList(entry: ListEntry, items: unknown[], spans: number[]): void {
  const { content, told } = entry;
  const replaced = entry.replaced === null ? null : new Set(entry.replaced);
  spans.push(told, content.length - told, replaced === null ? 0 : replaced.size);
  for (let i = told; i < content.length; i++) items.push(content[i]);
  if (replaced === null) return;
  for (const index of replaced) {
    spans.push(index);
    items.push(content[index]);
  }
}
