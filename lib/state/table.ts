/**
 * What value and list tables have in common: buckets, and keeping track of what changed. `value-table.ts` and
 * `list-table.ts` add what operators see and how changes are told to the journal; `checkpoint.ts` tells the store,
 * `residency.ts` moves entries between memory and disk.
 *
 * A change costs one push: the entry goes on its bucket's `changed` list. `cut`, once a batch, goes through these lists
 * and hands what it finds on to the list of the next checkpoint.
 */
import { invariant, MillraceError } from '../base/errors.ts';
import {
  type BatchNotes,
  Bucket,
  CHANGED,
  DIRTY,
  type Entry,
  KNOWN,
  MISSING,
  PINNED,
  STORED,
  UNTOLD,
} from './bucket.ts';
import { RunningMean, roughBytes } from './size.ts';

/** One in so many changed entries is looked at to keep the mean size. A power of two. */
const SAMPLE_EVERY = 64;
/** Memory of an entry beside its key's characters and its content: map slot, string header, the entry itself. */
const ENTRY_BYTES = 112;
const BUCKET_BYTES = 600;
/** Decoded objects take about so much more than packed ones. */
const MEMORY_FACTOR = 3;
/** A list of dirty keys with more than this, and twice its entries, is mostly out of date. */
const DIRTY_SLACK = 1024;
const NONE: readonly number[] = [];

/** Changes of one table in a delta: its name, then columns; the kinds of table differ in the columns. */
export type TableDelta = unknown[];

export abstract class StateTable<E extends Entry = Entry> {
  readonly name: string;
  /** Its entries are never evicted. */
  readonly staysInMemory: boolean;
  /** In order of creation; what has an id here may still be empty. */
  readonly buckets = new Map<number, Bucket<E>>();
  /** Over all buckets: entries in memory, their keys' characters, their units; entries on disk alone. */
  entriesHeld = 0;
  chars = 0;
  units = 0;
  onDisk = 0;
  readonly unitBytes = new RunningMean(32);
  /** Buckets that changed since the last cut, and about how much in them. */
  changedBuckets: Bucket<E>[] = [];
  changedUnits = 0;
  changedChars = 0;
  /** Buckets of which the store must hear. */
  dirtyBuckets: Bucket<E>[] = [];
  protected readonly notes: BatchNotes;
  /** The bucket used last: most accesses come in runs. */
  protected last: Bucket<E> | null = null;
  protected lastId = Number.NaN;
  /** No bucket below this has entries. */
  #lowest = Number.POSITIVE_INFINITY;
  #changes = 0;

  constructor(name: string, notes: BatchNotes, options?: { readonly inMemory?: boolean }) {
    this.name = name;
    this.notes = notes;
    this.staysInMemory = options?.inMemory ?? false;
  }

  /** How many units (values, items) the content is. */
  protected abstract unitsOf(content: unknown): number;
  /** An entry with this content. */
  protected abstract make(content: unknown): E;
  /** The journal now has the entry as it is. */
  protected abstract settle(entry: E): void;
  /** Entries of a bucket, as operators see them. */
  abstract entries(id: number): IterableIterator<[string, unknown]>;
  /** Appends this table's part of a delta to `parts`, if there is anything to tell. */
  abstract collect(parts: TableDelta[]): void;
  /** Does what `collect` told. Throws JOURNAL_CORRUPT. */
  abstract apply(delta: TableDelta): void;

  get memoryBytes(): number {
    const content = this.units * this.unitBytes.value * MEMORY_FACTOR;
    return this.entriesHeld * ENTRY_BYTES + this.chars + content + this.buckets.size * BUCKET_BYTES;
  }

  get deltaBytes(): number {
    return this.changedChars + this.changedUnits * (this.unitBytes.value + 4) + this.changedBuckets.length * 8;
  }

  bucketsBelow(limit: number): readonly number[] {
    if (limit <= this.#lowest) return NONE;
    const below: number[] = [];
    let lowest = Number.POSITIVE_INFINITY;
    for (const bucket of this.buckets.values()) {
      if (bucket.isEmpty) continue;
      if (bucket.id < limit) below.push(bucket.id);
      if (bucket.id < lowest) lowest = bucket.id;
    }
    this.#lowest = lowest;
    return below.sort((left, right) => left - right);
  }

  delete(id: number, key: string): void {
    const bucket = this.find(id);
    if (bucket === null) return;
    const entry = bucket.entries.get(key);
    if (entry !== undefined) this.#remove(bucket, key, entry);
    else if (bucket.onDisk > 0) this.checkAbsent(bucket, key);
  }

  drop(id: number): void {
    const bucket = this.find(id);
    if (bucket === null) return;
    this.entriesHeld -= bucket.entries.size;
    this.chars -= bucket.chars;
    this.units -= bucket.units;
    this.onDisk -= bucket.onDisk;
    bucket.entries = new Map();
    bucket.chars = bucket.units = bucket.onDisk = 0;
    bucket.changed = [];
    bucket.changedKeys = [];
    bucket.removed = null;
    bucket.dirtyKeys = [];
    bucket.unstored = null;
    if (bucket.wasKnown) bucket.isDropped = true;
    if (bucket.isStored) bucket.isCleared = true;
    bucket.isStored = false;
    this.#note(bucket);
  }

  /** Puts an entry in the place of whatever has its key: how a snapshot's entries come in. */
  restore(id: number, key: string, content: unknown): void {
    const bucket = this.open(id);
    const entry = bucket.entries.get(key);
    if (entry !== undefined) this.#remove(bucket, key, entry);
    this.create(bucket, key, content);
  }

  /**
   * What changed is told: it is known to the journal, and store and snapshot must hear of it. `flags`: STORED if they may
   * have heard of it before.
   */
  cut(flags: typeof STORED | 0 = 0): void {
    const buckets = this.changedBuckets;
    if (buckets.length === 0) return;
    this.changedBuckets = [];
    this.changedUnits = this.changedChars = 0;
    for (const bucket of buckets) {
      const { changed, changedKeys } = bucket;
      for (let i = 0; i < changed.length; i++) {
        const entry = changed[i]!;
        const before = entry.flags;
        if ((before & CHANGED) === 0) continue;
        if ((before & (DIRTY | MISSING)) === 0) bucket.dirtyKeys.push(changedKeys[i]!);
        entry.flags = (before & ~CHANGED) | KNOWN | DIRTY | flags;
        this.settle(entry);
      }
      bucket.changed = [];
      bucket.changedKeys = [];
      bucket.removed = null;
      bucket.isChanged = bucket.isDropped = false;
      bucket.wasKnown = !bucket.isEmpty;
      if (flags === STORED && bucket.wasKnown) bucket.isStored = true;
      if (bucket.dirtyKeys.length > 2 * bucket.entries.size + DIRTY_SLACK) compactDirty(bucket);
      if (bucket.isDirty) continue;
      if (bucket.hasNews) {
        bucket.isDirty = true;
        this.dirtyBuckets.push(bucket);
      } else this.prune(bucket);
    }
  }

  /**
   * What changed came from a snapshot, which needs not be told again. `flags`: MISSING if the store must be, 0 if it has
   * been. The bucket counts as dirty, so that the next checkpoint counts it.
   */
  adopt(flags: typeof MISSING | 0): void {
    for (const bucket of this.changedBuckets) {
      const { changed, changedKeys } = bucket;
      for (let i = 0; i < changed.length; i++) {
        const entry = changed[i]!;
        if ((entry.flags & CHANGED) === 0) continue;
        entry.flags = (entry.flags & PINNED) | KNOWN | STORED | flags;
        if (flags === MISSING) bucket.dirtyKeys.push(changedKeys[i]!);
        this.settle(entry);
      }
      bucket.changed = [];
      bucket.changedKeys = [];
      bucket.removed = bucket.unstored = null;
      bucket.isChanged = bucket.isDropped = bucket.isCleared = false;
      bucket.wasKnown = bucket.isStored = !bucket.isEmpty;
      if (!bucket.isDirty) this.dirtyBuckets.push(bucket);
      bucket.isDirty = true;
    }
    this.changedBuckets = [];
    this.changedUnits = this.changedChars = 0;
  }

  /** Forgets the bucket if nothing is in it and nobody needs to hear of it. */
  prune(bucket: Bucket<E>): void {
    if (!bucket.isEmpty || bucket.hasNews || bucket.isChanged || bucket.isDirty || bucket.isStored) return;
    if (this.buckets.get(bucket.id) === bucket) this.buckets.delete(bucket.id);
    if (this.last === bucket) {
      this.last = null;
      this.lastId = Number.NaN;
    }
  }

  /** The bucket if there is one. */
  find(id: number): Bucket<E> | null {
    if (id === this.lastId) return this.last;
    const bucket = this.buckets.get(id);
    if (bucket === undefined) return null;
    this.lastId = id;
    return (this.last = bucket);
  }

  /** The bucket, made if there is none. Throws INVARIANT if `id` is not a safe integer. */
  open(id: number): Bucket<E> {
    const found = this.find(id);
    if (found !== null) return found;
    invariant(Number.isSafeInteger(id), `${this.name}: ${id} is not a bucket: buckets are safe integers`);
    const bucket = new Bucket<E>(id);
    this.buckets.set(id, bucket);
    this.lastId = id;
    return (this.last = bucket);
  }

  /** Tells of a bucket that the store has. */
  announce(id: number, count: number): void {
    const bucket = this.open(id);
    invariant(bucket.isEmpty && !bucket.isStored, `bucket ${id} of ${this.name} is announced to a state that has it`);
    bucket.wasKnown = bucket.isStored = bucket.isCounted = true;
    bucket.onDisk = count;
    this.onDisk += count;
    if (id < this.#lowest) this.#lowest = id;
  }

  /** Brings in an entry as journal and store have it. Null: memory knows the key already, and better. */
  admit(bucket: Bucket<E>, key: string, content: unknown): E | null {
    if (bucket.entries.has(key) || bucket.unstored?.has(key) || bucket.absent?.has(key)) return null;
    if (bucket.onDisk === 0) {
      throw new MillraceError(
        'STORE_CORRUPT',
        `the local store has more in bucket ${bucket.id} of ${this.name} than it counts`,
      );
    }
    const entry = this.make(content);
    entry.flags = KNOWN | STORED;
    this.settle(entry);
    this.#hold(bucket, key, entry);
    bucket.onDisk--;
    this.onDisk--;
    if ((this.entriesHeld & (SAMPLE_EVERY - 1)) === 1) this.#sample(content);
    return entry;
  }

  /** Drops a clean entry from memory. */
  evict(bucket: Bucket<E>, key: string, entry: E): void {
    this.#release(bucket, key, entry);
    bucket.onDisk++;
    this.onDisk++;
  }

  /** The bucket's entries, all in memory. */
  protected held(id: number): ReadonlyMap<string, E> | null {
    const bucket = this.find(id);
    if (bucket === null) return null;
    if (bucket.onDisk > 0) {
      throw new MillraceError('INVARIANT', `${this.name}: bucket ${id} is partly on disk and was not wanted whole`);
    }
    return bucket.entries;
  }

  /** Throws unless a batch has found out that the key, not in memory, is not on disk either. */
  protected checkAbsent(bucket: Bucket<E>, key: string): void {
    if (bucket.absent?.has(key) || bucket.unstored?.has(key)) return;
    throw new MillraceError(
      'INVARIANT',
      `${this.name}: '${key}' of bucket ${bucket.id} may be on disk and was not wanted`,
    );
  }

  /** A new entry under a key that has none in memory. */
  protected create(bucket: Bucket<E>, key: string, content: unknown): void {
    if (bucket.onDisk > 0) this.checkAbsent(bucket, key);
    const entry = this.make(content);
    // What was deleted and comes back is, to journal and store, a change.
    if (bucket.removed?.delete(key)) entry.flags |= KNOWN;
    if (bucket.unstored?.delete(key)) entry.flags |= STORED;
    this.#hold(bucket, key, entry);
    this.change(bucket, key, entry);
    this.changedUnits += this.unitsOf(content);
  }

  /** Marks an entry that is not marked yet. */
  protected change(bucket: Bucket<E>, key: string, entry: E): void {
    entry.flags |= CHANGED;
    bucket.changed.push(entry);
    bucket.changedKeys.push(key);
    if ((this.#changes++ & (SAMPLE_EVERY - 1)) === 0) this.#sample(entry.content);
    this.changedChars += key.length + 4;
    if (!bucket.isChanged) this.#note(bucket);
  }

  #note(bucket: Bucket<E>): void {
    if (bucket.isChanged) return;
    bucket.isChanged = true;
    this.changedBuckets.push(bucket);
  }

  #remove(bucket: Bucket<E>, key: string, entry: E): void {
    const flags = entry.flags;
    this.#release(bucket, key, entry);
    entry.flags = flags & ~CHANGED;
    this.changedChars += key.length + 4;
    if (flags & KNOWN) (bucket.removed ??= new Set()).add(key);
    if (flags & STORED) (bucket.unstored ??= new Map()).set(key, UNTOLD);
    this.#note(bucket);
    if (bucket.onDisk > 0 || bucket.absent !== null) {
      (bucket.absent ??= new Set()).add(key);
      this.notes.touched.push(bucket);
    }
  }

  #hold(bucket: Bucket<E>, key: string, entry: E): void {
    if (bucket.id < this.#lowest) this.#lowest = bucket.id;
    bucket.entries.set(key, entry);
    const units = this.unitsOf(entry.content);
    bucket.chars += key.length;
    bucket.units += units;
    this.chars += key.length;
    this.units += units;
    this.entriesHeld++;
  }

  #release(bucket: Bucket<E>, key: string, entry: E): void {
    bucket.entries.delete(key);
    const units = this.unitsOf(entry.content);
    bucket.chars -= key.length;
    bucket.units -= units;
    this.chars -= key.length;
    this.units -= units;
    this.entriesHeld--;
  }

  #sample(content: unknown): void {
    this.unitBytes.show(roughBytes(content) / this.unitsOf(content));
  }
}

function compactDirty(bucket: Bucket): void {
  const keys: string[] = [];
  for (const [key, entry] of bucket.entries) if (entry.flags & (DIRTY | MISSING)) keys.push(key);
  bucket.dirtyKeys = keys;
}
