/**
 * The router: takes a reader's records, each with its key, and sends them in frames to the channels of the stages that
 * the reader feeds. It keeps nothing of its own: after a crash the tails of its channels say where to go on.
 *
 * What no frame carries, a channel without traffic, is told on one broadcast subject a stage input: "all that I have
 * read up to `position` has landed, and my watermark there was …". It is written after the frames it speaks of, in the
 * same stream, so whoever reads the stream in order has seen them.
 */
import type { Clock } from '../base/clock.ts';
import { keyGroupsOf, partitionOf } from '../base/hash.ts';
import type { Random } from '../base/random.ts';
import { Chain } from '../chain/chain.ts';
import { beaten, begun, claim, type ProgramName, takeOver } from '../channel/authorship.ts';
import { FrameEncoding } from '../channel/encoding.ts';
import {
  type Author,
  encodeBroadcast,
  type FrameHead,
  isBehind,
  isBeyond,
  isNews,
  type Owner,
  throughOf,
} from '../channel/frame.ts';
import { Words } from '../channel/words.ts';
import { ChannelWriter, type WriterState } from '../channel/writer.ts';
import type { Attempts, AttemptsAt } from '../journal/attempts.ts';
import type { WatchCalls } from '../operator/call-watch.ts';
import { type KeysByGroup, partsOf } from '../operator/census.ts';
import type { Cursor, Receiver } from '../operator/run.ts';
import { type Log, roomIn } from '../port/log.ts';
import type { Letter } from '../record/letter.ts';
import { broadcastSubject, channelSubject, channelsStream, type Deployment } from '../record/names.ts';
import { seqOfOrigin } from '../record/origin.ts';
import { markFrom, markText } from '../source/place.ts';
import { NO_MARK, type StreamMark } from '../source/poll.ts';
import type { GroupRange } from '../state/entry-key.ts';
import { type Counted, countedFrom } from './counted.ts';
import { type Lane, landedTo, type News, type Opened, programOf, type Route, type Unfinished } from './lane.ts';
import { Samples } from './samples.ts';

/** Room for the frame's head and the message's headers beside the rows. */
const HEADROOM_BYTES = 4096;
/**
 * A frame costs the broker, and the task behind it with its commit, about the same whether it has one record or a
 * hundred. So single messages that keep coming are gathered for this long (a batch that comes after a pause is not) …
 */
const TRICKLE_MS = 4;
/** … or until so many rows wait. */
const TRICKLE_ROWS_MAX = 1_000;
/** On broadcasts: by what the source's stream is known again, as a sequence means nothing in another. */
const HEADER_SOURCE = 'Millrace-Source';
/** On broadcasts: what their writer runs, as `since:bundle`. */
const HEADER_PROGRAM = 'Millrace-Program';
const NOT_CLAIMED = 0;
/** On claims: what no other claim has. */
const HEADER_CLAIM = 'Millrace-Claim';
/** On broadcasts: what their writer has done so far, as JSON (`Counted`). */
const HEADER_COUNTED = 'Millrace-Counted';
/** On what a reader claims first: what it has tried (`AttemptsAt`). */
const HEADER_ATTEMPTS = 'Millrace-Attempts';
const KEPT = [HEADER_SOURCE, HEADER_PROGRAM, HEADER_COUNTED, HEADER_ATTEMPTS];

export interface RouterOptions {
  readonly deployment: Deployment;
  readonly writer: string;
  readonly routes: readonly Route[];
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly cursor: Cursor;
  /** See `Surroundings`. */
  readonly watchCalls?: WatchCalls | undefined;
  /** With the epoch of a claim that holds already, where this is a former program's work; else it is claimed here. */
  readonly owner: Omit<Owner, 'epoch'> & { readonly epoch?: number };
  readonly program: ProgramName;
  /** By what the source's stream is known again. */
  mark(): StreamMark;
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
  #author: Author;
  /** What we run, as broadcasts say it. */
  #program: string;
  #lanes: readonly Lane[];
  #samples = new Samples();
  #telling: Promise<unknown> | null = null;
  #flushedMs = Number.NEGATIVE_INFINITY;
  #cancelFlush: (() => void) | null = null;
  #landed: (() => void)[] = [];
  /** Rows, records and letters, that were passed on to any channel. */
  pushed = 0;
  /** What was tried, as of our claim or what we have told since; null: all is well. */
  attempts: AttemptsAt | null = null;

  constructor(options: RouterOptions) {
    this.#options = options;
    const { deployment, writer, log, clock, random, cursor, owner, program, publishedMs } = options;
    this.#author = { ...owner, epoch: owner.epoch ?? NOT_CLAIMED, program: program.since };
    this.#program = `${program.since}:${program.bundle}`;
    const encoding = new FrameEncoding(writer, options.watchCalls);
    this.#lanes = options.routes.map(route => {
      const stream = channelsStream(deployment, route);
      const frameBytesMax = roomIn(log.messageBytesMaxOf(stream), HEADROOM_BYTES);
      const channels = Array.from({ length: route.partitions }, (_, partition) => {
        const subject = channelSubject(deployment, { ...route, partition, writer });
        const chain = new Chain({ log, clock, random, stream, subject });
        return new ChannelWriter({ chain, frameBytesMax, writer, encoding, publishedMs });
      });
      const subject = broadcastSubject(deployment, { ...route, writer });
      const broadcast = new Words({ log, clock, random, stream, subject });
      const unopened = { told: null, toldProgram: '', toldCounted: null, furthest: null, completeTo: -1 };
      return { route, channels, broadcast, ...unopened };
    });
    const router = this;
    this.exits = this.#lanes.map(({ route, channels }) => ({
      receive(key, value, timeMs, change) {
        const partition = key === null ? 0 : partitionOf(key, route.partitions);
        router.pushed++;
        channels[partition]!.push(key, value, timeMs, change, cursor.origin, cursor.id, cursor.trace);
      },
    }));
  }

  /** Whose the channels are, once they are claimed. */
  get owner(): Owner {
    const { revision, assignment, epoch } = this.#author;
    return { revision, assignment, epoch };
  }

  async #claim(): Promise<void> {
    const { owner, random } = this.#options;
    const { program } = this.#author;
    const mark = { [HEADER_CLAIM]: `${random.next()} ${random.next()}` };
    const { epoch, attempts } = await claim(this.#lanes[0]!.broadcast, {
      owner,
      program,
      mark,
      attempts: HEADER_ATTEMPTS,
      encode: encodeBroadcast,
      keeps: KEPT,
    });
    this.#author = { ...owner, epoch, program };
    this.attempts = attempts;
  }

  /** Says durably what was tried; null: all is well (*in hand*, `journal/attempts.ts`). */
  async tellAttempts(attempts: Attempts | null): Promise<void> {
    while (this.#telling !== null) await this.#telling;
    const lane = this.#lanes[0]!;
    this.attempts = attempts === null ? null : { ...attempts, at: lane.told!.position };
    await this.#tellAll([{ lane, head: lane.told!, counted: lane.toldCounted }]);
  }

  /**
   * Claims the reader, if it has not, takes all its channels over, and learns where to go on. May be done again before
   * anything is fed. Throws REVISION_OUTDATED, ASSIGNMENT_OUTDATED and FENCED.
   */
  async open(): Promise<Opened> {
    if (this.#author.epoch === NOT_CLAIMED) await this.#claim();
    const author = this.#author;
    let behind: FrameHead | null = null;
    let mark = NO_MARK;
    let counted: Counted | null = null;
    for (const lane of this.#lanes) {
      const { head: told, headers } = await takeOver(lane.broadcast, { author, encode: encodeBroadcast, keeps: KEPT });
      lane.told = told;
      lane.toldProgram = headers?.[HEADER_PROGRAM] ?? '';
      lane.toldCounted = countedFrom(headers?.[HEADER_COUNTED]);
      if (lane.toldCounted !== null && lane.toldCounted.to >= (counted?.to ?? 0)) counted = lane.toldCounted;
      const source = headers?.[HEADER_SOURCE];
      if (source !== undefined) mark = markFrom(source);
      const heads = await Promise.all(lane.channels.map(channel => channel.open(author, begun(told))));
      lane.furthest = null;
      lane.completeTo = Number.POSITIVE_INFINITY;
      for (const head of heads) {
        lane.completeTo = Math.min(lane.completeTo, head?.position ?? -1);
        if (head === null) continue;
        if (lane.furthest === null || isBeyond(head, lane.furthest)) lane.furthest = head;
        if (behind === null || isBehind(head, behind)) behind = head;
      }
    }
    const isBegun = this.#lanes.every(({ completeTo }) => completeTo >= 0);
    const furthest = this.#lanes.map(lane => (lane.furthest === null ? 0 : throughOf(lane.furthest)));
    const place = behind === null ? null : { ...behind, mark };
    return { place, through: Math.max(...furthest), isBegun, counted };
  }

  /**
   * What is to be finished before our program begins (*one program a message*), after all have been opened; null:
   * nothing any more. The latest program comes first: when it began, what had come before it was complete on all stages
   * that it fed, and what is left over is of stages that it did not. A stage is behind where it has not had all through
   * the last message of which any has had a row, not only where its own channels differ: a program may send a record to
   * one stage or to another.
   * @param finished programs that have been
   */
  unfinished(finished: ReadonlySet<number>): Unfinished | null {
    let lanes = this.#lanes.filter(({ furthest }) => furthest !== null);
    while (lanes.length > 0) {
      const program = Math.max(...lanes.map(programOf));
      const own = lanes.filter(lane => programOf(lane) === program);
      const through = Math.max(...own.map(({ furthest }) => throughOf(furthest!)));
      // Stages that are behind and that it did not have stay so.
      const may = finished.has(program) ? own : lanes;
      if (program !== this.#author.program && may.some(({ completeTo }) => completeTo < through)) {
        const name = own.map(({ toldProgram }) => toldProgram).find(told => told.startsWith(`${program}:`));
        const bundle = name?.slice(name.indexOf(':') + 1) ?? '';
        return { program: { since: program, bundle }, through, routes: own.map(({ route }) => route) };
      }
      lanes = lanes.filter(lane => !own.includes(lane));
    }
    return null;
  }

  /** A letter goes the way of its message's records, to a task that commits it. */
  letter(letter: Letter): void {
    const lane = this.#lanes[0]!;
    this.pushed++;
    lane.channels[seqOfOrigin(letter.origin) % lane.channels.length]!.pushLetter(letter);
  }

  /**
   * Tells each task that keeps rows of the table what the bucket has of some key groups, behind all that was passed on.
   * `origin`: of the last message that was read.
   */
  census(keys: KeysByGroup, { groups, origin }: { groups: GroupRange; origin: number }): void {
    for (const { route, channels } of this.#lanes) {
      for (const [partition, channel] of channels.entries()) {
        const own = keyGroupsOf(partition, route.partitions);
        const of = { from: Math.max(own.from, groups.from), to: Math.min(own.to, groups.to) };
        for (const part of partsOf(keys, of, channel.besideBytesMax)) channel.pushBeside(part, origin);
      }
    }
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

  #drain(channel: ChannelWriter, state: () => WriterState): void {
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

  /** Remembers how far the writer is at a position, to be told when all before it has landed. */
  sample(state: WriterState, counted: Counted | null = null): void {
    this.#samples.take({ state, counted });
  }

  /** Tells every stage how far this writer is, if that has changed since it was last told; not while that is being done. */
  async broadcast(): Promise<void> {
    if (this.#telling !== null) return;
    const news = this.#lanes.flatMap(lane => this.#newsFor(lane) ?? []);
    if (news.length === 0) return;
    await this.#tellAll(news);
  }

  async #tellAll(news: readonly News[]): Promise<void> {
    this.#telling = Promise.all(news.map(tell => this.#tell(tell)));
    try {
      await this.#telling;
    } finally {
      this.#telling = null;
    }
  }

  /** It is on record that all up to there has landed. */
  hasTold(position: number): boolean {
    return this.#lanes.every(({ told }) => told !== null && told.position >= position);
  }

  /** As `broadcast`, and what is sampled now is told when it resolves. */
  async lastBroadcast(): Promise<void> {
    while (this.#telling !== null) await this.#telling;
    await this.broadcast();
  }

  /** What there is to tell the stage; null: nothing that it has not been told. */
  #newsFor(lane: Lane): News | null {
    const landed = landedTo(lane);
    const sample = this.#samples.at(landed);
    if (sample === undefined) return null;
    const { state, counted } = sample;
    const { completeTo, furthest, told, toldCounted } = lane;
    // A stage that another one has to catch up with is further than the source is, and what it has is not ours yet.
    const position = Math.max(state.position, completeTo);
    const isOurs = furthest === null || position > completeTo;
    const by = isOurs ? this.#author : { ...this.#author, program: programOf(lane) };
    const head = { row: 0, by, ...state, position };
    if (told === null || isNews(head, told)) return { lane, head, counted };
    return lane.toldProgram === this.#program ? null : { lane, head: told, counted: toldCounted };
  }

  async #tell({ lane, head, counted }: News): Promise<void> {
    const { broadcast } = lane;
    // It has read on: what was tried is done.
    if (lane === this.#lanes[0] && head.position > (this.attempts?.at ?? 0)) this.attempts = null;
    const headers = {
      [HEADER_SOURCE]: markText(this.#options.mark()),
      [HEADER_PROGRAM]: this.#program,
      ...(counted === null ? {} : { [HEADER_COUNTED]: JSON.stringify(counted) }),
      ...(lane !== this.#lanes[0] || this.attempts === null
        ? {}
        : { [HEADER_ATTEMPTS]: JSON.stringify(this.attempts) }),
    };
    const outcome = await broadcast.append(encodeBroadcast(head), headers);
    if (outcome.kind === 'moved') throw beaten(outcome.tail, { author: this.#author, chain: broadcast });
    lane.told = head;
    lane.toldProgram = this.#program;
    lane.toldCounted = counted;
  }

  stop(): void {
    this.#cancelFlush?.();
    for (const lane of this.#lanes) {
      lane.broadcast.stop();
      for (const channel of lane.channels) channel.stop();
    }
  }
}
