/**
 * The router: takes a reader's records, each with its key, and sends them in frames to the channels of the stages that
 * the reader feeds. It keeps nothing of its own: after a crash the tails of its channels say where to go on.
 *
 * What no frame carries, a channel without traffic, is told on one broadcast subject a stage input: "all that I have
 * read up to `position` has landed, and my watermark there was …". It is written after the frames it speaks of, in the
 * same stream, so whoever reads the stream in order has seen them.
 */
import type { Clock } from '../base/clock.ts';
import { partitionOf } from '../base/hash.ts';
import type { Random } from '../base/random.ts';
import { Chain } from '../commit/chain.ts';
import type { Cursor, Receiver } from '../operator/run.ts';
import type { Log } from '../port/log.ts';
import { decodeBroadcast, encodeBroadcast, type FrameHead, isBeyond, type Letter } from '../record/frame.ts';
import { broadcastSubject, channelSubject, channelsStream, type Deployment } from '../record/names.ts';
import { seqOfOrigin } from '../record/origin.ts';
import type { Authorship } from './authorship.ts';
import { Channel, type WriterState } from './channel.ts';

/** Room for the frame's head and the message's headers beside the rows. */
const HEADROOM_BYTES = 4096;
const SAMPLES_MAX = 256;
/**
 * A frame costs the broker, and the task behind it with its commit, about the same whether it has one record or a
 * hundred. So single messages that keep coming are gathered for this long (a batch that comes after a pause is not) …
 */
const TRICKLE_MS = 4;
/** … or until so many rows wait. */
const TRICKLE_ROWS_MAX = 1_000;
/** On broadcasts: when the source's stream was made, ms since 1970, as a sequence means nothing in another stream. */
const HEADER_BORN = 'Millrace-Source-Born';

/** One input of one stage, which this writer feeds. */
export interface Route {
  readonly stage: string;
  readonly input: string;
  readonly partitions: number;
}

interface Lane {
  readonly route: Route;
  readonly channels: readonly Channel[];
  readonly broadcast: Chain;
  told: FrameHead | null;
  /** Where all its channels stand that have had anything; null: at different places. -1: none has. */
  position: number | null;
}

/** Source messages that a former program has sent to some channels of a route, and not to all. */
export interface Unfinished {
  readonly route: Route;
  /** A revision that ran the program. */
  readonly program: number;
  /** The last of them. */
  readonly through: number;
}

export interface Opened {
  /** Where the source goes on: at the channel that is furthest behind. Null: nothing is sent yet. */
  readonly place: (FrameHead & { bornMs: number }) | null;
  /** Null: the present program may begin, or go on. */
  readonly unfinished: Unfinished | null;
}

export interface RouterOptions {
  readonly deployment: Deployment;
  readonly writer: string;
  readonly routes: readonly Route[];
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly cursor: Cursor;
  readonly authorship: Authorship;
  /** When the source's stream was made, ms since 1970. */
  bornMs(): number;
  /** When the source message at a sequence was published, ms since 1970; null: unknown. */
  publishedMs(seq: number): number | null;
  /** Called when something has landed, so that there may be room again. */
  onLanded(): void;
  onFailed(error: unknown): void;
}

export class Router {
  /** In the order of `routes`. */
  readonly exits: readonly Receiver[];
  #options: RouterOptions;
  #lanes: readonly Lane[];
  /** Watermarks at past positions, oldest first: a broadcast speaks of a position that has passed. */
  #samples: WriterState[] = [];
  #telling = false;
  #flushedMs = Number.NEGATIVE_INFINITY;
  #cancelFlush: (() => void) | null = null;
  #landed: (() => void)[] = [];
  /** Records that were passed on to any channel. */
  pushed = 0;

  constructor(options: RouterOptions) {
    this.#options = options;
    const { deployment, writer, log, clock, random, cursor, authorship, publishedMs } = options;
    const frameBytesMax = log.messageBytesMax - HEADROOM_BYTES;
    this.#lanes = options.routes.map(route => {
      const stream = channelsStream(deployment, route.stage);
      const channels = Array.from({ length: route.partitions }, (_, partition) => {
        const subject = channelSubject(deployment, { ...route, partition, writer });
        const chain = new Chain({ log, clock, random, stream, subject });
        return new Channel({ chain, frameBytesMax, writer, authorship, publishedMs });
      });
      const subject = broadcastSubject(deployment, { ...route, writer });
      const broadcast = new Chain({ log, clock, random, stream, subject });
      return { route, channels, broadcast, told: null, position: -1 };
    });
    const router = this;
    this.exits = this.#lanes.map(({ route, channels }) => ({
      receive(key, value, timeMs) {
        const partition = key === null ? 0 : partitionOf(key, route.partitions);
        router.pushed++;
        channels[partition]!.push(key, value, timeMs, cursor.origin, cursor.id, cursor.trace);
      },
    }));
  }

  /** Reads all tails. Throws REVISION_OUTDATED. */
  async open(): Promise<Opened> {
    const { authorship } = this.#options;
    let unfinished: Unfinished | null = null;
    let behind: FrameHead | null = null;
    let started = true;
    let bornMs = 0;
    for (const lane of this.#lanes) {
      const tail = await lane.broadcast.open();
      lane.told = tail === null ? null : decodeBroadcast(tail.data);
      if (lane.told !== null) authorship.checkRevision(lane.told, lane.broadcast.subject);
      bornMs = Number(tail?.headers?.[HEADER_BORN] ?? bornMs);
      const heads = await Promise.all(lane.channels.map(channel => channel.open(lane.told)));
      for (const head of heads) {
        if (head !== null && (behind === null || isBehind(head, behind))) behind = head;
      }
      lane.position = commonPosition(heads);
      if (lane.position === -1) started = false;
      // Whoever is furthest ran last: what came before it was complete when it began.
      const furthest = lane.position === null ? furthestOf(heads) : null;
      if (furthest?.by !== undefined && !authorship.isOurs(furthest)) {
        unfinished ??= { route: lane.route, program: furthest.by.program, through: throughOf(furthest) };
      }
    }
    return { place: started && behind !== null ? { ...behind, bornMs } : null, unfinished };
  }

  /**
   * Begins, where a former program has ended (invariant P): from here on only ours is written to. `position`: where the
   * source begins, on channels that have had nothing yet. Throws REVISION_OUTDATED, CONFLICT.
   */
  async begin(position: number): Promise<void> {
    for (const lane of this.#lanes) {
      // One whose channels are at different places is ours already.
      if (lane.position === null) continue;
      const at = lane.position === -1 ? position : lane.position;
      await Promise.all(lane.channels.map(channel => channel.fence(at)));
    }
  }

  /** A letter goes the way of its message's records, to a task that commits it. */
  letter(letter: Letter): void {
    const lane = this.#lanes[0]!;
    lane.channels[seqOfOrigin(letter.origin) % lane.channels.length]!.pushLetter(letter);
  }

  get waiting(): number {
    let waiting = 0;
    for (const lane of this.#lanes) for (const channel of lane.channels) waiting += channel.waiting;
    return waiting;
  }

  /** Every record of source messages up to this sequence has landed, if the reader has passed them on. */
  get landedTo(): number {
    return Math.min(...this.#lanes.map(landedTo));
  }

  get framesSent(): number {
    let sent = 0;
    for (const lane of this.#lanes) for (const channel of lane.channels) sent += channel.framesSent;
    return sent;
  }

  /**
   * Sends on every channel that is free what waits for it; goes on by itself while anything waits. After a pause, and when
   * much waits, it does so at once; what trickles in is gathered for a moment.
   */
  flush(state: () => WriterState): void {
    const { clock } = this.#options;
    const nowMs = clock.monotonic();
    const restMs = this.#flushedMs + TRICKLE_MS - nowMs;
    if (restMs > 0 && this.waiting < TRICKLE_ROWS_MAX) {
      this.#cancelFlush ??= clock.after(restMs, () => {
        this.#cancelFlush = null;
        this.flush(state);
      });
      return;
    }
    this.#flushedMs = nowMs;
    for (const lane of this.#lanes) {
      for (const channel of lane.channels) if (!channel.sending && channel.waiting > 0) this.#drain(channel, state);
    }
  }

  #drain(channel: Channel, state: () => WriterState): void {
    channel.send(state()).then(
      () => {
        if (channel.waiting > 0 && !channel.sending) this.flush(state);
        this.#options.onLanded();
        if (this.#isQuiet) this.#tellLanded();
      },
      error => {
        this.#options.onFailed(error);
        this.#tellLanded();
      },
    );
  }

  get #isQuiet(): boolean {
    return this.#lanes.every(lane => lane.channels.every(channel => channel.waiting === 0 && !channel.sending));
  }

  #tellLanded(): void {
    for (const resolve of this.#landed.splice(0)) resolve();
  }

  /** Resolves when all that waits has landed, or something has failed. */
  landed(): Promise<void> {
    if (this.#isQuiet) return Promise.resolve();
    return new Promise(resolve => this.#landed.push(resolve));
  }

  /** Remembers the watermark of a position, to be told when all before it has landed. */
  sample(state: WriterState): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && last.position === state.position) this.#samples.pop();
    // When there are too many, every other one goes: what is told becomes coarser, never wrong.
    else if (this.#samples.length >= SAMPLES_MAX) this.#samples = this.#samples.filter((_, i) => i % 2 === 1);
    this.#samples.push(state);
  }

  /** Tells every stage how far this writer is, if that has changed since it was last told. */
  async broadcast(): Promise<void> {
    if (this.#telling) return;
    this.#telling = true;
    try {
      await Promise.all(this.#lanes.map(lane => this.#tell(lane)));
    } finally {
      this.#telling = false;
    }
  }

  async #tell(lane: Lane): Promise<void> {
    const landed = landedTo(lane);
    const sample = this.#samples.findLast(({ position }) => position <= landed);
    if (sample === undefined) return;
    const { authorship } = this.#options;
    // A lane that another one has to catch up with is further than the source is.
    const position = Math.max(sample.position, lane.position ?? 0);
    const head = { row: 0, ...sample, position };
    if (lane.told !== null && authorship.isOurs(lane.told) && !isNews(head, lane.told)) return;
    const outcome = await lane.broadcast.append(encodeBroadcast(head), {
      [HEADER_BORN]: String(this.#options.bornMs()),
    });
    if (outcome.kind === 'landed') lane.told = head;
    else {
      const tail = decodeBroadcast(outcome.tail.data);
      authorship.checkTail(tail, lane.broadcast.subject);
      lane.broadcast.adopt(outcome.tail);
      lane.told = tail;
    }
  }

  stop(): void {
    this.#cancelFlush?.();
    for (const lane of this.#lanes) {
      lane.broadcast.stop();
      for (const channel of lane.channels) channel.stop();
    }
  }
}

/** See `Lane.position`. Where no row was sent yet, a beginning may have been told to some channels only. */
function commonPosition(heads: readonly (FrameHead | null)[]): number | null {
  let position = -1;
  for (const head of heads) {
    if (head === null || (head.row === 0 && head.position === position)) continue;
    if (head.row > 0 || position !== -1) return null;
    position = head.position;
  }
  return position;
}

function furthestOf(heads: readonly (FrameHead | null)[]): FrameHead | null {
  let furthest: FrameHead | null = null;
  for (const head of heads) if (head !== null && (furthest === null || isBeyond(head, furthest))) furthest = head;
  return furthest;
}

/** The last source message that a head has any row of. */
function throughOf({ position, row }: FrameHead): number {
  return row === 0 ? position : position + 1;
}

function landedTo(lane: Lane): number {
  return Math.min(...lane.channels.map(channel => channel.landedTo));
}

/** Of two at one position, each is true, and one may know less of the time. */
function isBehind(a: FrameHead, b: FrameHead): boolean {
  return a.position < b.position || (a.position === b.position && a.watermarkMs > b.watermarkMs);
}

/** Another writer may have told more than we know; never tell less. */
function isNews(head: FrameHead, told: FrameHead): boolean {
  if (head.position < told.position) return false;
  return (
    head.position > told.position ||
    head.watermarkMs > told.watermarkMs ||
    head.clockMs > told.clockMs ||
    (head.bootstrapped && !told.bootstrapped)
  );
}
