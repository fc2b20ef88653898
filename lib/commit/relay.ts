/**
 * The relay of one task: sends what its commits say, in order, each thing to its destination, and knows up to which
 * commit everything is out. Commits wait here from the moment their journal entry has landed; after a crash those that
 * the journal does not know to be relayed come again, and the destinations' tails sort out what is in already.
 */
import type { Clock } from '../base/clock.ts';
import { invariant } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import type { Meter } from '../observe/meter.ts';
import { distinctTraces, type Tracing } from '../observe/tracing.ts';
import type { Log } from '../port/log.ts';
import { encodeBroadcast } from '../record/frame.ts';
import {
  broadcastSubject,
  channelSubject,
  channelsStream,
  type Deployment,
  letterMarkerSubject,
  lettersStream,
  markerSubject,
  taskWriter,
} from '../record/names.ts';
import { Chain } from './chain.ts';
import { ChainOutlet, type FrameItem, frameForm, type Outlet, rowsForm } from './chain-outlet.ts';
import { LooseOutlet } from './loose-outlet.ts';
import { bytesOf, LETTERS, type Outbox } from './outbox.ts';
import type { Outgoing } from './queue.ts';
import { itemOf, type RowsItem, type Sender } from './rows-item.ts';
import type { SharedStream } from './shared-outlet.ts';
import type { SinkSpec } from './sink-spec.ts';

const HEADROOM_BYTES = 4096;
/** Between two words of a stage to which nobody has spoken. */
const SILENCE_MS = 1_000;

/** A stage that this task sends frames to. */
export interface RelayRoute {
  readonly exit: number;
  readonly stage: string;
  readonly input: string;
  /** How far event times that leave here may trail the task's watermark. */
  readonly lagMs: number;
}

export interface RelayOptions {
  readonly deployment: Deployment;
  readonly stage: string;
  readonly partition: number;
  readonly routes: readonly RelayRoute[];
  readonly sinks: ReadonlyMap<string, SinkSpec>;
  readonly sender: Sender;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  /** The worker's one relay for an output stream. */
  shared(stream: string): SharedStream;
  /** What past commits recorded as the last sequence of each destination. */
  readonly tails: Readonly<Record<string, number>>;
  readonly relayedThrough: number;
  /** The last commit that was there when this owner claimed the task. */
  readonly inheritedTo: number;
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

interface Teller {
  readonly route: RelayRoute;
  readonly chain: Chain;
  opened: boolean;
  toldMs: number;
  /** Clock of the last word that there is nothing to tell of. */
  silentMs: number;
}

export class Relay {
  #options: RelayOptions;
  #outlets = new Map<string, Outlet<RowsItem> | Outlet<FrameItem>>();
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
    const { deployment, log, clock, random } = options;
    const writer = taskWriter(options);
    this.#tellers = options.routes.map(route => {
      const stream = channelsStream(deployment, route.stage);
      const subject = broadcastSubject(deployment, { ...route, writer });
      const chain = new Chain({ log, clock, random, stream, subject });
      return { route, chain, opened: false, toldMs: Number.NEGATIVE_INFINITY, silentMs: 0 };
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
    for (const frame of outbox.frames) {
      const key = `x${frame.exit}.${frame.partition}`;
      const from = rowFrom.get(key) ?? 0;
      rowFrom.set(key, frame.row);
      const item: FrameItem = {
        commit,
        rowFrom: from,
        rowTo: frame.row,
        bytes: frame.bytes.length,
        frame: frame.bytes,
      };
      items.push([this.#channel(key, frame.exit, frame.partition) as Outlet<Outgoing>, item]);
    }
    for (const rows of outbox.rows) {
      if (rows.lengths.length === 0) continue;
      items.push([this.#sink(rows.sink) as Outlet<Outgoing>, itemOf(commit, rows)]);
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
  #trace(name: string, { commit, rows }: RowsItem): void {
    const { tracing, deployment, stage, partition, sinks, clock } = this.#options;
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
      destination: sinks.get(name)?.template ?? lettersStream(pipeline),
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
    if (moved) this.#options.onProgress();
  }

  #channel(key: string, exit: number, partition: number): Outlet<FrameItem> {
    const existing = this.#outlets.get(key);
    if (existing !== undefined) return existing as Outlet<FrameItem>;
    const { deployment, log, clock, random, routes, tails, inheritedTo, onFailed } = this.#options;
    const route = routes.find(candidate => candidate.exit === exit);
    invariant(route !== undefined, `exit ${exit} leads to a stage`);
    const subject = channelSubject(deployment, { ...route, partition, writer: taskWriter(this.#options) });
    const outlet = new ChainOutlet<FrameItem>({
      chain: new Chain({ log, clock, random, stream: channelsStream(deployment, route.stage), subject }),
      form: frameForm,
      rememberedSeq: tails[key] ?? 0,
      inheritedTo,
      onSent: (item, seq) => this.#sent(key, item, seq),
      onFailed,
    });
    this.#outlets.set(key, outlet);
    return outlet;
  }

  #sink(name: string): Outlet<RowsItem> {
    const existing = this.#outlets.get(name);
    if (existing !== undefined) return existing as Outlet<RowsItem>;
    const outlet = this.#openSink(name);
    this.#outlets.set(name, outlet);
    return outlet;
  }

  #openSink(name: string): Outlet<RowsItem> {
    const { deployment, stage, partition, log, clock, random, sender, sinks, tails, shared, onFailed } = this.#options;
    const onSent = (item: RowsItem, seq: number) => {
      const records = item.rows.lengths.length;
      this.rowsSent += records;
      if (name !== LETTERS) this.#options.meter.sent(name, { records, bytes: item.rows.bytes.length });
      this.#trace(name, item);
      this.#sent(name, item, seq);
    };
    const past = { rememberedSeq: tails[name] ?? 0, inheritedTo: this.#options.inheritedTo };
    if (name === LETTERS) {
      const marker = letterMarkerSubject(deployment, taskWriter(this.#options));
      const sink = { format: 'json', frame: 'none' } as const;
      return shared(lettersStream(deployment.pipeline)).seat({ sink, sender, marker, ...past, onSent, onFailed });
    }
    const sink = sinks.get(name);
    invariant(sink !== undefined, `sink ${name} is in the plan`);
    switch (sink.mode) {
      case 'owned': {
        const subject = sink.template.replace('{partition}', String(partition));
        const chain = new Chain({ log, clock, random, stream: sink.stream.name, subject, mayExpire: true });
        const form = rowsForm({ sink, sender, messageBytesMax: log.messageBytesMax - HEADROOM_BYTES });
        return new ChainOutlet<RowsItem>({ chain, form, ...past, onSent, onFailed });
      }
      case 'shared': {
        const marker = markerSubject(deployment, { sink: name, stage, partition });
        return shared(sink.stream.name).seat({ sink, sender, marker, ...past, onSent, onFailed });
      }
      case 'at-least-once':
        return new LooseOutlet({ log, sink, sender, onSent, onFailed });
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
        const watermarkMs = stageMs - teller.route.lagMs;
        const saysSilence = isSilent && clockMs >= teller.silentMs + SILENCE_MS;
        if (watermarkMs <= teller.toldMs && !saysSilence) continue;
        if (!teller.opened) {
          await teller.chain.open();
          teller.opened = true;
        }
        const head = { position, row: 0, watermarkMs, clockMs, quietMs: 0, bootstrapped: true };
        const outcome = await teller.chain.append(encodeBroadcast(head));
        if (outcome.kind === 'landed') {
          teller.toldMs = watermarkMs;
          teller.silentMs = clockMs;
        }
        // A former owner's word that landed late: it told no more than was true. Say ours after it.
        else teller.chain.adopt(outcome.tail);
      }
    } finally {
      this.#telling = false;
    }
  }

  stop(): void {
    this.#stopped = true;
    for (const outlet of this.#outlets.values()) outlet.stop();
    for (const teller of this.#tellers) teller.chain.stop();
  }
}
