/**
 * Timers in event time, one due time per id, fired in the order of time when the watermark reaches them.
 *
 * State: a table of due times, key = id, bucket (*slot*) = ⌊due / slotMs⌋. It stays in memory whole, since a timer
 * may be set for any moment. A queue holds the timers of the slots that the watermark has reached; it is derived, and
 * loaded a slot at a time.
 *
 * The owner knows what is armed: setting an id again leaves the former entry behind if it is in another slot, so the
 * owner clears it first or ignores it when it fires.
 */
import type { Tables, ValueTable } from '../state/tables.ts';
import { DUE_MAX, type Due, DueQueue } from './due.ts';
import { LOOK_ENTRIES_MAX } from './operator.ts';

export class Timers {
  #table: ValueTable<number>;
  #slotMs: number;
  #queue = new DueQueue();
  /** Timers of the slots before this one are in the queue. */
  #queuedTo = Number.NEGATIVE_INFINITY;
  /** While firing: timers set for a moment that has passed; they wait until all that was due has fired. */
  #waiting: Due[] | null = null;
  #firingTo = Number.NEGATIVE_INFINITY;

  constructor(options: { tables: Tables; slotMs: number }) {
    this.#table = options.tables.numbers('timers');
    this.#slotMs = options.slotMs;
  }

  set(id: string, dueMs: number): void {
    const slot = Math.floor(dueMs / this.#slotMs);
    this.#table.set(slot, id, dueMs);
    const due = { timeMs: dueMs, bucket: slot, key: id, index: 0 };
    if (this.#waiting !== null && dueMs <= this.#firingTo) this.#waiting.push(due);
    else if (slot < this.#queuedTo) this.#queue.push(due);
  }

  /** @param dueMs what it was set to */
  clear(id: string, dueMs: number): void {
    const slot = Math.floor(dueMs / this.#slotMs);
    if (this.#table.get(slot, id) === dueMs) this.#table.delete(slot, id);
  }

  /**
   * Fires, once each, what is due at `watermarkMs`, until `full` says stop or DUE_MAX have left the queue: then false, and
   * the next call goes on. A timer that `fire` sets for the past waits until all others have fired, and then for the next call.
   */
  fire(watermarkMs: number, options: { fire(id: string, dueMs: number): void; full(): boolean }): boolean {
    this.#load(watermarkMs);
    this.#waiting ??= [];
    this.#firingTo = watermarkMs;
    let left = DUE_MAX;
    for (let due = this.#queue.peek(); due !== undefined && due.timeMs <= watermarkMs; due = this.#queue.peek()) {
      if (left-- === 0 || options.full()) return false;
      this.#queue.pop();
      if (this.#table.get(due.bucket, due.key) !== due.timeMs) continue;
      this.#table.delete(due.bucket, due.key);
      options.fire(due.key, due.timeMs);
    }
    const waiting = this.#waiting;
    this.#waiting = null;
    for (const due of waiting) this.#queue.push(due);
    return true;
  }

  /** Visits the ids that the next `fire` would fire, some perhaps in vain. */
  forEachDue(watermarkMs: number, visit: (id: string) => void): void {
    this.#load(watermarkMs);
    this.#queue.forEachUpTo(watermarkMs, due => visit(due.key));
  }

  get size(): number {
    return this.#table.size;
  }

  /** When the first is due, ms, or a little earlier where very many are near each other; null: none is set. */
  firstMs(): number | null {
    const { first } = this.#table;
    if (first === null) return null;
    let leastMs = Number.POSITIVE_INFINITY;
    let looked = 0;
    for (const [, dueMs] of this.#table.entries(first)) {
      if (++looked > LOOK_ENTRIES_MAX) return first * this.#slotMs;
      if (dueMs < leastMs) leastMs = dueMs;
    }
    return leastMs;
  }

  #load(watermarkMs: number): void {
    const reached = Math.floor(watermarkMs / this.#slotMs) + 1;
    if (!(reached > this.#queuedTo)) return;
    for (const slot of this.#table.bucketsBelow(reached)) {
      if (slot < this.#queuedTo) continue;
      const members: Due[] = [];
      for (const [id, dueMs] of this.#table.entries(slot)) {
        members.push({ timeMs: dueMs, bucket: slot, key: id, index: 0 });
      }
      this.#queue.load(members);
    }
    this.#queuedTo = reached;
  }
}
