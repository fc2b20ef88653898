/**
 * One side of a stream-stream join: its records that may still be matched, and which of them have matched nothing and
 * fall due. Left and right differ in the numbers they are made with and in nothing else.
 *
 * State: a list table, key = the join's key, bucket = ⌊time / width⌋, items in the order of arrival. The width is the
 * length of the join's interval, so that what a record can match lies in at most two buckets.
 *
 * `forwardMs`: how much later than a record of this side the latest match of the other may be. Once the horizon
 * (W − grace) is beyond time + forward, strictly, no record that is still accepted can match it: in that one moment it
 * is fired if it never matched, and may be dropped.
 *
 * A record that has fired is not marked as such. It is recognised by its time, which is before `firedBelowMs`: a mark
 * would be journaled, and the time says the same. Only where a batch ends before all that is due has fired, what has is
 * marked as if it had matched: the time that the journal knows does not say it yet.
 */
import type { ListTable, Tables, Wants } from '../state/tables.ts';
import { NO_WATERMARK } from '../window/watermark.ts';
import { type Due, DueQueue } from './due.ts';
import { LOOK_ENTRIES_MAX } from './operator.ts';
import { firstAfter, firstFrom, TimeIndexes } from './time-index.ts';

/** Time, value, and whether it has matched anything (kept up only where somebody asks). */
export interface Item {
  readonly t: number;
  readonly v: unknown;
  readonly m: 0 | 1;
}

/** Larger lists are given back to the heap after use. */
const FOUND_KEPT_MAX = 1_024;

/** Records of a side that lie in a range of time, and what came of each: parallel lists, reused from record to record. */
export class Found {
  count = 0;
  items: (Item | null)[] = [];
  buckets: number[] = [];
  indexes: number[] = [];
  rows: unknown[] = [];

  push(item: Item, bucket: number, index: number): void {
    const at = this.count++;
    this.items[at] = item;
    this.buckets[at] = bucket;
    this.indexes[at] = index;
  }

  /** Forgets records and rows, and keeps the room for them: a list that is cut to no length loses it. */
  clear(): void {
    if (this.count > FOUND_KEPT_MAX) {
      this.items = [];
      this.buckets = [];
      this.indexes = [];
      this.rows = [];
    } else {
      for (let i = 0; i < this.count; i++) {
        this.items[i] = null;
        this.rows[i] = null;
      }
    }
    this.count = 0;
  }
}

export interface JoinSideOptions {
  readonly tables: Tables;
  readonly name: 'left' | 'right';
  readonly widthMs: number;
  readonly forwardMs: number;
  /** Whether records know that they have matched. */
  readonly marks: boolean;
  /** Whether a record that never matched is fired. */
  readonly fires: boolean;
  /** Whether a record is looked for only until its first match. */
  readonly once: boolean;
}

export class JoinSide {
  readonly forwardMs: number;
  readonly marks: boolean;
  readonly fires: boolean;
  readonly once: boolean;
  #items: ListTable<Item>;
  #widthMs: number;
  #indexes: TimeIndexes<Item>;
  #due = new DueQueue();
  /** Fired in the batch in hand. */
  #fired: Due[] = [];
  /** Unmatched records of the buckets before this one are in `#due`. */
  #queuedTo = Number.NEGATIVE_INFINITY;
  #firedBelowMs = NO_WATERMARK;
  /** The same as of the last watermark that has fired whole, which is the one that the journal knows. */
  #settledBelowMs = NO_WATERMARK;

  constructor(options: JoinSideOptions) {
    this.forwardMs = options.forwardMs;
    this.marks = options.marks;
    this.fires = options.fires;
    this.once = options.once;
    this.#items = options.tables.lists<Item>(options.name);
    this.#widthMs = options.widthMs;
    this.#indexes = new TimeIndexes<Item>(options.once ? item => item.m === 1 : null);
  }

  add(key: string, item: Item): void {
    const bucket = this.#bucketOf(item.t);
    if (this.fires && item.m === 0 && (bucket < this.#queuedTo || item.t < this.#firedBelowMs)) {
      const index = this.#items.get(bucket, key)?.length ?? 0;
      this.#due.push({ timeMs: item.t, bucket, key, index });
    }
    this.#items.append(bucket, key, item);
  }

  /** Adds to `found` the records of `key` with fromMs ≤ time ≤ toMs; of a `once` side, those that have not matched. */
  find(key: string, range: { fromMs: number; toMs: number }, found: Found): void {
    const { fromMs, toMs } = range;
    const last = this.#bucketOf(toMs);
    for (let bucket = this.#bucketOf(fromMs); bucket <= last; bucket++) {
      const list = this.#items.get(bucket, key);
      if (list === undefined) continue;
      const sorted = this.#indexes.sortedOf(bucket, key, list);
      if (sorted === null) {
        for (let i = 0; i < list.length; i++) {
          const item = list[i]!;
          if (item.t >= fromMs && item.t <= toMs && !(this.once && item.m === 1)) found.push(item, bucket, i);
        }
      } else {
        const end = firstAfter(list, sorted, toMs);
        for (let i = firstFrom(list, sorted, fromMs); i < end; i++) found.push(list[sorted[i]!]!, bucket, sorted[i]!);
      }
    }
  }

  /** Whether `key` has any record with fromMs ≤ time ≤ toMs. */
  has(key: string, range: { fromMs: number; toMs: number }): boolean {
    const { fromMs, toMs } = range;
    const last = this.#bucketOf(toMs);
    for (let bucket = this.#bucketOf(fromMs); bucket <= last; bucket++) {
      const list = this.#items.get(bucket, key);
      if (list === undefined) continue;
      const sorted = this.#indexes.sortedOf(bucket, key, list);
      if (sorted === null) {
        for (const item of list) if (item.t >= fromMs && item.t <= toMs) return true;
      } else {
        const at = firstFrom(list, sorted, fromMs);
        if (at < sorted.length && list[sorted[at]!]!.t <= toMs) return true;
      }
    }
    return false;
  }

  /** Marks what `find(key, range, found)` found, and nothing has changed since. */
  markMatched(key: string, range: { fromMs: number; toMs: number }, found: Found): void {
    const { items, buckets, indexes, count } = found;
    for (let i = 0; i < count; i++) {
      const item = items[i]!;
      if (item.m === 0) this.#items.replace(buckets[i]!, key, indexes[i]!, { t: item.t, v: item.v, m: 1 });
    }
    if (this.once && count > 0) this.#forgetRange(key, range);
  }

  /** On a hot key, what has matched once is never passed over again. */
  #forgetRange(key: string, range: { fromMs: number; toMs: number }): void {
    const last = this.#bucketOf(range.toMs);
    for (let bucket = this.#bucketOf(range.fromMs); bucket <= last; bucket++) {
      const list = this.#items.get(bucket, key);
      const sorted = list === undefined ? null : this.#indexes.sortedOf(bucket, key, list);
      if (list === undefined || sorted === null) continue;
      const start = firstFrom(list, sorted, range.fromMs);
      sorted.splice(start, firstAfter(list, sorted, range.toMs) - start);
    }
  }

  /** The watermark, less grace, is now `horizonMs`: queues what the buckets that begin to fall due hold. */
  queueDue(horizonMs: number): void {
    const belowMs = horizonMs - this.forwardMs;
    if (this.fires) {
      for (const bucket of this.#bucketsToQueue(belowMs)) this.#due.load(this.#unmatchedOf(bucket));
      const reached = Math.ceil(belowMs / this.#widthMs);
      if (reached > this.#queuedTo) this.#queuedTo = reached;
    }
    this.#firedBelowMs = belowMs;
  }

  /** Those that have not been fired: none was, unless the bucket is loaded after a restart. */
  #unmatchedOf(bucket: number): Due[] {
    const members: Due[] = [];
    for (const [key, list] of this.#items.entries(bucket)) {
      for (let index = 0; index < list.length; index++) {
        const item = list[index]!;
        if (item.m === 0 && item.t >= this.#firedBelowMs) members.push({ timeMs: item.t, bucket, key, index });
      }
    }
    return members;
  }

  #bucketsToQueue(belowMs: number): readonly number[] {
    const reached = Math.ceil(belowMs / this.#widthMs);
    if (reached <= this.#queuedTo) return [];
    return this.#items.bucketsBelow(reached).filter(bucket => bucket >= this.#queuedTo);
  }

  /** The next record that is due; it may have matched. */
  peekDue(): Due | undefined {
    const due = this.#due.peek();
    return due !== undefined && due.timeMs < this.#firedBelowMs ? due : undefined;
  }

  /**
   * The next of those that came when their time to fire had passed. They must fire in the batch that brought them, full or
   * not, since whoever restores would take them for fired. They are the first in time, and no more than the batch's records.
   */
  peekOverdue(): Due | undefined {
    const due = this.peekDue();
    return due !== undefined && due.timeMs < this.#settledBelowMs ? due : undefined;
  }

  /** Takes the record that `peekDue` shows; undefined if it has matched. */
  takeDue(): Item | undefined {
    const due = this.#due.pop()!;
    const item = this.#items.get(due.bucket, due.key)?.[due.index];
    if (item === undefined || item.m === 1) return undefined;
    this.#fired.push(due);
    return item;
  }

  /** See `Operator.hold`. What has fired and is in no bucket any more needs no mark. */
  markFired(): void {
    for (const { bucket, key, index } of this.#fired) {
      const item = this.#items.get(bucket, key)?.[index];
      if (item !== undefined) this.#items.replace(bucket, key, index, { t: item.t, v: item.v, m: 1 });
    }
    this.#fired = [];
  }

  /** What fired in the batch before is marked, or need not be. */
  forgetFired(): void {
    if (this.#fired.length > 0) this.#fired = [];
  }

  /** All that is due has fired. Drops the buckets whose every record is past its last possible match. */
  dropUseless(): void {
    this.#settledBelowMs = this.#firedBelowMs;
    for (const bucket of this.#items.bucketsBelow(Math.floor(this.#firedBelowMs / this.#widthMs))) {
      this.#items.drop(bucket);
      this.#indexes.drop(bucket);
    }
  }

  /** After a restart: buckets are queued again when the watermark next moves. */
  resume(horizonMs: number): void {
    this.#firedBelowMs = this.#settledBelowMs = horizonMs - this.forwardMs;
  }

  /**
   * The records that wait: of a side that fires, those that have not matched. In the order of buckets, until so many were
   * looked at.
   */
  look(): { readonly held: number; readonly more: boolean; readonly nextMs: number | null } {
    let held = 0;
    let looked = 0;
    let leastMs = Number.POSITIVE_INFINITY;
    for (const bucket of this.#items.bucketsBelow(Number.POSITIVE_INFINITY)) {
      const onDisk = this.#items.isPartial(bucket);
      for (const [, list] of onDisk ? [] : this.#items.entries(bucket)) {
        for (const item of list) {
          if (this.fires && (item.m === 1 || item.t < this.#firedBelowMs)) continue;
          held++;
          if (item.t < leastMs) leastMs = item.t;
        }
        looked += list.length;
        if (looked > LOOK_ENTRIES_MAX) break;
      }
      if (onDisk || looked > LOOK_ENTRIES_MAX) {
        const beginMs = Math.max(bucket * this.#widthMs, this.fires ? this.#firedBelowMs : NO_WATERMARK);
        return { held, more: true, nextMs: Math.min(leastMs, beginMs) + this.forwardMs };
      }
    }
    return { held, more: false, nextMs: held === 0 ? null : leastMs + this.forwardMs };
  }

  wantAt(wants: Wants, key: string, timeMs: number): void {
    wants.key(this.#items, this.#bucketOf(timeMs), key);
  }

  wantRange(wants: Wants, key: string, range: { fromMs: number; toMs: number }): void {
    const last = this.#bucketOf(range.toMs);
    for (let bucket = this.#bucketOf(range.fromMs); bucket <= last; bucket++) wants.key(this.#items, bucket, key);
  }

  wantDue(wants: Wants, horizonMs: number): void {
    if (!this.fires) return;
    const belowMs = horizonMs - this.forwardMs;
    for (const bucket of this.#bucketsToQueue(belowMs)) wants.bucket(this.#items, bucket);
    this.#due.forEachUpTo(belowMs, due => wants.key(this.#items, due.bucket, due.key));
  }

  #bucketOf(timeMs: number): number {
    return Math.floor(timeMs / this.#widthMs);
  }
}
