/**
 * The state of a pipeline of which parts run in different places, read as one: asks whoever has some of it, and puts together
 * what comes back. A partition is in one place at a time, and pages go partition after partition.
 */
import type { Key } from '../record/key.ts';
import { PAGE_MAX, readToken, writeToken } from './scan-place.ts';
import type { EntryView, Page, ScanOptions, StateReader, TableView } from './views.ts';

export class MergedState implements StateReader {
  readonly #readers: () => readonly StateReader[];

  /** @param readers who has some of it at the moment */
  constructor(readers: () => readonly StateReader[]) {
    this.#readers = readers;
  }

  async tables(): Promise<readonly TableView[]> {
    const sums = new Map<string, TableView>();
    for (const view of (await Promise.all(this.#readers().map(reader => reader.tables()))).flat()) {
      const key = `${view.operator}.${view.table}`;
      const sum = sums.get(key);
      const more = { entries: (sum?.entries ?? 0) + view.entries, bytes: (sum?.bytes ?? 0) + view.bytes };
      sums.set(key, { ...view, ...more });
    }
    return [...sums.keys()].sort().map(key => sums.get(key)!);
  }

  async get(options: { operator: string; key: Key }): Promise<readonly EntryView[]> {
    const entries = (await Promise.all(this.#readers().map(reader => reader.get(options)))).flat();
    return entries.sort((a, b) => a.partition - b.partition);
  }

  async scan(options: ScanOptions): Promise<Page<EntryView>> {
    const pages = await Promise.all(this.#readers().map(reader => reader.scan(options)));
    return mergedPage(pages, options);
  }
}

/**
 * One page out of those that several readers gave for the same question. Each has read its own partitions up to somewhere:
 * the page ends where the first of them stopped, or before the partition that would make it longer than it may be.
 */
export function mergedPage(
  pages: readonly Page<EntryView>[],
  { operator, pageSize }: Pick<ScanOptions, 'operator' | 'pageSize'>,
): Page<EntryView> {
  let stop: { readonly partition: number; readonly token: string } | null = null;
  for (const { nextPageToken: token } of pages) {
    if (token === null) continue;
    const { partition } = readToken(token, operator);
    if (stop === null || partition < stop.partition) stop = { partition, token };
  }
  const last = stop?.partition ?? Number.POSITIVE_INFINITY;
  const found = pages.flatMap(({ items }) => items).filter(({ partition }) => partition <= last);
  found.sort((a, b) => a.partition - b.partition);
  const beyond = found[Math.min(PAGE_MAX, Math.max(1, pageSize))];
  // Whoever has a partition gave no more of it than a page, so the first is in as a whole.
  if (beyond !== undefined) {
    const items = found.filter(({ partition }) => partition < beyond.partition);
    return { items, nextPageToken: writeToken({ partition: beyond.partition, at: null }) };
  }
  return { items: found, nextPageToken: stop?.token ?? null };
}
