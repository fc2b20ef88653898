/**
 * Slots: a map from texts to numbers in typed arrays, with a byte of flags for each. Millions of entries are a few
 * thousand objects to the garbage collector, which as objects of their own would be moved, marked and swept one by one;
 * and an entry takes some 45 bytes where a `Map` of objects takes 150.
 *
 * An entry has a *slot*, a number that stays its own until it is removed or moved. Slots are laid out in pages: columns of
 * numbers, flags and places of keys, and the bytes of the keys (`packed-key.ts`). Hashes find candidates
 * (`slot-index.ts`), bytes decide.
 */
import { DIRTY, MISSING } from './bucket.ts';
import { hashOfBytes, isKeyAt, keyAt, keyEnd, packedLength, putKey } from './packed-key.ts';
import { type Footprint, SlotIndex } from './slot-index.ts';

const PAGE_BITS = 10;
const PAGE_SLOTS = 1 << PAGE_BITS;
const SLOT_MASK = PAGE_SLOTS - 1;
const FIRST_SLOTS = 16;
/** A number, the place of the key, flags. */
const SLOT_BYTES = 8 + 4 + 1;
/** Memory of a page with its arrays, beside what is in them. */
const PAGE_BYTES = 700;
/** A page with no more entries than this is worth emptying into others. */
const PAGE_ENTRIES_MIN = PAGE_SLOTS / 4;
/** Marks a slot that has an entry; the other bits of the flags are `bucket.ts`'s. */
const LIVE = 128;
const NEWS = DIRTY | MISSING;
const NO_SLOT = -1;
const NO_BYTES = Buffer.alloc(0);

class Page {
  numbers!: Float64Array;
  /** Where the key begins; in a free slot the next free one. */
  places!: Int32Array;
  flags!: Uint8Array;
  keys: Buffer = NO_BYTES;
  keysEnd = 0;
  /** Bytes of keys that are in use. */
  keysLive = 0;
  /** Slots from here on were never used. */
  used = 0;
  live = 0;
  firstFree = NO_SLOT;
  /** How many slots are on the list of free ones. */
  free = 0;
  /** Entries with flags of `NEWS`. */
  news = 0;
  /** It is on the list of those with room. */
  isListed = false;

  constructor(slots: number) {
    this.resize(slots);
  }

  get slots(): number {
    return this.flags.length;
  }

  get bytes(): number {
    return PAGE_BYTES + this.slots * SLOT_BYTES + this.keys.length;
  }

  resize(slots: number): void {
    const memory = new ArrayBuffer(slots * SLOT_BYTES);
    const numbers = new Float64Array(memory, 0, slots);
    const places = new Int32Array(memory, slots * 8, slots);
    const flags = new Uint8Array(memory, slots * 12, slots);
    if (this.used > 0) {
      numbers.set(this.numbers);
      places.set(this.places);
      flags.set(this.flags);
    }
    this.numbers = numbers;
    this.places = places;
    this.flags = flags;
  }

  /** Makes room for `length` more bytes of keys: drops those of removed entries, and grows if need be. */
  makeRoom(length: number): void {
    const needed = this.keysLive + length;
    // As much as a full page of such keys takes, so that a page is mostly right at its second growth.
    const whole = Math.ceil((needed / (this.live + 1)) * this.slots * 1.02);
    const keys = Buffer.allocUnsafeSlow(Math.max(needed + (needed >> 3), whole));
    let end = 0;
    for (let at = 0; at < this.used; at++) {
      if ((this.flags[at]! & LIVE) === 0) continue;
      const from = this.places[at]!;
      const to = keyEnd(this.keys, from);
      this.keys.copy(keys, end, from, to);
      this.places[at] = end;
      end += to - from;
    }
    this.keys = keys;
    this.keysEnd = end;
  }
}

export class Slots {
  readonly #footprint: Footprint;
  readonly #index: SlotIndex;
  /** By number; null: emptied, and the number is free. */
  #pages: (Page | null)[] = [];
  #freeNumbers: number[] = [];
  /** Numbers of pages that may have room. */
  #roomy: number[] = [];
  size = 0;
  /** How many entries have a flag of `DIRTY` or `MISSING`. */
  news = 0;
  #bytes = 0;
  /** How many iterations are under way. */
  #readers = 0;

  constructor(footprint: Footprint) {
    this.#footprint = footprint;
    this.#index = new SlotIndex(footprint);
  }

  /** The slot of the key, whose hash that is, or −1. */
  find(hash: number, key: string): number {
    if (this.size === 0) return NO_SLOT;
    const { cells } = this.#index.tableOf(hash);
    const mask = (cells.length >> 1) - 1;
    for (let i = hash & mask; ; i = (i + 1) & mask) {
      const named = cells[2 * i + 1]!;
      if (named === 0) return NO_SLOT;
      if (cells[2 * i] === hash && this.#isKey(named - 1, key)) return named - 1;
    }
  }

  /** Adds a key that is not there. */
  add(hash: number, key: string, number: number, flags: number): number {
    const slot = this.#allocate(packedLength(key));
    const page = this.#pages[slot >>> PAGE_BITS]!;
    const end = putKey(page.keys, page.keysEnd, key);
    this.#occupy(page, slot, { end, number, flags });
    this.#index.add(hash, slot);
    return slot;
  }

  /** Forgets the entry. Its slot is not given to another before `release`. */
  remove(slot: number): void {
    const page = this.#pages[slot >>> PAGE_BITS]!;
    const at = slot & SLOT_MASK;
    const from = page.places[at]!;
    const end = keyEnd(page.keys, from);
    const hash = hashOfBytes(page.keys, from);
    this.#index.remove(hash, slot);
    if (page.flags[at]! & NEWS) {
      page.news--;
      this.news--;
    }
    page.flags[at] = 0;
    page.keysLive -= end - from;
    page.live--;
    this.size--;
  }

  /** The slot of a removed entry may be another's. */
  release(slot: number): void {
    const number = slot >>> PAGE_BITS;
    const page = this.#pages[number]!;
    page.places[slot & SLOT_MASK] = page.firstFree;
    page.firstFree = slot & SLOT_MASK;
    page.free++;
    if (page.free === page.used) this.#dropPage(number);
    else this.#list(page, number);
  }

  numberAt(slot: number): number {
    return this.#pages[slot >>> PAGE_BITS]!.numbers[slot & SLOT_MASK]!;
  }

  setNumber(slot: number, number: number): void {
    this.#pages[slot >>> PAGE_BITS]!.numbers[slot & SLOT_MASK] = number;
  }

  /** 0 where the entry was removed. */
  flagsAt(slot: number): number {
    return this.#pages[slot >>> PAGE_BITS]!.flags[slot & SLOT_MASK]! & ~LIVE;
  }

  setFlags(slot: number, flags: number): void {
    const page = this.#pages[slot >>> PAGE_BITS]!;
    const at = slot & SLOT_MASK;
    const change = ((flags & NEWS) === 0 ? 0 : 1) - ((page.flags[at]! & NEWS) === 0 ? 0 : 1);
    page.flags[at] = flags | LIVE;
    page.news += change;
    this.news += change;
  }

  keyAt(slot: number): string {
    const { keys, places } = this.#pages[slot >>> PAGE_BITS]!;
    return keyAt(keys, places[slot & SLOT_MASK]!);
  }

  /** Pages by number, from 0 to below this; not all of them have entries. */
  get pages(): number {
    return this.#pages.length;
  }

  /** The first entry of the page, with any of `flags` if these are not 0; −1: there is none. */
  firstOf(number: number, flags = 0): number {
    return this.#seek(number, 0, flags);
  }

  /** The next entry in the page of `slot`, in the same way. */
  nextOf(slot: number, flags = 0): number {
    return this.#seek(slot >>> PAGE_BITS, (slot & SLOT_MASK) + 1, flags);
  }

  #seek(number: number, from: number, flags: number): number {
    const page = this.#pages[number];
    if (page === undefined || page === null || (flags === NEWS && page.news === 0)) return NO_SLOT;
    for (let at = from; at < page.used; at++) {
      const found = page.flags[at]!;
      if ((found & LIVE) !== 0 && (flags === 0 || (found & flags) !== 0)) return (number << PAGE_BITS) | at;
    }
    return NO_SLOT;
  }

  /**
   * The slots of the entries. The map may change meanwhile: an entry that is there from the beginning to the end comes up,
   * even if it was removed and added again in between, since until the end what is added is added behind.
   */
  *[Symbol.iterator](): IterableIterator<number> {
    this.#readers++;
    try {
      for (let number = 0; number < this.#pages.length; number++) {
        for (let slot = this.firstOf(number); slot !== NO_SLOT; slot = this.nextOf(slot)) yield slot;
      }
    } finally {
      this.#readers--;
    }
  }

  /**
   * Gives back the memory of a page that has few entries left, by moving these to others; not if any of them has one of the
   * flags `fixed`, or a slot of it is not released. Until then its free slots are taken by new entries, but would otherwise
   * be memory that eviction did not free.
   */
  thin(number: number, fixed: number): void {
    const page = this.#pages[number];
    if (page === undefined || page === null || page.live > PAGE_ENTRIES_MIN || this.#readers > 0) return;
    if (page.live + page.free !== page.used || this.#pages.length - this.#freeNumbers.length === 1) return;
    for (let at = 0; at < page.used; at++) {
      if ((page.flags[at]! & LIVE) !== 0 && (page.flags[at]! & fixed) !== 0) return;
    }
    // It is itself no place for its entries.
    page.isListed = true;
    this.#roomy = this.#roomy.filter(other => other !== number);
    for (let at = 0; at < page.used; at++)
      if ((page.flags[at]! & LIVE) !== 0) this.#move(page, (number << PAGE_BITS) | at);
    this.#dropPage(number);
  }

  clear(): void {
    this.#account(-this.#bytes);
    this.#pages = [];
    this.#freeNumbers = [];
    this.#roomy = [];
    this.#index.clear();
    this.size = this.news = 0;
  }

  #isKey(slot: number, key: string): boolean {
    const { keys, places } = this.#pages[slot >>> PAGE_BITS]!;
    return isKeyAt(keys, places[slot & SLOT_MASK]!, key);
  }

  #move(page: Page, slot: number): void {
    const at = slot & SLOT_MASK;
    const from = page.places[at]!;
    const end = keyEnd(page.keys, from);
    const target = this.#allocate(end - from);
    const other = this.#pages[target >>> PAGE_BITS]!;
    page.keys.copy(other.keys, other.keysEnd, from, end);
    const flags = page.flags[at]! & ~LIVE;
    this.#occupy(other, target, { end: other.keysEnd + end - from, number: page.numbers[at]!, flags });
    const hash = hashOfBytes(page.keys, from);
    this.#index.replace(hash, slot, target);
    // Counted twice by now.
    if (flags & NEWS) this.news--;
    this.size--;
  }

  /** A free slot, in a page with room for so many bytes of key behind `keysEnd`. */
  #allocate(keyLength: number): number {
    const number = this.#pageWithRoom();
    const page = this.#pages[number]!;
    const before = page.bytes;
    let at = page.firstFree;
    if (at !== NO_SLOT && this.#readers === 0) {
      page.firstFree = page.places[at]!;
      page.free--;
    } else {
      if (page.used === page.slots) page.resize(Math.min(PAGE_SLOTS, page.slots * 2));
      at = page.used++;
      // Until it is occupied nothing of it counts.
      page.flags[at] = 0;
    }
    if (page.keysEnd + keyLength > page.keys.length) page.makeRoom(keyLength);
    this.#account(page.bytes - before);
    return (number << PAGE_BITS) | at;
  }

  #pageWithRoom(): number {
    while (this.#readers === 0) {
      const number = this.#roomy.at(-1);
      if (number === undefined) break;
      const page = this.#pages[number]!;
      if (page.firstFree !== NO_SLOT || page.used < PAGE_SLOTS) return number;
      page.isListed = false;
      this.#roomy.pop();
    }
    if (this.#readers > 0) {
      const last = this.#pages.at(-1);
      if (last != null && last.used < PAGE_SLOTS) return this.#pages.length - 1;
    }
    const number = (this.#readers > 0 ? undefined : this.#freeNumbers.pop()) ?? this.#pages.length;
    const page = new Page(this.#pages.length === 0 ? FIRST_SLOTS : PAGE_SLOTS);
    this.#pages[number] = page;
    this.#account(page.bytes);
    this.#list(page, number);
    return number;
  }

  #list(page: Page, number: number): void {
    if (page.isListed) return;
    page.isListed = true;
    this.#roomy.push(number);
  }

  #dropPage(number: number): void {
    this.#account(-this.#pages[number]!.bytes);
    this.#pages[number] = null;
    this.#freeNumbers.push(number);
    this.#roomy = this.#roomy.filter(other => other !== number);
    if (this.#freeNumbers.length === this.#pages.length) this.clear();
  }

  #occupy(page: Page, slot: number, entry: { end: number; number: number; flags: number }): void {
    const at = slot & SLOT_MASK;
    page.places[at] = page.keysEnd;
    page.numbers[at] = entry.number;
    page.flags[at] = entry.flags | LIVE;
    page.keysLive += entry.end - page.keysEnd;
    page.keysEnd = entry.end;
    page.live++;
    this.size++;
    if (entry.flags & NEWS) {
      page.news++;
      this.news++;
    }
  }

  #account(bytes: number): void {
    this.#bytes += bytes;
    this.#footprint.bytes += bytes;
  }
}
