/**
 * The store port in memory: what a machine's disk does, with the disk's accidents on request. Owns the bytes of one
 * disk; a `MemoryStores` that lives on after `crash` or `reboot` is the disk that the next process finds.
 *
 * a. What was written before a crash of the process is still there; a write that nobody saw return may be.
 * b. After a reboot nothing is trusted that was not closed cleanly, as in `level/`.
 * c. All dice come from one `Random`, all waiting from one `Clock`: a seed is a history.
 */
import { type Clock, sleep } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import { Random } from '../base/random.ts';
import { checkLocation, type Store, type Stores, type StoreWrite } from '../port/store.ts';

/** Accidents; may be changed at any time. All off by default. */
export interface StoreFaults {
  /** Chance that an operation takes long, and for how many ms at most. */
  slowChance: number;
  slowMsMax: number;
  /** Chance that an existing store is found unreadable when it is opened. */
  loseChance: number;
}

export interface MemoryStoresOptions {
  readonly clock: Clock;
  readonly random?: Random;
  readonly faults?: Partial<StoreFaults>;
}

/** What one location holds. Keys are latin1 strings, whose order is the order of the bytes. */
interface Content {
  readonly entries: Map<string, Uint8Array>;
  clean: boolean;
}

interface Disk {
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: StoreFaults;
}

export class MemoryStores implements Stores {
  readonly faults: StoreFaults;
  readonly #disk: Disk;
  readonly #contents = new Map<string, Content>();
  readonly #open = new Map<string, MemoryStore>();

  constructor({ clock, random = new Random(1), faults = {} }: MemoryStoresOptions) {
    this.faults = { slowChance: 0, slowMsMax: 0, loseChance: 0, ...faults };
    this.#disk = { clock, random, faults: this.faults };
  }

  async open(location: string, { fresh }: { fresh: boolean }): Promise<Store | null> {
    checkLocation(location);
    await pause(this.#disk);
    if (this.#open.has(location)) {
      throw new MillraceError('STORE_IN_USE', `the store ${location} is open already: close it first`);
    }
    if (fresh || this.#disk.random.chance(this.faults.loseChance)) this.#contents.delete(location);
    const found = this.#contents.get(location);
    if (found === undefined && !fresh) return null;
    const content = found ?? { entries: new Map<string, Uint8Array>(), clean: false };
    content.clean = false;
    this.#contents.set(location, content);
    const store = new MemoryStore(content, this.#disk, () => this.#open.delete(location));
    this.#open.set(location, store);
    return store;
  }

  async discard(location: string): Promise<void> {
    checkLocation(location);
    await pause(this.#disk);
    if (this.#open.has(location)) {
      throw new MillraceError('STORE_IN_USE', `the store ${location} is open: close it before it is discarded`);
    }
    this.#contents.delete(location);
  }

  async list(): Promise<string[]> {
    await pause(this.#disk);
    return [...this.#contents.keys()].sort();
  }

  /** The process ends without closing anything: its stores fail from now on, and another process may open them. */
  crash(): void {
    for (const store of this.#open.values()) store.abandon();
    this.#open.clear();
  }

  /** The machine restarts: a crash, after which what was not closed cleanly is not trusted. */
  reboot(): void {
    this.crash();
    for (const [location, content] of this.#contents) if (!content.clean) this.#contents.delete(location);
  }

  /** The disk is replaced by an empty one. */
  loseEverything(): void {
    this.crash();
    this.#contents.clear();
  }
}

class MemoryStore implements Store {
  readonly #content: Content;
  readonly #disk: Disk;
  readonly #release: () => void;
  #closed = false;
  /** Writes happen one after the other in the order of the calls. */
  #lastWrite: Promise<void> = Promise.resolve();
  /** All keys in order, made when a range is asked for and dropped when the set of keys changes. */
  #sorted: string[] | null = null;

  constructor(content: Content, disk: Disk, release: () => void) {
    this.#content = content;
    this.#disk = disk;
    this.#release = release;
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.#check();
    await pause(this.#disk);
    this.#check();
    return keys.map(key => this.#content.entries.get(textOf(key))?.slice());
  }

  async write(batch: readonly StoreWrite[]): Promise<void> {
    this.#check();
    const copy = batch.map(copyOf);
    const done = this.#lastWrite.then(async () => {
      // A crash meets a write either before or after it reached the disk.
      if (this.#disk.random.chance(0.5)) await pause(this.#disk);
      this.#check();
      for (const one of copy) this.#apply(one);
      await pause(this.#disk);
      this.#check();
    });
    // Whoever called hears of a failure; the queue behind it goes on.
    this.#lastWrite = done.catch(() => undefined);
    return done;
  }

  range({ gte, lt, sliceMax = 1_000 }: { gte: Uint8Array; lt: Uint8Array; sliceMax?: number }) {
    this.#check();
    const entries = this.#keysBetween(gte, lt).map(key => [key, this.#content.entries.get(key)!] as const);
    return this.#slices(entries, sliceMax);
  }

  async clear({ gte, lt }: { gte: Uint8Array; lt: Uint8Array }): Promise<void> {
    return this.write([{ type: 'clear', gte, lt }]);
  }

  async close(): Promise<void> {
    await this.#lastWrite;
    if (this.#closed) return;
    this.#closed = true;
    this.#content.clean = true;
    this.#release();
  }

  /** The process is gone: nothing works any more, and nothing was closed cleanly. */
  abandon(): void {
    this.#closed = true;
  }

  #apply(change: StoreWrite): void {
    const { entries } = this.#content;
    if (change.type === 'clear') {
      const keys = this.#keysBetween(change.gte, change.lt);
      for (const key of keys) entries.delete(key);
      if (keys.length > 0) this.#sorted = null;
      return;
    }
    const key = textOf(change.key);
    if (entries.has(key) !== (change.type === 'put')) this.#sorted = null;
    if (change.type === 'put') entries.set(key, change.value);
    else entries.delete(key);
  }

  async *#slices(
    entries: readonly (readonly [string, Uint8Array])[],
    sliceMax: number,
  ): AsyncGenerator<[Uint8Array, Uint8Array][]> {
    for (let from = 0; from < entries.length; from += sliceMax) {
      await pause(this.#disk);
      this.#check();
      yield entries
        .slice(from, from + sliceMax)
        .map(([key, value]): [Uint8Array, Uint8Array] => [new Uint8Array(Buffer.from(key, 'latin1')), value.slice()]);
    }
  }

  #keysBetween(gte: Uint8Array, lt: Uint8Array): string[] {
    const sorted = (this.#sorted ??= [...this.#content.entries.keys()].sort());
    return sorted.slice(firstAtLeast(sorted, textOf(gte)), firstAtLeast(sorted, textOf(lt)));
  }

  #check(): void {
    if (this.#closed) throw new MillraceError('STORE_UNAVAILABLE', 'the store is closed: open it again');
  }
}

/** Index of the first key ≥ `key`. */
function firstAtLeast(sorted: readonly string[], key: string): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

function copyOf(change: StoreWrite): StoreWrite {
  // Not `slice`, which on a Buffer copies nothing.
  if (change.type === 'put')
    return { type: 'put', key: new Uint8Array(change.key), value: new Uint8Array(change.value) };
  if (change.type === 'del') return { type: 'del', key: new Uint8Array(change.key) };
  return { type: 'clear', gte: new Uint8Array(change.gte), lt: new Uint8Array(change.lt) };
}

function textOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}

function pause({ clock, random, faults }: Disk): Promise<void> {
  if (!random.chance(faults.slowChance)) return Promise.resolve();
  return sleep(clock, Math.ceil(random.next() * faults.slowMsMax));
}
