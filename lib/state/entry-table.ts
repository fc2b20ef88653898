/**
 * Tables whose entries are objects: what value and list tables have in common. `value-table.ts` and `list-table.ts` add
 * what operators see and how changes are told to the journal.
 */
import { Bucket, CHANGED, DIRTY, KNOWN, MISSING, PINNED, STORED, type TellStore, USED } from './bucket.ts';
import { RunningMean, roughBytes } from './size.ts';
import { StateTable } from './table.ts';

/** One in so many changed entries is looked at to keep the mean size. A power of two. */
const SAMPLE_EVERY = 64;
/** Memory of an entry beside its key's characters and its content: map slot, string header, the entry itself. */
const ENTRY_BYTES = 112;
const BUCKET_BYTES = 600;
/** Decoded objects take about so much more than packed ones. */
const MEMORY_FACTOR = 3;
/** A list of dirty keys with more than this, and twice its entries, is mostly out of date. */
const DIRTY_SLACK = 1024;
/** Evicting looks at the memory left once in so many entries. */
const LOOK_EVERY = 256;

/** One entry. There are millions: few fields. */
export class Entry {
  /** The value, or the items of a list. */
  content: unknown;
  flags = 0;

  constructor(content: unknown) {
    this.content = content;
  }
}

export class EntryBucket<E extends Entry = Entry> extends Bucket {
  byKey = new Map<string, E>();
  /** Key lengths and units (values, or items of lists) of the entries, for the estimate of memory. */
  chars = 0;
  units = 0;
  /** Since the last delta. They run in parallel; deleted entries stay there without CHANGED. */
  changed: E[] = [];
  changedKeys: string[] = [];
  /** Since the last checkpoint. A key may be there twice, or no longer dirty. */
  dirtyKeys: string[] = [];
  pinned: E[] = [];

  override get size(): number {
    return this.byKey.size;
  }

  override get dirty(): number {
    return this.dirtyKeys.length;
  }

  override contentOf(key: string): unknown {
    return this.byKey.get(key)?.content;
  }

  /** A map may change while it is gone through: what is added comes at its end. */
  override keys(): IterableIterator<string> {
    return this.byKey.keys();
  }

  override pin(key: string): boolean {
    const entry = this.byKey.get(key);
    if (entry === undefined) return false;
    if ((entry.flags & PINNED) === 0) {
      entry.flags |= PINNED | USED;
      this.pinned.push(entry);
    }
    return true;
  }

  override get hasPinned(): boolean {
    return this.pinned.length > 0;
  }

  override unpin(): void {
    if (this.pinned.length === 0) return;
    for (const entry of this.pinned) entry.flags &= ~PINNED;
    this.pinned = [];
  }

  override takeDirty(entriesMax: number, tell: TellStore): void {
    for (let taken = 0; taken < entriesMax; ) {
      const key = this.dirtyKeys.pop();
      if (key === undefined) break;
      const entry = this.byKey.get(key);
      if (entry === undefined || (entry.flags & (DIRTY | MISSING)) === 0) continue;
      tell(key, entry.content, (entry.flags & DIRTY) !== 0);
      entry.flags = (entry.flags & ~(DIRTY | MISSING)) | STORED;
      taken++;
    }
  }

  /** Leaves each key of a dirty entry once. */
  compactDirty(): void {
    const keys: string[] = [];
    for (const [key, entry] of this.byKey) if (entry.flags & (DIRTY | MISSING)) keys.push(key);
    this.dirtyKeys = keys;
  }
}

export abstract class EntryTable<E extends Entry = Entry> extends StateTable<EntryBucket<E>> {
  /** Over all buckets: keys' characters and units in memory. */
  #chars = 0;
  #units = 0;
  readonly #unitBytes = new RunningMean(32);
  #changes = 0;

  /** How many units (values, items) the content is. */
  protected abstract unitsOf(content: unknown): number;
  /** An entry with this content. */
  protected abstract make(content: unknown): E;
  /** The journal now has the entry as it is. */
  protected abstract settle(entry: E): void;

  override get memoryBytes(): number {
    const content = this.#units * this.#unitBytes.value * MEMORY_FACTOR;
    return this.entriesHeld * ENTRY_BYTES + this.#chars + content + this.buckets.size * BUCKET_BYTES;
  }

  override get entryBytes(): number {
    return this.#unitBytes.value;
  }

  override get deltaBytes(): number {
    return this.changedChars + this.changedUnits * (this.#unitBytes.value + 4) + this.changedBuckets.length * 8;
  }

  override delete(id: number, key: string): void {
    const bucket = this.find(id);
    if (bucket === null) return;
    const entry = bucket.byKey.get(key);
    if (entry !== undefined) this.#remove(bucket, key, entry);
    else if (bucket.onDisk > 0) this.checkAbsent(bucket, key);
  }

  override restore(id: number, key: string, content: unknown): void {
    const bucket = this.open(id);
    const entry = bucket.byKey.get(key);
    if (entry !== undefined) this.#remove(bucket, key, entry);
    this.create(bucket, key, content);
  }

  override evictFrom(bucket: EntryBucket<E>, options: { spared: number; isEnough(): boolean }): boolean {
    const { spared, isEnough } = options;
    let evicted = 0;
    for (const [key, entry] of bucket.byKey) {
      const flags = entry.flags;
      entry.flags = flags & ~USED;
      if ((flags & STORED) === 0 || (flags & (CHANGED | DIRTY | MISSING | PINNED | spared)) !== 0) continue;
      this.#release(bucket, key, entry);
      bucket.onDisk++;
      this.onDisk++;
      if (++evicted % LOOK_EVERY === 0 && isEnough()) return true;
    }
    return isEnough();
  }

  protected override makeBucket(id: number): EntryBucket<E> {
    return new EntryBucket<E>(id);
  }

  protected override clear(bucket: EntryBucket<E>): void {
    this.#chars -= bucket.chars;
    this.#units -= bucket.units;
    bucket.byKey = new Map();
    bucket.chars = bucket.units = 0;
    bucket.changed = [];
    bucket.changedKeys = [];
    bucket.dirtyKeys = [];
  }

  protected override settleEntries(bucket: EntryBucket<E>, flags: typeof STORED | 0): void {
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
    if (bucket.dirtyKeys.length > 2 * bucket.byKey.size + DIRTY_SLACK) bucket.compactDirty();
  }

  protected override adoptEntries(bucket: EntryBucket<E>, flags: typeof MISSING | 0): void {
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
  }

  protected override hold(bucket: EntryBucket<E>, key: string, content: unknown, flags: number): void {
    const entry = this.make(content);
    entry.flags = flags;
    this.settle(entry);
    this.#hold(bucket, key, entry);
    if ((this.entriesHeld & (SAMPLE_EVERY - 1)) === 1) this.#sample(content);
  }

  /** A new entry under a key that has none in memory. */
  protected create(bucket: EntryBucket<E>, key: string, content: unknown): void {
    const entry = this.make(content);
    entry.flags = this.flagsOfNew(bucket, key);
    this.#hold(bucket, key, entry);
    this.change(bucket, key, entry);
    this.changedUnits += this.unitsOf(content);
  }

  /** Marks an entry that is not marked yet. */
  protected change(bucket: EntryBucket<E>, key: string, entry: E): void {
    entry.flags |= CHANGED;
    bucket.changed.push(entry);
    bucket.changedKeys.push(key);
    if ((this.#changes++ & (SAMPLE_EVERY - 1)) === 0) this.#sample(entry.content);
    this.changedChars += key.length + 4;
    if (!bucket.isChanged) this.note(bucket);
  }

  /** The entry has so many units more than it had. */
  protected grow(bucket: EntryBucket<E>, units: number): void {
    bucket.units += units;
    this.#units += units;
    this.changedUnits += units;
  }

  #remove(bucket: EntryBucket<E>, key: string, entry: E): void {
    const flags = entry.flags;
    this.#release(bucket, key, entry);
    entry.flags = flags & ~CHANGED;
    this.noteRemoval(bucket, key, flags);
  }

  #hold(bucket: EntryBucket<E>, key: string, entry: E): void {
    this.noteEntry(bucket);
    bucket.byKey.set(key, entry);
    const units = this.unitsOf(entry.content);
    bucket.chars += key.length;
    bucket.units += units;
    this.#chars += key.length;
    this.#units += units;
    this.entriesHeld++;
  }

  #release(bucket: EntryBucket<E>, key: string, entry: E): void {
    bucket.byKey.delete(key);
    const units = this.unitsOf(entry.content);
    bucket.chars -= key.length;
    bucket.units -= units;
    this.#chars -= key.length;
    this.#units -= units;
    this.entriesHeld--;
  }

  #sample(content: unknown): void {
    this.#unitBytes.show(roughBytes(content) / this.unitsOf(content));
  }
}
