/**
 * The outlet: one way out of a task to one destination. This is all that the relay knows of destinations; what a sink's
 * kind is, and how rows get there exactly once, is its outlet's (`nats/`, `file/`).
 *
 * What an outlet owes, whatever it writes to (`test/contract/outlet.ts` asks it of each):
 * - Rows go out in the order in which they are pushed, each once: across tries without an answer, owners that were fenced
 *   and restarts, which push again whatever the journal does not know to be sent.
 * - It sends nothing before it has read what is last at the destination and judged it by the past (`past.ts`).
 * - `onSent` is called for an item when all of it is durable, in order.
 */
import type { OutRows } from '../journal/outbox.ts';
import type { Tail } from '../journal/tails.ts';
import type { Deployment } from '../record/names.ts';
import type { Past } from './past.ts';
import type { QueuedItem } from './queue.ts';

export interface Outlet<T extends QueuedItem> {
  push(item: T): void;
  /**
   * Reads the destination's tail and judges it by the past, whether anything waits or not. What former owners have left is
   * pushed before. Throws, or `onFailed` is told.
   */
  open(): Promise<void>;
  /** Bytes of what is not in yet. */
  readonly backlogBytes: number;
  /** Nothing is begun any more; what is under way may land. */
  stop(): void;
}

/** A commit's rows for one sink as they wait to be sent. */
export interface RowsItem extends QueuedItem {
  readonly rows: OutRows;
  /** The way they take; an outlet may serve several. */
  readonly way: Way;
  /** Where each row begins in `rows.bytes`, and where the last one ends. */
  readonly starts: readonly number[];
}

/** The way of rows with one sink and target. */
export interface Way {
  /** The destination's key, among those of its kind: ways of one key share an outlet, and a tail is remembered by it. */
  readonly key: string;
  /** Where it leads, for people. */
  readonly destination: string;
  outlet(options: OutletOptions): Outlet<RowsItem>;
}

/** What an outlet is told. */
export interface OutletOptions {
  readonly past: Past;
  /** The last that `onSent` told and a commit has kept, perhaps by a former owner; null: nothing. */
  readonly remembered: Tail | null;
  /** An item is in, whole. `tail`: what is last at the destination, for the next owner; null: nothing to remember. */
  onSent(item: RowsItem, tail: Tail | null): void;
  onFailed(error: unknown): void;
}

/** The outlets of one kind, of one task. */
export interface OutletKind {
  /** @param target as a commit says it (`OutRows`) */
  way(to: { readonly sink: string; readonly target: string }): Way;
}

/** What identifies the sender of rows. */
export interface Sender {
  /** `<pipeline>/<stage>/<partition>` */
  readonly task: string;
  /** The pipeline's life (`names.ts`). */
  readonly life: string;
  /** Stream names by source index, for origins. */
  readonly sourceStreams: readonly string[];
}

/** Whose rows go out. */
export interface SendingTask {
  readonly deployment: Deployment;
  readonly stage: string;
  readonly partition: number;
  readonly sender: Sender;
}

/** By the name of the kind: how it is made for a task. */
export type OutletKinds = Readonly<Record<string, (task: SendingTask) => OutletKind>>;

export function itemOf(commit: number, rows: OutRows, way: Way): RowsItem {
  const starts = startsOf(rows);
  const rowTo = rows.lengths.length;
  return { commit, rowFrom: 0, rowTo, bytes: rows.bytes.length + 64 * rowTo, rows, starts, way };
}

export function startsOf({ lengths, areLines }: OutRows): number[] {
  const gap = areLines ? 1 : 0;
  const starts = new Array<number>(lengths.length + 1);
  let at = 0;
  for (let i = 0; i < lengths.length; i++) {
    starts[i] = at;
    at += lengths[i]! + gap;
  }
  starts[lengths.length] = at;
  return starts;
}
