/**
 * A bucket: the entries of one table and bucket number that are in memory, and what is still to be told about them, to
 * the journal (since the last *cut*) and to the store (since the last *checkpoint*).
 *
 * Invariants:
 * - **A** `onDisk` is exactly the number of entries that are in the store and not in memory. 0: what is not in `entries`
 *   does not exist, and no access needs to know more. Over 0 the bucket is *partial*.
 * - **B** An entry that the journal or the store does not have yet is in memory: only clean entries are evicted.
 * - **C** What a batch has wanted stays in memory, or known to be absent, until the batch ends: `PINNED`, `absent`.
 *   (An entry found in memory and then evicted while the others were being read once came out twice.)
 */

/** Changed since the last cut; the entry is in its bucket's `changed`. Cleared when it is deleted. */
export const CHANGED = 1;
/** It, or an earlier one of its key, was there at the last cut: its deletion must be told. */
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

/** One entry. There are millions: few fields. */
export class Entry {
  /** The value, or the items of a list. */
  content: unknown;
  flags = 0;

  constructor(content: unknown) {
    this.content = content;
  }
}

/** Deletions that the store has not been told of, and those it is being told of. */
export const UNTOLD = 0;
export const TELLING = 1;

export class Bucket<E extends Entry = Entry> {
  readonly id: number;
  entries = new Map<string, E>();
  onDisk = 0;
  /** Key lengths and units (values, or items of lists) of `entries`, for the estimate of memory. */
  chars = 0;
  units = 0;

  // Since the last cut. `changed` and `changedKeys` run in parallel; deleted entries stay there without CHANGED.
  isChanged = false;
  changed: E[] = [];
  changedKeys: string[] = [];
  removed: Set<string> | null = null;
  isDropped = false;
  /** It had entries at the last cut. */
  wasKnown = false;

  // Since the last checkpoint. A key in `dirtyKeys` may be there twice, or no longer dirty.
  isDirty = false;
  dirtyKeys: string[] = [];
  unstored: Map<string, typeof UNTOLD | typeof TELLING> | null = null;
  isCleared = false;
  /** Snapshot or store may have entries of it, as of `STORED`. */
  isStored = false;
  /** The store has a count of it. */
  isCounted = false;

  // Of the batch in hand.
  isPinned = false;
  /** Keys that do not exist, as far as this batch is concerned. */
  absent: Set<string> | null = null;
  /** Keys that are being read. */
  asked: Set<string> | null = null;

  constructor(id: number) {
    this.id = id;
  }

  get isEmpty(): boolean {
    return this.entries.size === 0 && this.onDisk === 0;
  }

  /** Whether the store must hear of it at the next checkpoint, or is hearing of its deletions. */
  get hasNews(): boolean {
    return this.dirtyKeys.length > 0 || this.unstored !== null || this.isCleared;
  }
}

/** What the batch in hand has touched, to be let go at its end. One per task, shared by its tables. */
export interface BatchNotes {
  pinned: Entry[];
  /** Buckets with `isPinned`, `absent` or `asked` set; may be there twice. */
  touched: Bucket[];
  /** Keys and buckets that were wanted and are not read yet. */
  unread: number;
}
