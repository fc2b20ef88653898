/**
 * The number table: a `ValueTable` of numbers alone, for operators that keep one of each of very many keys. Its entries
 * are packed (`slots.ts`); to journal, store and snapshot it is a value table as any other, byte for byte.
 */
import { invariant, MillraceError } from '../base/errors.ts';
import { Bucket, CHANGED, DIRTY, KNOWN, MISSING, PINNED, STORED, type TellStore, USED } from './bucket.ts';
import { hashOfKey } from './packed-key.ts';
import type { Footprint } from './slot-index.ts';
import { Slots } from './slots.ts';
import { StateTable, type TableDelta } from './table.ts';
import type { ValueTable } from './tables.ts';
import { applyValues } from './value-table.ts';

const BUCKET_BYTES = 900;
/** A packed number, at most. */
const PACKED_BYTES = 9;
/** An entry with a short key, for as long as there is none. */
const ENTRY_BYTES = 48;
const NEWS = DIRTY | MISSING;

class NumberBucket extends Bucket {
  readonly slots: Slots;
  /**
   * Since the last delta. They run in parallel; slots of deleted entries stay there, without CHANGED and nobody else's.
   */
  changed: number[] = [];
  changedKeys: string[] = [];
  /** Slots of entries deleted since the last delta. */
  freed: number[] = [];
  pinned: number[] = [];
  /** The page that `takeDirty` looks at first. */
  #dirtyPage = 0;

  constructor(id: number, footprint: Footprint) {
    super(id);
    this.slots = new Slots(footprint);
  }

  override get size(): number {
    return this.slots.size;
  }

  override get dirty(): number {
    return this.slots.news;
  }

  override contentOf(key: string): number | undefined {
    const slot = this.slots.find(hashOfKey(key), key);
    return slot < 0 ? undefined : this.slots.numberAt(slot);
  }

  override *keys(): IterableIterator<string> {
    for (const slot of this.slots) yield this.slots.keyAt(slot);
  }

  override pin(key: string): boolean {
    const slot = this.slots.find(hashOfKey(key), key);
    if (slot < 0) return false;
    const flags = this.slots.flagsAt(slot);
    if ((flags & PINNED) === 0) {
      this.slots.setFlags(slot, flags | PINNED | USED);
      this.pinned.push(slot);
    }
    return true;
  }

  override get hasPinned(): boolean {
    return this.pinned.length > 0;
  }

  override unpin(): void {
    if (this.pinned.length === 0) return;
    for (const slot of this.pinned) {
      const flags = this.slots.flagsAt(slot);
      if (flags & PINNED) this.slots.setFlags(slot, flags & ~PINNED);
    }
    this.pinned = [];
  }

  override takeDirty(entriesMax: number, tell: TellStore): void {
    const { slots } = this;
    let left = Math.min(entriesMax, slots.news);
    for (let visited = 0; left > 0 && visited <= slots.pages; visited++) {
      if (this.#dirtyPage >= slots.pages) this.#dirtyPage = 0;
      let slot = slots.firstOf(this.#dirtyPage, NEWS);
      for (; slot >= 0 && left > 0; slot = slots.nextOf(slot, NEWS), left--) {
        const flags = slots.flagsAt(slot);
        tell(slots.keyAt(slot), slots.numberAt(slot), (flags & DIRTY) !== 0);
        slots.setFlags(slot, (flags & ~NEWS) | STORED);
      }
      if (slot < 0) this.#dirtyPage++;
    }
  }
}

export class NumberTable extends StateTable<NumberBucket> implements ValueTable<number> {
  readonly #footprint: Footprint = { bytes: 0 };
  /** A key is looked up in several buckets one after the other, and hashed once. */
  #hashedKey = '';
  #hash = hashOfKey('');

  override get memoryBytes(): number {
    return this.#footprint.bytes + this.buckets.size * BUCKET_BYTES;
  }

  override get entryBytes(): number {
    return ENTRY_BYTES;
  }

  override get deltaBytes(): number {
    return this.changedChars + this.changedUnits * (PACKED_BYTES + 4) + this.changedBuckets.length * 8;
  }

  get(id: number, key: string): number | undefined {
    const bucket = this.find(id);
    if (bucket === null) return undefined;
    const slot = bucket.slots.find(this.#hashOf(key), key);
    if (slot >= 0) return bucket.slots.numberAt(slot);
    if (bucket.onDisk > 0) this.checkAbsent(bucket, key);
    return undefined;
  }

  set(id: number, key: string, value: number): void {
    invariant(typeof value === 'number', `the table ${this.name} holds numbers alone`);
    const bucket = this.open(id);
    const slot = bucket.slots.find(this.#hashOf(key), key);
    if (slot < 0) {
      this.#create(bucket, key, value);
      return;
    }
    bucket.slots.setNumber(slot, value);
    const flags = bucket.slots.flagsAt(slot);
    if (flags & CHANGED) return;
    bucket.slots.setFlags(slot, flags | CHANGED);
    this.#change(bucket, key, slot);
  }

  override delete(id: number, key: string): void {
    const bucket = this.find(id);
    if (bucket === null) return;
    const slot = bucket.slots.find(this.#hashOf(key), key);
    if (slot >= 0) this.#remove(bucket, key, slot);
    else if (bucket.onDisk > 0) this.checkAbsent(bucket, key);
  }

  override *entries(id: number): IterableIterator<[string, number]> {
    const bucket = this.whole(id);
    if (bucket === null) return;
    const { slots } = bucket;
    for (const slot of slots) yield [slots.keyAt(slot), slots.numberAt(slot)];
  }

  override collect(parts: TableDelta[]): void {
    const buckets: number[] = [];
    const keys: string[] = [];
    const values: number[] = [];
    for (const bucket of this.changedBuckets) {
      const { changed, changedKeys, removed, slots } = bucket;
      if (removed !== null) for (const key of removed) keys.push(key);
      const before = values.length;
      for (let i = 0; i < changed.length; i++) {
        const slot = changed[i]!;
        if ((slots.flagsAt(slot) & CHANGED) === 0) continue;
        keys.push(changedKeys[i]!);
        values.push(slots.numberAt(slot));
      }
      const sets = values.length - before;
      const deletes = removed === null ? 0 : removed.size;
      if (bucket.isDropped || deletes > 0 || sets > 0) buckets.push(bucket.id, bucket.isDropped ? 1 : 0, deletes, sets);
    }
    if (buckets.length > 0) parts.push([this.name, buckets, keys, values]);
  }

  override apply(delta: TableDelta): void {
    applyValues(this, delta);
  }

  override restore(id: number, key: string, content: unknown): void {
    const bucket = this.open(id);
    const slot = bucket.slots.find(this.#hashOf(key), key);
    if (slot >= 0) this.#remove(bucket, key, slot);
    this.#create(bucket, key, this.#number(content));
  }

  /** A page at a time, and then what is left of it goes to other pages if it is little. */
  override evictFrom(bucket: NumberBucket, options: { spared: number; isEnough(): boolean }): boolean {
    const { slots } = bucket;
    const fixed = CHANGED | DIRTY | MISSING | PINNED | options.spared;
    // Pages that are made meanwhile hold what was moved there.
    for (let number = 0, pages = slots.pages; number < pages; number++) {
      for (let slot = slots.firstOf(number); slot >= 0; slot = slots.nextOf(slot)) {
        const flags = slots.flagsAt(slot);
        if ((flags & STORED) === 0 || (flags & fixed) !== 0) continue;
        slots.remove(slot);
        slots.release(slot);
        this.entriesHeld--;
        bucket.onDisk++;
        this.onDisk++;
      }
      // What is moved may come up again where it is now, and is still to be spared there.
      slots.thin(number, CHANGED | PINNED);
      for (let slot = slots.firstOf(number, USED); slot >= 0; slot = slots.nextOf(slot, USED)) {
        slots.setFlags(slot, slots.flagsAt(slot) & ~USED);
      }
      if (options.isEnough()) return true;
    }
    return options.isEnough();
  }

  protected override makeBucket(id: number): NumberBucket {
    return new NumberBucket(id, this.#footprint);
  }

  protected override clear(bucket: NumberBucket): void {
    bucket.slots.clear();
    bucket.changed = [];
    bucket.changedKeys = [];
    bucket.freed = [];
    bucket.pinned = [];
  }

  protected override settleEntries(bucket: NumberBucket, flags: typeof STORED | 0): void {
    this.#settle(bucket, before => (before & ~CHANGED) | KNOWN | DIRTY | flags);
  }

  protected override adoptEntries(bucket: NumberBucket, flags: typeof MISSING | 0): void {
    this.#settle(bucket, before => (before & PINNED) | KNOWN | STORED | flags);
  }

  protected override hold(bucket: NumberBucket, key: string, content: unknown, flags: number): void {
    this.#hold(bucket, key, this.#number(content), flags);
  }

  /** Gives the changed entries new flags, and the slots of deleted ones to whoever comes next. */
  #settle(bucket: NumberBucket, flagsAfter: (before: number) => number): void {
    const { changed, freed, slots } = bucket;
    for (let i = 0; i < changed.length; i++) {
      const before = slots.flagsAt(changed[i]!);
      if (before & CHANGED) slots.setFlags(changed[i]!, flagsAfter(before));
    }
    if (changed.length > 0) {
      bucket.changed = [];
      bucket.changedKeys = [];
    }
    if (freed.length > 0) {
      bucket.freed = [];
      if (bucket.pinned.length > 0) bucket.pinned = bucket.pinned.filter(slot => slots.flagsAt(slot) & PINNED);
      for (const slot of freed) slots.release(slot);
    }
  }

  #create(bucket: NumberBucket, key: string, value: number): void {
    const slot = this.#hold(bucket, key, value, this.flagsOfNew(bucket, key) | CHANGED);
    this.#change(bucket, key, slot);
  }

  #change(bucket: NumberBucket, key: string, slot: number): void {
    bucket.changed.push(slot);
    bucket.changedKeys.push(key);
    this.changedChars += key.length + 4;
    this.changedUnits++;
    if (!bucket.isChanged) this.note(bucket);
  }

  #remove(bucket: NumberBucket, key: string, slot: number): void {
    const flags = bucket.slots.flagsAt(slot);
    bucket.slots.remove(slot);
    bucket.freed.push(slot);
    this.entriesHeld--;
    this.noteRemoval(bucket, key, flags);
  }

  #hold(bucket: NumberBucket, key: string, value: number, flags: number): number {
    this.noteEntry(bucket);
    this.entriesHeld++;
    return bucket.slots.add(this.#hashOf(key), key, value, flags);
  }

  #hashOf(key: string): number {
    if (key === this.#hashedKey) return this.#hash;
    this.#hashedKey = key;
    return (this.#hash = hashOfKey(key));
  }

  #number(content: unknown): number {
    if (typeof content === 'number') return content;
    throw new MillraceError('JOURNAL_CORRUPT', `the state to restore has something else than a number in ${this.name}`);
  }
}
