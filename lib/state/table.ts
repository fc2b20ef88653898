/**
 * What all kinds of table have in common: buckets, and keeping track of what changed. `entry-table.ts` keeps entries as
 * objects, `number-table.ts` packed; each adds what operators see and how changes are told to the journal.
 * `checkpoint.ts` tells the store, `residency.ts` moves entries between memory and disk; both know this class alone.
 *
 * A change costs one push: the entry goes on its bucket's list of changes. `settleChanges`, once a batch, goes through
 * these lists and marks what it finds for the next checkpoint.
 */
import { invariant, MillraceError } from '../base/errors.ts';
import { type BatchNotes, type Bucket, KNOWN, type MISSING, STORED, UNTOLD } from './bucket.ts';

const NONE: readonly number[] = [];
/** More forgotten buckets than this, and than there are buckets, are taken out of their order. */
const ORDER_SLACK = 1_024;

/** Changes of one table in a delta: its name, then columns; the kinds of table differ in the columns. */
export type TableDelta = unknown[];

export abstract class StateTable<B extends Bucket = Bucket> {
  readonly name: string;
  /** Its entries are never evicted. */
  readonly staysInMemory: boolean;
  /** In order of creation; what has an id here may still be empty. */
  readonly buckets = new Map<number, B>();
  /** Over all buckets: entries in memory, entries on disk alone. */
  entriesHeld = 0;
  onDisk = 0;
  /** Buckets that changed since the last delta, and about how much in them. */
  changedBuckets: B[] = [];
  protected changedUnits = 0;
  protected changedChars = 0;
  /** Buckets of which the store must hear. */
  dirtyBuckets: B[] = [];
  protected readonly notes: BatchNotes;
  /** The bucket used last: most accesses come in runs. */
  protected last: B | null = null;
  protected lastId = Number.NaN;
  /** The numbers of all buckets, in order, and of some that are forgotten. */
  #order: number[] = [];
  /** No bucket below this has entries. */
  #lowest = Number.POSITIVE_INFINITY;

  constructor(name: string, notes: BatchNotes, options?: { readonly inMemory?: boolean }) {
    this.name = name;
    this.notes = notes;
    this.staysInMemory = options?.inMemory ?? false;
  }

  /** About how much memory its entries take. */
  abstract readonly memoryBytes: number;
  /** About how much an entry takes. */
  abstract readonly entryBytes: number;
  /** About how long its part of a delta would be now. */
  abstract readonly deltaBytes: number;
  /** Entries of a bucket, as operators see them. */
  abstract entries(id: number): IterableIterator<[string, unknown]>;
  abstract delete(id: number, key: string): void;
  /** Appends this table's part of a delta to `parts`, if there is anything to tell. */
  abstract collect(parts: TableDelta[]): void;
  /** Does what `collect` told. Throws JOURNAL_CORRUPT. */
  abstract apply(delta: TableDelta): void;
  /** Puts an entry in the place of whatever has its key: how a snapshot's entries come in. */
  abstract restore(id: number, key: string, content: unknown): void;
  /**
   * Drops clean entries of the bucket from memory, but for those whose flags have any of `spared`, until `isEnough`. True:
   * it is.
   */
  abstract evictFrom(bucket: B, options: { spared: number; isEnough(): boolean }): boolean;

  protected abstract makeBucket(id: number): B;
  /** Forgets the entries of the bucket that are in memory, and its changes. */
  protected abstract clear(bucket: B): void;
  /** `settleChanges` for the changed entries of one bucket. */
  protected abstract settleEntries(bucket: B, flags: typeof STORED | 0): void;
  /** `adopt` for the changed entries of one bucket. */
  protected abstract adoptEntries(bucket: B, flags: typeof MISSING | 0): void;
  /** Brings an entry in, with these flags. */
  protected abstract hold(bucket: B, key: string, content: unknown, flags: number): void;

  /** Forgets all that is in it, as if it had just been made. */
  reset(): void {
    for (const bucket of this.buckets.values()) this.clear(bucket);
    this.buckets.clear();
    this.entriesHeld = this.onDisk = 0;
    this.changedBuckets = [];
    this.changedUnits = this.changedChars = 0;
    this.dirtyBuckets = [];
    this.last = null;
    this.lastId = Number.NaN;
    this.#order = [];
    this.#lowest = Number.POSITIVE_INFINITY;
  }

  get size(): number {
    return this.entriesHeld + this.onDisk;
  }

  get first(): number | null {
    if (this.size === 0) return null;
    const known = this.buckets.get(this.#lowest);
    if (known === undefined || known.isEmpty) {
      let lowest = Number.POSITIVE_INFINITY;
      for (const bucket of this.buckets.values()) if (!bucket.isEmpty && bucket.id < lowest) lowest = bucket.id;
      this.#lowest = lowest;
    }
    return this.#lowest;
  }

  isPartial(id: number): boolean {
    return (this.buckets.get(id)?.onDisk ?? 0) > 0;
  }

  bucketsBelow(limit: number): readonly number[] {
    if (limit <= this.#lowest) return NONE;
    const below: number[] = [];
    for (let id = this.firstBucket(); id !== undefined && id < limit; id = this.firstBucket(id + 1)) below.push(id);
    return below;
  }

  firstBucket(from = Number.NEGATIVE_INFINITY): number | undefined {
    const order = this.#order;
    const isLowest = from <= this.#lowest;
    for (let at = this.#placeOf(isLowest ? this.#lowest : from); at < order.length; at++) {
      const id = order[at]!;
      const bucket = this.buckets.get(id);
      if (bucket === undefined || bucket.isEmpty) continue;
      if (isLowest) this.#lowest = id;
      return id;
    }
    if (isLowest) this.#lowest = Number.POSITIVE_INFINITY;
    return undefined;
  }

  /** Where in the order the number is, or would be. */
  #placeOf(id: number): number {
    const order = this.#order;
    let low = 0;
    let high = order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (order[middle]! < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** A bucket has been made; buckets mostly come in order. */
  #enter(id: number): void {
    const order = this.#order;
    if (order.length > ORDER_SLACK && order.length > 2 * this.buckets.size) {
      this.#order = order.filter(one => this.buckets.has(one));
    }
    const last = this.#order.at(-1);
    if (last === undefined || last < id) {
      this.#order.push(id);
      return;
    }
    const at = this.#placeOf(id);
    if (this.#order[at] !== id) this.#order.splice(at, 0, id);
  }

  drop(id: number): void {
    const bucket = this.find(id);
    if (bucket === null) return;
    this.entriesHeld -= bucket.size;
    this.onDisk -= bucket.onDisk;
    this.clear(bucket);
    bucket.onDisk = 0;
    bucket.removed = null;
    bucket.unstored = null;
    if (bucket.wasKnown) bucket.isDropped = true;
    if (bucket.isStored) bucket.isCleared = true;
    bucket.isStored = false;
    this.note(bucket);
  }

  /**
   * What changed is told: it is known to the journal, and store and snapshot must hear of it. `flags`: STORED if they may
   * have heard of it before.
   */
  settleChanges(flags: typeof STORED | 0 = 0): void {
    const buckets = this.changedBuckets;
    if (buckets.length === 0) return;
    this.changedBuckets = [];
    this.changedUnits = this.changedChars = 0;
    for (const bucket of buckets) {
      this.settleEntries(bucket, flags);
      bucket.removed = null;
      bucket.isChanged = bucket.isDropped = false;
      bucket.wasKnown = !bucket.isEmpty;
      if (flags === STORED && bucket.wasKnown) bucket.isStored = true;
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
      this.adoptEntries(bucket, flags);
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
  prune(bucket: B): void {
    if (!bucket.isEmpty || bucket.hasNews || bucket.isChanged || bucket.isDirty || bucket.isStored) return;
    if (this.buckets.get(bucket.id) === bucket) this.buckets.delete(bucket.id);
    if (this.last === bucket) {
      this.last = null;
      this.lastId = Number.NaN;
    }
  }

  /** The bucket if there is one. */
  find(id: number): B | null {
    if (id === this.lastId) return this.last;
    const bucket = this.buckets.get(id);
    if (bucket === undefined) return null;
    this.lastId = id;
    return (this.last = bucket);
  }

  /** The bucket, made if there is none. Throws INVARIANT if `id` is not a safe integer. */
  open(id: number): B {
    const found = this.find(id);
    if (found !== null) return found;
    invariant(Number.isSafeInteger(id), `${this.name}: ${id} is not a bucket: buckets are safe integers`);
    const bucket = this.makeBucket(id);
    this.#enter(id);
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
    this.noteEntry(bucket);
  }

  /** Brings in an entry as journal and store have it. False: memory knows the key already, and better. */
  admit(bucket: B, key: string, content: unknown): boolean {
    if (bucket.unstored?.has(key) || bucket.absent?.has(key) || bucket.contentOf(key) !== undefined) return false;
    if (bucket.onDisk === 0) {
      throw new MillraceError(
        'STORE_CORRUPT',
        `the local store has more in bucket ${bucket.id} of ${this.name} than it counts`,
      );
    }
    this.hold(bucket, key, content, KNOWN | STORED);
    bucket.onDisk--;
    this.onDisk--;
    return true;
  }

  /** The bucket, if there is one, all of it in memory. */
  protected whole(id: number): B | null {
    const bucket = this.find(id);
    if (bucket === null) return null;
    if (bucket.onDisk > 0) {
      throw new MillraceError('INVARIANT', `${this.name}: bucket ${id} is partly on disk and was not wanted whole`);
    }
    return bucket;
  }

  /** Throws unless a batch has found out that the key, not in memory, is not on disk either. */
  protected checkAbsent(bucket: B, key: string): void {
    if (bucket.absent?.has(key) || bucket.unstored?.has(key)) return;
    throw new MillraceError(
      'INVARIANT',
      `${this.name}: '${key}' of bucket ${bucket.id} may be on disk and was not wanted`,
    );
  }

  /** What journal, snapshot and store know of a key that has no entry in memory and is about to get one. */
  protected flagsOfNew(bucket: B, key: string): number {
    let flags = 0;
    if (bucket.onDisk > 0) this.checkAbsent(bucket, key);
    // What was deleted and comes back is, to journal and store, a change.
    if (bucket.removed?.delete(key)) flags |= KNOWN;
    if (bucket.unstored?.delete(key)) flags |= STORED;
    return flags;
  }

  /** An entry with these flags has been deleted: who must hear of it. */
  protected noteRemoval(bucket: B, key: string, flags: number): void {
    this.changedChars += key.length + 4;
    if (flags & KNOWN) (bucket.removed ??= new Set()).add(key);
    if (flags & STORED) (bucket.unstored ??= new Map()).set(key, UNTOLD);
    this.note(bucket);
    if (bucket.onDisk > 0 || bucket.absent !== null) {
      (bucket.absent ??= new Set()).add(key);
      this.notes.touched.push(bucket);
    }
  }

  /** The bucket has an entry now, in memory or on disk. */
  protected noteEntry(bucket: B): void {
    if (bucket.id < this.#lowest) this.#lowest = bucket.id;
  }

  /** The bucket changes. */
  protected note(bucket: B): void {
    if (bucket.isChanged) return;
    bucket.isChanged = true;
    this.changedBuckets.push(bucket);
  }
}
