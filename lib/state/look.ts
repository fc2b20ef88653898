/**
 * A look into the state of a task: which tables there are, what is under a key, and what comes next in the order of
 * table, bucket and key. It reads memory and store, and changes nothing: neither what is in memory nor what is known of
 * it. To be used between two batches, when all changes are taken (`TaskState.takeDelta`).
 *
 * Entries in memory have no order, so a page of a bucket needs its smallest keys, picked in one pass. `pickKeys` does that
 * in slices and may run beside batches: what has been there all the time is found in any case, since what is not in
 * memory any more when the page is read is in the store, and the store is read in order.
 */
import type { Store } from '../port/store.ts';
import { unpack } from '../record/rows.ts';
import type { Bucket } from './bucket.ts';
import type { StateTables } from './delta.ts';
import { asBuffer, bucketPrefix, bucketRange, entryKey, keyBytes, keyOf, prefixLength } from './layout.ts';
import type { StateTable } from './table.ts';

export interface TableSize {
  /** `<operator>.<table>`. */
  readonly name: string;
  readonly entries: number;
  /** About, as if all of it were in memory. */
  readonly bytes: number;
}

export interface SeenEntry {
  readonly table: string;
  readonly bucket: number;
  readonly key: string;
  /** The value, or the items of a list. Not a copy: to be read at once. */
  readonly content: unknown;
}

/** Where to go on: behind `after` in this bucket; null: at its beginning. Whole buckets follow in the order of numbers. */
export interface Place {
  readonly table: string;
  readonly bucket: number;
  readonly after: string | null;
}

/** Keys of one bucket that were in memory, in order; behind the last there may be more, unless `whole`. */
export interface Picked {
  readonly place: Place;
  readonly keys: readonly string[];
  readonly whole: boolean;
}

export interface Page {
  readonly entries: readonly SeenEntry[];
  /** Null: nothing follows. */
  readonly next: Place | null;
  /** The page ends before it is full: the bucket at `next` is large, and its keys must be picked first. */
  readonly mustPick: boolean;
}

/** Up to this many entries of a bucket are looked through within one call. */
export const PICK_AT_ONCE = 10_000;
/** Buckets that one call goes through, most of them empty behind the place. */
const BUCKETS_AT_ONCE = 1_000;

export class StateLook {
  readonly #tables: StateTables;
  readonly #isWriting: () => boolean;

  /** @param isWriting a checkpoint is on its way to the store */
  constructor(tables: StateTables, isWriting: () => boolean) {
    this.#tables = tables;
    this.#isWriting = isWriting;
  }

  sizes(): TableSize[] {
    return [...this.#tables.values()].map(table => {
      const { name, entriesHeld, onDisk, memoryBytes } = table;
      const mean = entriesHeld > 0 ? memoryBytes / entriesHeld : table.entryBytes;
      return { name, entries: entriesHeld + onDisk, bytes: Math.round(memoryBytes + onDisk * mean) };
    });
  }

  /** What is under any of `keys` in the table, buckets in order. Throws STORE_CORRUPT. */
  async find(store: Store, options: { table: string; keys: readonly string[] }): Promise<SeenEntry[]> {
    const table = this.#tables.get(options.table);
    if (table === undefined) return [];
    const found: SeenEntry[] = [];
    const asked: { bucket: number; key: string; stored: Uint8Array }[] = [];
    for (const id of bucketsFrom(table, Number.NEGATIVE_INFINITY)) {
      const bucket = table.buckets.get(id)!;
      for (const key of options.keys) {
        const content = bucket.contentOf(key);
        if (content !== undefined) found.push({ table: table.name, bucket: id, key, content });
        else if (bucket.onDisk > 0 && !bucket.unstored?.has(key)) {
          asked.push({ bucket: id, key, stored: entryKey(bucketPrefix(table.name, id), key) });
        }
      }
    }
    if (asked.length > 0) {
      const values = await store.getMany(asked.map(({ stored }) => stored));
      asked.forEach(({ bucket, key }, i) => {
        const packed = values[i];
        if (packed !== undefined) found.push({ table: table.name, bucket, key, content: unpack(packed) });
      });
    }
    return found.sort((a, b) => a.bucket - b.bucket);
  }

  /**
   * Up to `limit` entries from `from` on, through the `tables` in the order given. Where `mustPick` comes back, it is to
   * be called again with what `pickKeys` gave for `next`. Throws STORE_CORRUPT.
   */
  async page(
    store: Store,
    options: { tables: readonly string[]; from: Place; limit: number; picked: Picked | null },
  ): Promise<Page> {
    const { tables, limit } = options;
    const entries: SeenEntry[] = [];
    let { picked } = options;
    let { from } = options;
    let left = PICK_AT_ONCE;
    let visited = 0;
    for (;;) {
      const table = this.#tables.get(from.table);
      const ids = table === undefined ? [] : bucketsFrom(table, from.bucket);
      for (const id of ids) {
        if (id !== from.bucket) from = { table: from.table, bucket: id, after: null };
        const bucket = table!.buckets.get(id);
        if (bucket === undefined) continue;
        for (let ended = false; !ended; ) {
          if (entries.length >= limit || ++visited > BUCKETS_AT_ONCE) return { entries, next: from, mustPick: false };
          let keys = picked !== null && isSame(picked.place, from) ? picked : null;
          picked = null;
          if (keys === null) {
            if (bucket.size > left) {
              const mustPick = bucket.size > PICK_AT_ONCE;
              return { entries, next: from, mustPick };
            }
            left -= bucket.size;
            keys = pickAll(bucket, from, limit - entries.length);
          }
          const slice = await this.#read(store, table!, bucket, keys, limit - entries.length);
          for (const entry of slice.entries) entries.push(entry);
          ended = slice.end === null;
          if (slice.end !== null) from = { table: from.table, bucket: id, after: slice.end };
        }
      }
      const next = tables[tables.indexOf(from.table) + 1];
      if (next === undefined) return { entries, next: null, mustPick: false };
      from = { table: next, bucket: Number.NEGATIVE_INFINITY, after: null };
    }
  }

  /** Picks the smallest keys in memory behind `place`, at most `count`; `pause` is awaited every so many entries. */
  async pickKeys(place: Place, count: number, pause: () => Promise<void>): Promise<Picked> {
    const bucket = this.#tables.get(place.table)?.buckets.get(place.bucket);
    const picker = new Picker(place.after, count);
    let looked = 0;
    for (const key of bucket?.keys() ?? []) {
      picker.show(key);
      if (++looked % PICK_AT_ONCE === 0) await pause();
    }
    return { place, ...picker.take() };
  }

  /** Some entries of one bucket, in order. `end`: up to which key that is all there is; null: to the bucket's end. */
  async #read(
    store: Store,
    table: StateTable,
    bucket: Bucket,
    picked: Picked,
    limit: number,
  ): Promise<{ entries: SeenEntry[]; end: string | null }> {
    const { after } = picked.place;
    const stored = bucket.onDisk > 0 ? await this.#stored(store, table.name, bucket, { after, limit }) : WHOLE;
    const ends = [
      ...(picked.whole ? [] : picked.keys.slice(-1)),
      ...(stored.whole ? [] : stored.rows.slice(-1).map(([key]) => key)),
    ];
    let end = ends.length === 0 ? null : ends.reduce((a, b) => (compareKeys(a, b) <= 0 ? a : b));
    const found = new Map<string, unknown>();
    for (const [key, packed] of stored.rows) {
      const content = bucket.contentOf(key);
      if (content !== undefined) found.set(key, content);
      else if (!bucket.unstored?.has(key)) found.set(key, unpack(packed));
    }
    for (const key of picked.keys) {
      const content = bucket.contentOf(key);
      if (content !== undefined) found.set(key, content);
    }
    let keys = [...found.keys()].sort(compareKeys);
    if (end !== null) keys = keys.filter(key => compareKeys(key, end!) <= 0);
    if (keys.length > limit) {
      keys = keys.slice(0, limit);
      end = keys.at(-1)!;
    }
    const entries = keys.map(key => ({ table: table.name, bucket: bucket.id, key, content: found.get(key) }));
    return { entries, end };
  }

  /** The first rows of the bucket that the store has behind a key. */
  async #stored(
    store: Store,
    table: string,
    bucket: Bucket,
    options: { after: string | null; limit: number },
  ): Promise<Stored> {
    const wasWriting = this.#isWriting();
    const { gte, lt } = bucketRange(table, bucket.id);
    const { after, limit } = options;
    const rows: [string, Uint8Array][] = [];
    let whole = true;
    const start = after === null ? gte : Buffer.concat([gte, keyBytes(after)]);
    for await (const slice of store.range({ gte: start, lt, sliceMax: limit + 1 })) {
      for (const [stored, packed] of slice) {
        const bytes = asBuffer(stored);
        const key = keyOf(bytes.subarray(prefixLength(bytes)));
        if (key === after) continue;
        if (rows.length < limit) rows.push([key, packed]);
        else whole = false;
      }
      if (!whole) break;
    }
    // What was read is older than the checkpoint that has landed meanwhile, and deletions are no longer remembered.
    if (wasWriting && !this.#isWriting()) return this.#stored(store, table, bucket, options);
    return { rows, whole };
  }
}

interface Stored {
  readonly rows: readonly [string, Uint8Array][];
  readonly whole: boolean;
}

const WHOLE: Stored = { rows: [], whole: true };

function isSame(a: Place, b: Place): boolean {
  return a.table === b.table && a.bucket === b.bucket && a.after === b.after;
}

/** Those that have entries, in order; it may change meanwhile. */
function* bucketsFrom(table: StateTable, first: number): Generator<number> {
  for (let id = table.firstBucket(first); id !== undefined; id = table.firstBucket(id + 1)) yield id;
}

function pickAll(bucket: Bucket, place: Place, count: number): Picked {
  const picker = new Picker(place.after, count);
  for (const key of bucket.keys()) picker.show(key);
  return { place, ...picker.take() };
}

/** The smallest of many keys: keeps up to twice as many as asked for, and throws half away when it is full. */
class Picker {
  readonly #after: string | null;
  readonly #count: number;
  #keys: string[] = [];
  #most: string | null = null;

  constructor(after: string | null, count: number) {
    this.#after = after;
    this.#count = count;
  }

  show(key: string): void {
    if (this.#after !== null && compareKeys(key, this.#after) <= 0) return;
    if (this.#most !== null && compareKeys(key, this.#most) >= 0) return;
    this.#keys.push(key);
    if (this.#keys.length >= 2 * this.#count + 64) this.#halve();
  }

  #halve(): void {
    // A key that left memory and came back may have been shown twice.
    this.#keys = [...new Set(this.#keys)].sort(compareKeys);
    if (this.#keys.length <= this.#count) return;
    this.#keys.length = this.#count;
    this.#most = this.#keys[this.#count - 1]!;
  }

  take(): { keys: readonly string[]; whole: boolean } {
    this.#halve();
    return { keys: this.#keys, whole: this.#most === null };
  }
}

/** In the order of the disk, which is that of UTF-8 and so of code points; what is not well-formed comes last. */
export function compareKeys(a: string, b: string): number {
  if (a === b) return 0;
  const illA = !isWellFormed(a);
  const illB = !isWellFormed(b);
  if (illA !== illB) return illA ? 1 : -1;
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // A surrogate stands for a code point above all that have one unit.
    if (!illA && isSurrogate(x) !== isSurrogate(y)) return isSurrogate(x) ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff;
}

/** In the engine since V8 11.3 (Node 20), in TypeScript's library only with ES2024. */
function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}
