/**
 * A bucket: the entries of one table and bucket number that are in memory, and what is still to be told about them, to
 * the journal (since the last *delta*) and to the store (since the last *checkpoint*). How the entries themselves are
 * kept is the kind of table's own: as objects (`entry-table.ts`) or packed into bytes (`number-table.ts`).
 *
 * Invariants:
 * - *counted on disk*: `onDisk` is exactly the number of entries that are in the store and not in memory. 0: what is
 *   not in memory does not exist, and no access needs to know more. Over 0 the bucket is *partial*.
 * - *only clean entries leave*: one that the journal or the store does not have yet is in memory.
 * - *held for the batch*: what a batch has wanted stays in memory, or known to be absent, until the batch ends: `PINNED`,
 *   `absent`. Evicted while the others are being read, an entry that was found in memory would come out twice.
 *
 * An entry's flags say who has it as it is now:
 *
 * | flags                  | journal   | snapshot | store    |
 * |------------------------|-----------|----------|----------|
 * | CHANGED                | no        | no       | no       |
 * | CHANGED, KNOWN         | older one | no       | no       |
 * | KNOWN, DIRTY           | yes       | no       | no       |
 * | KNOWN, DIRTY, STORED   | yes       | older, or none      |
 * | KNOWN, STORED, MISSING | yes       | yes      | no       |
 * | KNOWN, STORED          | yes       | yes      | yes      |
 *
 * The last one is *clean*. CHANGED may join any of them: then the journal, too, has the older one, until the batch's
 * delta is taken. An entry that comes back before its deletion was told is KNOWN or STORED as it was. PINNED and
 * USED say nothing of the entry, only who wants it.
 */

/** Changed since the last delta; the entry is in its bucket's list of changes. Cleared when it is deleted. */
export const CHANGED = 1;
/** It, or an earlier one of its key, was there at the last delta: its deletion must be told. */
export const KNOWN = 2;
/** Changed since the last checkpoint: store and snapshot must hear of it. */
export const DIRTY = 4;
/** Snapshot or store may have the key: its deletion must be told. With neither DIRTY nor MISSING both have it as it is. */
export const STORED = 8;
/** The batch in hand has wanted it. */
export const PINNED = 16;
/** A batch has wanted it since eviction last came by. */
export const USED = 32;
/** It came from a snapshot and the store has not been told yet. */
export const MISSING = 64;

/** Deletions that the store has not been told of, and those it is being told of. */
export const UNTOLD = 0;
export const TELLING = 1;

/** Tells the store of an entry that it must have. `isNews`: the snapshot does not have it either. */
export type TellStore = (key: string, content: unknown, isNews: boolean) => void;

export abstract class Bucket {
  readonly id: number;
  onDisk = 0;

  // For the journal, since the last delta.
  isChanged = false;
  removed: Set<string> | null = null;
  isDropped = false;
  /** It had entries at the last delta. */
  wasKnown = false;

  // For snapshot and store, since the last checkpoint.
  isDirty = false;
  unstored: Map<string, typeof UNTOLD | typeof TELLING> | null = null;
  isCleared = false;
  /** Snapshot or store may have entries of it, as of `STORED`. */
  isStored = false;
  /** The store has a count of it. */
  isCounted = false;

  // For the batch in hand.
  isPinned = false;
  /** Keys that do not exist, as far as this batch is concerned. */
  absent: Set<string> | null = null;
  /** Keys that are being read. */
  asked: Set<string> | null = null;

  constructor(id: number) {
    this.id = id;
  }

  /** How many entries are in memory. */
  abstract readonly size: number;
  /** About how many of them the store must hear of, no less. */
  abstract readonly dirty: number;
  /** What is in memory under the key; undefined: nothing. */
  abstract contentOf(key: string): unknown;
  /** The keys in memory. What is there all the while comes up though the bucket changes meanwhile, perhaps twice. */
  abstract keys(): IterableIterator<string>;
  /** Pins the entry. False: it is not in memory. */
  abstract pin(key: string): boolean;
  /** The batch is over. */
  abstract unpin(): void;
  /** Whether entries of it are pinned. */
  abstract readonly hasPinned: boolean;
  /** Tells of up to `entriesMax` entries, which from then on are clean. */
  abstract takeDirty(entriesMax: number, tell: TellStore): void;

  get isEmpty(): boolean {
    return this.size === 0 && this.onDisk === 0;
  }

  /** Whether the store must hear of it at the next checkpoint, or is hearing of its deletions. */
  get hasNews(): boolean {
    return this.dirty > 0 || this.unstored !== null || this.isCleared;
  }

  /** Whether the batch in hand has left anything here that must go when it ends. */
  get isTouched(): boolean {
    return this.isPinned || this.hasPinned || this.absent !== null || this.asked !== null;
  }

  /** The batch is over: lets go of what it had wanted. */
  letGo(): void {
    this.isPinned = false;
    this.absent = null;
    this.asked = null;
    this.unpin();
  }
}

/** What the batch in hand has touched, to be let go at its end. One per task, shared by its tables. */
export interface BatchNotes {
  /** Buckets that are `isTouched`; may be there twice. */
  touched: Bucket[];
  /** Keys and buckets that were wanted and are not read yet. */
  unread: number;
}
