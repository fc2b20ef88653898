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
import { Words } from '../commit/words.ts';
import type { Cursor, Receiver } from '../operator/run.ts';
import type { Log } from '../port/log.ts';
import { decodeBroadcast, encodeBroadcast, type FrameHead, type Letter } from '../record/frame.ts';
import { broadcastSubject, channelSubject, channelsStream, type Deployment } from '../record/names.ts';
import { seqOfOrigin } from '../record/origin.ts';
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
  /** It is a table of the stage. */
  readonly bootstrap?: boolean;
  readonly partitions: number;
}

interface Lane {
  readonly route: Route;
  readonly channels: readonly Channel[];
  readonly broadcast: Words;
  told: FrameHead | null;
}

export interface RouterOptions {
  readonly deployment: Deployment;
  readonly writer: string;
  readonly routes: readonly Route[];
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly cursor: Cursor;
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

  constructor(options: RouterOptions) {
    this.#options = options;
    const { deployment, writer, log, clock, random, cursor, publishedMs } = options;
    const frameBytesMax = log.messageBytesMax - HEADROOM_BYTES;
    this.#lanes = options.routes.map(route => {
      const stream = channelsStream(deployment, route);
      const channels = Array.from({ length: route.partitions }, (_, partition) => {
        const subject = channelSubject(deployment, { ...route, partition, writer });
        const chain = new Chain({ log, clock, random, stream, subject });
        return new Channel({ chain, frameBytesMax, writer, publishedMs });
      });
      const subject = broadcastSubject(deployment, { ...route, writer });
      return { route, channels, broadcast: new Words({ log, clock, random, stream, subject }), told: null };
    });
    this.exits = this.#lanes.map(({ route, channels }) => ({
      receive(key, value, timeMs) {
        const partition = key === null ? 0 : partitionOf(key, route.partitions);
        channels[partition]!.push(key, value, timeMs, cursor.origin, cursor.id, cursor.trace);
      },
    }));
  }

  /** Reads all tails. Returns where the source goes on: at the channel that is furthest behind. Null: nothing is sent yet. */
  async open(): Promise<(FrameHead & { bornMs: number }) | null> {
    let behind: FrameHead | null = null;
    let started = true;
    let bornMs = 0;
    for (const lane of this.#lanes) {
      const tail = await lane.broadcast.open();
      lane.told = tail === null ? null : decodeBroadcast(tail.data);
      bornMs = Number(tail?.headers?.[HEADER_BORN] ?? bornMs);
      const heads = await Promise.all(lane.channels.map(channel => channel.open(lane.told)));
      for (const head of heads) {
        if (head === null) started = false;
        else if (behind === null || isBehind(head, behind)) behind = head;
      }
    }
    return started && behind !== null ? { ...behind, bornMs } : null;
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
    let least = Number.POSITIVE_INFINITY;
    for (const lane of this.#lanes) least = Math.min(least, landedTo(lane));
    return least;
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
      },
      error => this.#options.onFailed(error),
    );
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
    const news = this.#lanes.flatMap(lane => this.#newsFor(lane) ?? []);
    if (news.length === 0) return;
    this.#telling = true;
    try {
      await Promise.all(news.map(tell => this.#tell(tell)));
    } finally {
      this.#telling = false;
    }
  }

  #newsFor(lane: Lane): { lane: Lane; head: FrameHead } | null {
    const landed = landedTo(lane);
    const sample = this.#samples.findLast(({ position }) => position <= landed);
    if (sample === undefined || (lane.told !== null && !isNews(sample, lane.told))) return null;
    return { lane, head: { row: 0, ...sample } };
  }

  async #tell({ lane, head }: { lane: Lane; head: FrameHead }): Promise<void> {
    const outcome = await lane.broadcast.append(encodeBroadcast(head), {
      [HEADER_BORN]: String(this.#options.bornMs()),
    });
    if (outcome.kind === 'landed') lane.told = head;
    else {
      lane.broadcast.adopt(outcome.tail);
      lane.told = decodeBroadcast(outcome.tail.data);
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

function landedTo(lane: Lane): number {
  let least = Number.POSITIVE_INFINITY;
  for (const channel of lane.channels) least = Math.min(least, channel.landedTo);
  return least;
}

/** Of two at one position, each is true, and one may know less of the time. */
function isBehind(a: FrameHead, b: FrameHead): boolean {
  return a.position < b.position || (a.position === b.position && a.watermarkMs > b.watermarkMs);
}

/** Another writer may have told more than we know; never tell less. */
function isNews(head: WriterState, told: FrameHead): boolean {
  if (head.position < told.position) return false;
  return (
    head.position > told.position ||
    head.watermarkMs > told.watermarkMs ||
    head.clockMs > told.clockMs ||
    (head.bootstrapped && !told.bootstrapped)
  );
}
