/**
 * The relay of one task: sends what its commits say, in order, each thing to its destination, and knows up to which
 * commit everything is out. Commits wait here from the moment their journal entry has landed; after a crash those that
 * the journal does not know to be relayed come again, and the destinations' tails sort out what is in already.
 */
import type { Clock } from '../base/clock.ts';
import { invariant, MillraceError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { bytesOf, LETTERS, type Outbox } from '../journal/outbox.ts';
import type { Tail, Tails } from '../journal/tails.ts';
import type { Meter } from '../observe/meter.ts';
import { distinctTraces, type Tracing } from '../observe/tracing.ts';
import type { Log } from '../port/log.ts';
import type { Deployment } from '../record/names.ts';
import { NextStages, type StageRoute } from './next-stages.ts';
import {
  itemOf,
  type Outlet,
  type OutletKind,
  type OutletKinds,
  type RowsItem,
  type Sender,
  type Way,
} from './outlet.ts';
import type { Past } from './past.ts';
import type { QueuedItem } from './queue.ts';

/** Where a commit's rows (`OutRows`) go. */
export interface SinkTarget {
  readonly sink: string;
  readonly kind: string;
  readonly target: string;
}

export interface RelayOptions {
  readonly deployment: Deployment;
  readonly stage: string;
  readonly partition: number;
  readonly routes: readonly StageRoute[];
  /** Where the plan that runs has its rows go, by sink, `LETTERS` among them. What waits may have to go elsewhere. */
  readonly targets: readonly SinkTarget[];
  readonly kinds: OutletKinds;
  readonly sender: Sender;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  /** What past commits recorded as last at each destination. */
  readonly tails: Tails;
  readonly relayedThrough: number;
  readonly past: Past;
  /** Something went out: there may be room again, and `relayedThrough` may have grown. */
  onProgress(): void;
  onFailed(error: unknown): void;
  readonly meter: Meter;
  /** Absent: nobody traces. */
  readonly tracing?: Tracing | undefined;
}

interface PendingCommit {
  readonly commit: number;
  readonly bytes: number;
  readonly watermarkMs: number;
  /** When its oldest source message was published, ms since 1970; Infinity: unknown, or nothing for a sink is in it. */
  readonly publishedMs: number;
  /** When it was given to be sent, ms since 1970. */
  readonly sinceMs: number;
  /** Items that are not out yet. */
  open: number;
}

/** The way of rows with one sink and target, and the outlet that serves it. */
interface Lane {
  readonly way: Way;
  readonly outlet: Outlet<RowsItem>;
}

export class Relay {
  #options: RelayOptions;
  #kinds = new Map<string, OutletKind>();
  /** By kind and key of the way: rows of two targets may go to one, as when a sink was renamed. */
  #outlets = new Map<string, Outlet<RowsItem>>();
  /** By target, then sink. */
  #lanes = new Map<string, Map<string, Lane>>();
  #stages: NextStages;
  #inherits: boolean;
  #pending: PendingCommit[] = [];
  #relayedThrough: number;
  #relayedWatermarkMs = Number.NEGATIVE_INFINITY;
  #changedTails = new Map<string, Tail>();
  #backlogBytes = 0;
  /** Rows for sinks that are not known to be out. Letters are none. */
  waitingRows = 0;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#relayedThrough = options.relayedThrough;
    this.#inherits = options.relayedThrough < options.past.inheritedTo;
    const { deployment, stage, partition, routes, log, clock, random, past, tails, onFailed } = options;
    const onSent = (key: string, item: QueuedItem, tail: Tail) => this.#sent(key, item, tail);
    const places = { deployment, stage, partition, routes };
    this.#stages = new NextStages({ ...places, log, clock, random, past, tails, onSent, onFailed });
  }

  /** Every commit up to this one is out whole. */
  get relayedThrough(): number {
    return this.#relayedThrough;
  }

  /** Bytes of commits that are not wholly out. */
  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  /** What is last at the destinations where that has changed since this was last asked; a commit carries it. */
  takeTails(): Tails {
    const tails = Object.fromEntries(this.#changedTails);
    // A cleared map would keep all that come after it, as `in-flight.ts` tells.
    this.#changedTails = new Map();
    return tails;
  }

  /**
   * The commit has landed in the journal: send it. Commits are given in order.
   * @param publishedMs when its oldest source message was published, ms since 1970; Infinity: unknown
   */
  send(commit: number, outbox: Outbox, watermarkMs: number, publishedMs = Number.POSITIVE_INFINITY): void {
    const hasResults = outbox.rows.some(rows => rows.sink !== LETTERS);
    const pending = {
      commit,
      bytes: bytesOf(outbox),
      watermarkMs,
      publishedMs: hasResults ? publishedMs : Number.POSITIVE_INFINITY,
      sinceMs: this.#options.clock.now(),
      open: 0,
    };
    this.#pending.push(pending);
    this.#backlogBytes += pending.bytes;
    const items: [Outlet<QueuedItem>, QueuedItem][] = [];
    this.#stages.add(commit, outbox.frames, items);
    for (const rows of outbox.rows) {
      if (rows.lengths.length === 0) continue;
      if (rows.sink !== LETTERS) this.waitingRows += rows.lengths.length;
      const { outlet, way } = this.#lane(rows);
      items.push([outlet as Outlet<QueuedItem>, itemOf(commit, rows, way)]);
    }
    pending.open = items.length;
    for (const [outlet, item] of items) outlet.push(item);
    this.#settle();
  }

  #sent(key: string, item: QueuedItem, tail: Tail | null): void {
    if (tail !== null) this.#changedTails.set(key, tail);
    const pending = this.#pendingOf(item.commit);
    invariant(pending !== undefined && pending.open > 0, `commit ${item.commit} is sent once`);
    pending.open--;
    this.#settle();
  }

  /** Tells of results that are in, if any of them is traced. */
  #trace({ commit, rows, way }: RowsItem): void {
    const { tracing, deployment, stage, partition, clock } = this.#options;
    const { pipeline } = deployment;
    if (tracing === undefined || rows.traces === undefined) return;
    tracing.sent({
      pipeline,
      stage,
      partition,
      commit,
      startMs: this.#pendingOf(commit)?.sinceMs ?? clock.now(),
      endMs: clock.now(),
      traces: distinctTraces(rows.traces),
      records: rows.lengths.length,
      destination: way.destination,
    });
  }

  /** Commits wait in order: what is sent is mostly the first. */
  #pendingOf(commit: number): PendingCommit | undefined {
    return this.#pending.find(pending => pending.commit === commit);
  }

  #settle(): void {
    let moved = false;
    while (this.#pending.length > 0 && this.#pending[0]!.open === 0) {
      const done = this.#pending.shift()!;
      this.#backlogBytes -= done.bytes;
      this.#relayedThrough = done.commit;
      this.#relayedWatermarkMs = done.watermarkMs;
      if (done.publishedMs !== Number.POSITIVE_INFINITY) {
        const { clock, meter, stage } = this.#options;
        meter.delivered(stage, Math.max(0, clock.now() - done.publishedMs));
      }
      moved = true;
    }
    if (!moved) return;
    if (this.#inherits && this.#relayedThrough >= this.#options.past.inheritedTo) this.#closeOld();
    this.#options.onProgress();
  }

  /** All that former owners left is out: the ways that only their commits took are closed. */
  #closeOld(): void {
    this.#inherits = false;
    const current = new Set(this.#options.targets.map(to => this.#lane(to).outlet));
    for (const [key, outlet] of this.#outlets) {
      if (current.has(outlet) || outlet.backlogBytes > 0) continue;
      outlet.stop();
      this.#outlets.delete(key);
    }
    for (const [target, lanes] of this.#lanes) {
      for (const [sink, { outlet }] of lanes) if (!current.has(outlet)) lanes.delete(sink);
      if (lanes.size === 0) this.#lanes.delete(target);
    }
  }

  /**
   * Judges what is last at every destination by the journal, once. It must be done before this owner's first commit: the
   * next one would take that commit's number for one that a tail may speak of, which the journal had lost.
   */
  async open(): Promise<void> {
    const outlets = this.#options.targets.map(to => this.#lane(to).outlet);
    await Promise.all([...outlets.map(outlet => outlet.open()), this.#stages.open()]);
  }

  #lane({ sink, kind, target }: SinkTarget): Lane {
    // The name of a kind has no space.
    const to = `${kind} ${target}`;
    let lanes = this.#lanes.get(to);
    if (lanes === undefined) this.#lanes.set(to, (lanes = new Map()));
    let lane = lanes.get(sink);
    if (lane === undefined) {
      const way = this.#kind(kind).way({ sink, target });
      lanes.set(sink, (lane = { way, outlet: this.#outlet(`${kind} ${way.key}`, way) }));
    }
    return lane;
  }

  #kind(name: string): OutletKind {
    let kind = this.#kinds.get(name);
    if (kind === undefined) {
      const { kinds, deployment, stage, partition, sender } = this.#options;
      const make = kinds[name];
      if (make === undefined) {
        const text = `a commit has results for a sink of kind '${name}', which this version does not know: run the version that wrote it`;
        throw new MillraceError('JOURNAL_CORRUPT', text);
      }
      this.#kinds.set(name, (kind = make({ deployment, stage, partition, sender })));
    }
    return kind;
  }

  #outlet(key: string, way: Way): Outlet<RowsItem> {
    const existing = this.#outlets.get(key);
    if (existing !== undefined) return existing;
    const { past, tails, meter, onFailed } = this.#options;
    const outlet = way.outlet({
      past,
      remembered: tails[key] ?? null,
      onSent: (item, tail) => {
        const { sink, bytes, lengths } = item.rows;
        const records = lengths.length;
        if (sink !== LETTERS) {
          this.waitingRows -= records;
          meter.sent(sink, { records, bytes: bytes.length });
        }
        this.#trace(item);
        this.#sent(key, item, tail);
      },
      onFailed,
    });
    this.#outlets.set(key, outlet);
    return outlet;
  }

  /** Tells the next stages how far event time is here (`NextStages.tell`). */
  tell({ clockMs, isSilent }: { clockMs: number; isSilent: boolean }): Promise<void> {
    const [relayedThrough, watermarkMs] = [this.#relayedThrough, this.#relayedWatermarkMs];
    return this.#stages.tell({ relayedThrough, watermarkMs, clockMs, isSilent });
  }

  stop(): void {
    for (const outlet of this.#outlets.values()) outlet.stop();
    this.#stages.stop();
  }
}
