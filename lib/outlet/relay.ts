/**
 * The relay of one task: sends what its commits say, in order, each thing to its destination, and knows up to which
 * commit everything is out. Commits wait here from the moment their journal entry has landed; after a crash those that
 * the journal does not know to be relayed come again, and the destinations' tails sort out what is in already.
 */
import type { Clock } from '../base/clock.ts';
import { invariant } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { decodeBroadcast, encodeBroadcast } from '../channel/frame.ts';
import { Words } from '../channel/words.ts';
import { bytesOf, type FrameRoute, LETTERS, type Outbox } from '../journal/outbox.ts';
import type { Meter } from '../observe/meter.ts';
import { distinctTraces, type Tracing } from '../observe/tracing.ts';
import type { Log } from '../port/log.ts';
import {
  broadcastSubject,
  channelSubject,
  channelsStream,
  type Deployment,
  letterMarkerSubject,
  markerSubject,
  taskWriter,
} from '../record/names.ts';
import { trailing } from '../window/watermark.ts';
import { ChainOutlet, type FrameItem, frameForm, type Outlet, rowsForm } from './chain-outlet.ts';
import { type Destination, destinationFrom } from './destination.ts';
import { LooseOutlet } from './loose-outlet.ts';
import { checkCommit, type Past } from './past.ts';
import type { Outgoing } from './queue.ts';
import { itemOf, type RowsItem, type Sender, Style } from './rows-item.ts';
import type { SharedStream } from './shared-outlet.ts';

const HEADROOM_BYTES = 4096;
/** Between two words of a stage to which nobody has spoken. */
const SILENCE_MS = 1_000;

/** A stage that this task sends frames to. */
export interface RelayRoute extends FrameRoute {
  readonly partitions: number;
  /** How far event times that leave here may trail the task's watermark. */
  readonly lagMs: number;
}

/** Of a commit's rows (`OutRows`). */
export interface SinkTarget {
  readonly sink: string;
  readonly target: string;
}

export interface RelayOptions {
  readonly deployment: Deployment;
  readonly stage: string;
  readonly partition: number;
  readonly routes: readonly RelayRoute[];
  /** Where the plan that runs has its rows go, by sink, `LETTERS` among them. What waits may have to go elsewhere. */
  readonly targets: readonly SinkTarget[];
  readonly sender: Sender;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  /** The worker's one relay for an output stream. */
  shared(stream: string): SharedStream;
  /** What past commits recorded as the last sequence of each destination. */
  readonly tails: Readonly<Record<string, number>>;
  readonly relayedThrough: number;
  /** What all destinations of the task have in common. */
  readonly past: Omit<Past, 'rememberedSeq' | 'sinceSeq'>;
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

/** The way of rows with one sink and target. */
interface Lane {
  readonly style: Style;
  readonly outlet: Outlet<RowsItem>;
}

interface Teller {
  readonly route: RelayRoute;
  readonly words: Words;
  opened: boolean;
  toldMs: number;
  /** Clock of the last word that there is nothing to tell of. */
  silentMs: number;
}

export class Relay {
  #options: RelayOptions;
  /** By stream and chain: rows of two targets may go to one, as when a sink was renamed. */
  #outlets = new Map<string, Outlet<RowsItem>>();
  /** By target, then sink. */
  #lanes = new Map<string, Map<string, Lane>>();
  #channels = new Map<string, Outlet<FrameItem>>();
  #inherits: boolean;
  #pending: PendingCommit[] = [];
  #relayedThrough: number;
  #relayedWatermarkMs = Number.NEGATIVE_INFINITY;
  #changedTails = new Map<string, number>();
  #backlogBytes = 0;
  #tellers: readonly Teller[];
  #telling = false;
  #stopped = false;
  rowsSent = 0;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#relayedThrough = options.relayedThrough;
    this.#inherits = options.relayedThrough < options.past.inheritedTo;
    const { deployment, log, clock, random } = options;
    const writer = taskWriter(options);
    this.#tellers = options.routes.map(route => {
      const stream = channelsStream(deployment, route);
      const subject = broadcastSubject(deployment, { ...route, writer });
      const words = new Words({ log, clock, random, stream, subject });
      return { route, words, opened: false, toldMs: Number.NEGATIVE_INFINITY, silentMs: 0 };
    });
  }

  /** Every commit up to this one is out whole. */
  get relayedThrough(): number {
    return this.#relayedThrough;
  }

  /** Bytes of commits that are not wholly out. */
  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  /** Destinations whose last sequence has changed since this was last asked; a commit carries them. */
  takeTails(): Record<string, number> {
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
    const items: [Outlet<Outgoing>, Outgoing][] = [];
    const rowFrom = new Map<string, number>();
    for (const { route, partition, row, bytes } of outbox.frames) {
      const key = channelKey(route, partition);
      const item: FrameItem = { commit, rowFrom: rowFrom.get(key) ?? 0, rowTo: row, bytes: bytes.length, frame: bytes };
      rowFrom.set(key, row);
      items.push([this.#channel(key, route, partition) as Outlet<Outgoing>, item]);
    }
    for (const rows of outbox.rows) {
      if (rows.lengths.length === 0) continue;
      const { outlet, style } = this.#lane(rows);
      items.push([outlet as Outlet<Outgoing>, itemOf(commit, rows, style)]);
    }
    pending.open = items.length;
    for (const [outlet, item] of items) outlet.push(item);
    this.#settle();
  }

  #sent(key: string, item: Outgoing, seq: number): void {
    if (seq > 0) this.#changedTails.set(key, seq);
    const pending = this.#pendingOf(item.commit);
    invariant(pending !== undefined && pending.open > 0, `commit ${item.commit} is sent once`);
    pending.open--;
    this.#settle();
  }

  /** Tells of results that are in, if any of them is traced. */
  #trace(to: Destination, { commit, rows }: RowsItem): void {
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
      destination: to.subject,
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
    const outlets: { open(): Promise<void> }[] = this.#options.targets.map(to => this.#lane(to).outlet);
    for (const { partitions, ...route } of this.#options.routes) {
      for (let partition = 0; partition < partitions; partition++) {
        outlets.push(this.#channel(channelKey(route, partition), route, partition));
      }
    }
    await Promise.all([
      ...outlets.map(outlet => outlet.open()),
      ...this.#tellers.map(teller => this.#openTeller(teller)),
    ]);
  }

  #channel(key: string, route: FrameRoute, partition: number): Outlet<FrameItem> {
    const existing = this.#channels.get(key);
    if (existing !== undefined) return existing;
    const { deployment, log, clock, random, onFailed } = this.#options;
    const outlet = new ChainOutlet<FrameItem>({
      ...{ log, clock, random, form: frameForm, onFailed },
      stream: channelsStream(deployment, route),
      subject: channelSubject(deployment, { ...route, partition, writer: taskWriter(this.#options) }),
      expires: false,
      past: this.#pastOf(key),
      onSent: (item, seq) => this.#sent(key, item, seq),
    });
    this.#channels.set(key, outlet);
    return outlet;
  }

  #pastOf(key: string, sinceSeq = 0): Past {
    const { past, tails } = this.#options;
    return { rememberedSeq: tails[key] ?? 0, sinceSeq, ...past };
  }

  #lane({ sink, target }: SinkTarget): Lane {
    let lanes = this.#lanes.get(target);
    if (lanes === undefined) this.#lanes.set(target, (lanes = new Map()));
    let lane = lanes.get(sink);
    if (lane === undefined) {
      const destination = destinationFrom(target);
      const style = new Style({ sink, sender: this.#options.sender, destination });
      lanes.set(sink, (lane = { style, outlet: this.#outlet(sink, destination) }));
    }
    return lane;
  }

  /** The marker of a shared sink is called after the sink, which is unique among those of a plan; so is what waits here. */
  #outlet(sink: string, to: Destination): Outlet<RowsItem> {
    const { deployment, stage, partition } = this.#options;
    const marker =
      sink === LETTERS
        ? letterMarkerSubject(deployment, taskWriter(this.#options))
        : markerSubject(deployment, { sink, stage, partition });
    const key = `${to.mode} ${to.stream} ${to.mode === 'owned' ? to.subject : marker}`;
    let outlet = this.#outlets.get(key);
    if (outlet === undefined) this.#outlets.set(key, (outlet = this.#openOutlet({ sink, to, key, marker })));
    return outlet;
  }

  #openOutlet({ sink, to, key, marker }: { sink: string; to: Destination; key: string; marker: string }) {
    const { log, clock, random, sender, shared, onFailed } = this.#options;
    const past = this.#pastOf(key, to.sinceSeq);
    const onSent = (item: RowsItem, seq: number) => {
      const records = item.rows.lengths.length;
      this.rowsSent += records;
      if (sink !== LETTERS) this.#options.meter.sent(item.rows.sink, { records, bytes: item.rows.bytes.length });
      this.#trace(to, item);
      this.#sent(key, item, seq);
    };
    switch (to.mode) {
      case 'owned': {
        const { stream, subject } = to;
        const form = rowsForm({ sender, messageBytesMax: log.messageBytesMax - HEADROOM_BYTES });
        return new ChainOutlet<RowsItem>({
          ...{ log, clock, random, stream, subject, form, past, onSent, onFailed },
          expires: true,
        });
      }
      case 'shared':
        return shared(to.stream).seat({ sender, marker, past, onSent, onFailed });
      case 'at-least-once':
        return new LooseOutlet({ log, sender, onSent, onFailed });
    }
  }

  /**
   * Tells the tasks of the next stages how far event time is here, for those whom no frame told: called a few times a
   * second. Only what is journaled and wholly sent is told, so a watermark that was told is never taken back.
   *
   * A stage to which nobody has ever spoken says that, now and then: those behind it would wait for it for ever. Nothing
   * can be on its way here then, so that holds as of the clock to which all its inputs are known.
   */
  async tell({ clockMs, isSilent }: { clockMs: number; isSilent: boolean }): Promise<void> {
    if (this.#telling || this.#stopped) return;
    this.#telling = true;
    try {
      const position = this.#relayedThrough;
      const stageMs = this.#relayedWatermarkMs;
      for (const teller of this.#tellers) {
        const watermarkMs = trailing(stageMs, teller.route.lagMs);
        const saysSilence = isSilent && clockMs >= teller.silentMs + SILENCE_MS;
        if (watermarkMs <= teller.toldMs && !saysSilence) continue;
        await this.#openTeller(teller);
        const head = { position, row: 0, watermarkMs, clockMs, quietMs: 0, bootstrapped: true };
        const outcome = await teller.words.append(encodeBroadcast(head));
        if (outcome.kind === 'landed') {
          teller.toldMs = watermarkMs;
          teller.silentMs = clockMs;
        }
        // A former owner's word that landed late: it told no more than was true. Say ours after it.
        else teller.words.adopt(outcome.tail);
      }
    } finally {
      this.#telling = false;
    }
  }

  /** Nothing was told yet, so a position beyond what we were left is not one of ours. */
  async #openTeller(teller: Teller): Promise<void> {
    if (teller.opened) return;
    const { stream, subject } = teller.words;
    const tail = await teller.words.open();
    const past = this.#pastOf(subject);
    const place = { log: this.#options.log, stream, subject };
    const { position } = tail === null ? { position: 0 } : decodeBroadcast(tail.data);
    await checkCommit(position, { known: past.inheritedTo, place, past });
    teller.opened = true;
  }

  stop(): void {
    this.#stopped = true;
    for (const outlet of this.#outlets.values()) outlet.stop();
    for (const outlet of this.#channels.values()) outlet.stop();
    for (const teller of this.#tellers) teller.words.stop();
  }
}

function channelKey({ stage, input }: FrameRoute, partition: number): string {
  return `${stage}/${input}/${partition}`;
}
