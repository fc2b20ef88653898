/**
 * The tally of one pipeline: a meter that only adds up, and is read now and then as plain data. Tasks and their metrics live
 * in different threads, and a message for each commit would cost more than the commit's own counting. Durations are kept one
 * by one, since a histogram cannot be added to in any other way; there are as many as commits.
 */
import type { Ends, Meter } from './meter.ts';

interface Amount {
  readonly name: string;
  records: number;
  bytes: number;
}

interface Commits {
  readonly stage: string;
  readonly partition: number;
  readonly tookMs: number[];
}

interface Deliveries {
  readonly stage: string;
  readonly tookMs: number[];
}

/** What has been counted since the last time, as structured clones. */
export interface Counted {
  readonly read: readonly Readonly<Amount>[];
  readonly sent: readonly Readonly<Amount>[];
  readonly committed: readonly Commits[];
  readonly delivered: readonly Deliveries[];
  readonly ended: Ends;
  readonly restarted: { readonly reader: number; readonly task: number };
}

export class Tally implements Meter {
  #read = new Map<string, Amount>();
  #sent = new Map<string, Amount>();
  /** By stage, then by partition. */
  #committed = new Map<string, Map<number, Commits>>();
  #delivered = new Map<string, Deliveries>();
  #ended = { late: 0, dead: 0, dropped: new Map<string, number>() };
  #restarted = { reader: 0, task: 0 };
  #isEmpty = true;

  read(source: string, more: { readonly records: number; readonly bytes: number }): void {
    this.#isEmpty = false;
    add(this.#read, source, more);
  }

  sent(sink: string, more: { readonly records: number; readonly bytes: number }): void {
    this.#isEmpty = false;
    add(this.#sent, sink, more);
  }

  committed({ stage, partition }: { readonly stage: string; readonly partition: number }, tookMs: number): void {
    this.#isEmpty = false;
    let tasks = this.#committed.get(stage);
    if (tasks === undefined) this.#committed.set(stage, (tasks = new Map()));
    let commits = tasks.get(partition);
    if (commits === undefined) tasks.set(partition, (commits = { stage, partition, tookMs: [] }));
    commits.tookMs.push(tookMs);
  }

  delivered(stage: string, tookMs: number): void {
    this.#isEmpty = false;
    let deliveries = this.#delivered.get(stage);
    if (deliveries === undefined) this.#delivered.set(stage, (deliveries = { stage, tookMs: [] }));
    deliveries.tookMs.push(tookMs);
  }

  ended({ late, dead, dropped }: Ends): void {
    this.#isEmpty = false;
    const ended = this.#ended;
    ended.late += late;
    ended.dead += dead;
    for (const [reason, count] of dropped) ended.dropped.set(reason, (ended.dropped.get(reason) ?? 0) + count);
  }

  restarted(part: 'reader' | 'task'): void {
    this.#isEmpty = false;
    this.#restarted[part]++;
  }

  /** All that came since the last time; null: nothing. */
  take(): Counted | null {
    if (this.#isEmpty) return null;
    const counted: Counted = {
      read: [...this.#read.values()],
      sent: [...this.#sent.values()],
      committed: [...this.#committed.values()].flatMap(tasks => [...tasks.values()]),
      delivered: [...this.#delivered.values()],
      ended: this.#ended,
      restarted: this.#restarted,
    };
    this.#read = new Map();
    this.#sent = new Map();
    this.#committed = new Map();
    this.#delivered = new Map();
    this.#ended = { late: 0, dead: 0, dropped: new Map() };
    this.#restarted = { reader: 0, task: 0 };
    this.#isEmpty = true;
    return counted;
  }
}

function add(sums: Map<string, Amount>, name: string, more: { readonly records: number; readonly bytes: number }) {
  let sum = sums.get(name);
  if (sum === undefined) sums.set(name, (sum = { name, records: 0, bytes: 0 }));
  sum.records += more.records;
  sum.bytes += more.bytes;
}

/** Tells a meter what a tally has counted. */
export function tellCounted(meter: Meter, counted: Counted): void {
  const { read, sent, committed, delivered, ended, restarted } = counted;
  for (const { name, ...more } of read) meter.read(name, more);
  for (const { name, ...more } of sent) meter.sent(name, more);
  for (const { tookMs, ...task } of committed) for (const ms of tookMs) meter.committed(task, ms);
  for (const { stage, tookMs } of delivered) for (const ms of tookMs) meter.delivered(stage, ms);
  if (ended.late > 0 || ended.dead > 0 || ended.dropped.size > 0) meter.ended(ended);
  for (const part of ['reader', 'task'] as const) for (let i = 0; i < restarted[part]; i++) meter.restarted(part);
}
