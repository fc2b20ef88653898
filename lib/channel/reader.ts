/**
 * Channels as the task that reads them sees them: frames of one input, from a reader or from all tasks of another stage.
 * Places in them are those of `operator/feed.ts` (*slices*).
 */
import { type Clock, sleep } from '../base/clock.ts';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import { SHORTER_READINGS_MAX } from '../chain/chain.ts';
import {
  type Fed,
  type FeedLimits,
  type Journaled,
  NOTHING,
  placesOf,
  type RecordPlace,
  type Refusals,
  TAKE_BYTES_MAX,
  type TaskInput,
  TIME,
} from '../operator/feed.ts';
import type { Cursor, Receiver } from '../operator/run.ts';
import { EXPECT_HEADER } from '../port/headers.ts';
import type { Log, LogReader, StoredMessage } from '../port/log.ts';
import { changeAt } from '../record/columns.ts';
import type { Letter } from '../record/letter.ts';
import { broadcastSubject, channelSubject, channelsStream, type Deployment, ROWS, writerOf } from '../record/names.ts';
import { NO_TIME } from '../window/source-time.ts';
import type { Voice } from '../window/watermark.ts';
import { decodeBroadcast, decodeFrame, type Frame, type FrameHead } from './frame.ts';
import { Trims } from './trims.ts';

/** Who writes to an input, and what is to be known of its silence. */
export interface WriterPlan extends Pick<Voice, 'name' | 'idleAfterMs' | 'skips'> {
  /** Its token in subjects. */
  readonly writer: string;
}

interface Writer extends Voice {
  watermarkMs: number;
  clockMs: number;
  quietMs: number;
  bootstrapped: boolean;
  /** Sequence of its last frame that was read; 0: none yet by this reader. */
  seq: number;
}

/**
 * What a task reads ahead waits until all other tasks of the worker have had their turn, so it grows old, and it is there
 * once for each of them: no more than keeps a task busy for as long as the broker takes to send the next.
 */
const AHEAD_BYTES_MAX = 512 << 10;
const SHORTER_PAUSE_MS = 100;
const NO_MESSAGES: readonly StoredMessage[] = [];

export interface ChannelReaderOptions {
  readonly name: string;
  readonly bootstrap: boolean;
  readonly deployment: Deployment;
  readonly stage: string;
  readonly partition: number;
  readonly writers: readonly WriterPlan[];
  readonly log: Log;
  readonly clock: Clock;
  readonly entry: Receiver;
  readonly cursor: Cursor;
  letter(letter: Letter): void;
  readonly refusals: Refusals;
  /** Told the trace context of each record that has one; absent: nobody traces. */
  readonly traced?: ((trace: string) => void) | undefined;
  onFailed(error: unknown): void;
}

export class ChannelReader implements TaskInput {
  readonly name: string;
  readonly bootstrap: boolean;
  #options: ChannelReaderOptions;
  #stream: string;
  #writers = new Map<string, Writer>();
  readonly voices: readonly Voice[];
  #reader: LogReader | null = null;
  /** All messages up to this sequence have been passed on, … */
  #position = 0;
  /** When the message there was stored, by the broker's clock, ms; 0: unknown. By this it is known again. */
  #timeMs = 0;
  /** Where reading began: all up to there was read by former owners. */
  #openedAt = 0;
  /** … and so many rows of the next. */
  #row = 0;
  /** Taken and not passed on yet, and the frame in the first of them if some of it has been. */
  #rest: readonly StoredMessage[] = NO_MESSAGES;
  #frame: Frame | null = null;
  #last: RecordPlace = { seq: 0, row: 0 };
  #trims: Trims;
  #publishedMs = Number.POSITIVE_INFINITY;

  constructor(options: ChannelReaderOptions) {
    this.name = options.name;
    this.bootstrap = options.bootstrap;
    this.#options = options;
    this.#stream = channelsStream(options.deployment, options);
    const { deployment, stage, bootstrap, partition, name, log, clock, onFailed } = options;
    const subjects = new Map<string, string>();
    for (const plan of options.writers) {
      const { writer } = plan;
      this.#writers.set(writer, newWriter(plan));
      subjects.set(writer, channelSubject(deployment, { stage, bootstrap, partition, input: name, writer }));
    }
    this.#trims = new Trims({ log, clock, stream: this.#stream, subjects, onFailed });
    this.voices = [...this.#writers.values()];
  }

  async open({ positions }: Journaled, onReady: () => void): Promise<void> {
    const { deployment, stage, bootstrap, partition, log, name } = this.#options;
    const position = positions[name] ?? 0;
    this.#position = position;
    this.#timeMs = positions[name + TIME] ?? 0;
    this.#row = positions[name + ROWS] ?? 0;
    this.#openedAt = position;
    await this.#checkPlace();
    this.#trims.open(position);
    // A writer that has said its last word before our position would never be heard again: ask for it. That holds what it
    // is complete to. Of its silence it says nothing any more: it may have spoken since, in what we have read already (W5).
    await Promise.all(
      Array.from(this.#writers, async ([writer, state]) => {
        const subject = broadcastSubject(deployment, { stage, bootstrap, input: name, writer });
        const last = await log.last({ stream: this.#stream, subject });
        if (last !== null && last.seq <= position) hear(state, { ...decodeBroadcast(last.data), ...UNHEARD });
      }),
    );
    const subjects = [
      channelSubject(deployment, { stage, bootstrap, partition, input: name, writer: '*' }),
      broadcastSubject(deployment, { stage, bootstrap, input: name, writer: '*' }),
    ];
    this.#reader = log.read({
      stream: this.#stream,
      subjects,
      from: position + 1,
      bufferBytesMax: AHEAD_BYTES_MAX,
    });
    this.#reader.onReady = onReady;
  }

  /**
   * The message that was read last must be the one that is there, or gone: else the stream was put back to an older copy
   * and has grown since, and frames that were never read lie where others were.
   */
  async #checkPlace(): Promise<void> {
    if (this.#timeMs === 0) return;
    const { log } = this.#options;
    const place = { stream: this.#stream, seq: this.#position };
    let message = await log.get(place);
    if (message === null) {
      // Gone, or not there yet. Who was not there at first may have come while we looked.
      await this.#checkReached();
      message = await log.get(place);
    }
    if (message === null || message.timeMs === this.#timeMs) return;
    throw this.#broken(`the message at ${this.#position} is not the one that was read`);
  }

  /** Asked a few times, since a leader that was just deposed may not know of the last messages. */
  async #checkReached(): Promise<void> {
    const { log, clock } = this.#options;
    for (let reading = 1; ; reading++) {
      const info = await log.info(this.#stream);
      if (info === null || info.lastSeq >= this.#position) return;
      if (reading >= SHORTER_READINGS_MAX) {
        throw this.#broken(`it ends at ${info.lastSeq}, and the message at ${this.#position} was read`);
      }
      await sleep(clock, SHORTER_PAUSE_MS);
    }
  }

  #broken(what: string): MillraceError {
    const { stage, partition } = this.#options;
    return new MillraceError(
      'CHAIN_BROKEN',
      `input ${this.name} of ${stage}/${partition}: ${what}. Stream ${this.#stream} lost messages, or it or the journal was put back to an older copy; restore both as they were, or delete the pipeline with its state.`,
    );
  }

  places(): Record<string, number> {
    return { [this.name + TIME]: this.#timeMs, ...placesOf(this.name, this.#position, this.#row) };
  }

  get lastPlace(): RecordPlace {
    return this.#last;
  }

  get watermarkMs(): number {
    let least = Number.POSITIVE_INFINITY;
    for (const { watermarkMs } of this.voices) if (watermarkMs < least) least = watermarkMs;
    return least;
  }

  tick(): void {
    this.#trims.tick();
  }

  get bootstrapped(): boolean {
    for (const writer of this.#writers.values()) if (!writer.bootstrapped) return false;
    return true;
  }

  feed(limits: FeedLimits): Fed {
    const reader = this.#reader;
    if (reader === null) return NOTHING;
    const messages =
      this.#rest.length > 0
        ? this.#rest
        : reader.take({
            messagesMax: Math.max(1, limits.recordsMax >> 6),
            bytesMax: Math.min(limits.bytesMax, TAKE_BYTES_MAX),
          });
    if (messages.length === 0) {
      // Nobody but us may change the stream.
      if (isMillraceError(reader.error, 'STREAM_CHANGED')) throw this.#broken(reader.error.message);
      if (reader.error !== null) throw reader.error;
      return NOTHING;
    }
    let records = 0;
    let bytes = 0;
    let read = 0;
    this.#publishedMs = Number.POSITIVE_INFINITY;
    while (read < messages.length && (read === 0 || !limits.full())) {
      const message = messages[read]!;
      records += this.#read(message, limits.full);
      if (this.#row > 0) break;
      read++;
      bytes += message.data.length;
      this.#position = message.seq;
      this.#timeMs = message.timeMs;
    }
    this.#rest = read === messages.length ? NO_MESSAGES : messages.slice(read);
    this.#trims.read({ bytes, messages: read });
    return { records, bytes, publishedMs: this.#publishedMs };
  }

  next(): RecordPlace | null {
    for (;;) {
      if (this.#rest.length === 0) {
        this.#rest = this.#reader?.take({ messagesMax: 1, bytesMax: TAKE_BYTES_MAX }) ?? NO_MESSAGES;
      }
      const message = this.#rest[0];
      if (message === undefined) return null;
      if (writerOf(message.subject).kind !== 'broadcast') return { seq: message.seq, row: this.#row };
      this.feed({ recordsMax: 1, bytesMax: 1, full: () => true });
    }
  }

  /** Passes on the rows of a message that have not been, until the batch is full. Leaves `#row` at 0 when none is left. */
  #read(message: StoredMessage, full: () => boolean): number {
    const from = this.#row;
    this.#row = 0;
    const sender = writerOf(message.subject);
    const writer = this.#writers.get(sender.writer);
    if (writer === undefined) return 0;
    if (sender.kind === 'broadcast') {
      hear(writer, decodeBroadcast(message.data));
      return 0;
    }
    let frame = this.#frame;
    if (frame === null) {
      this.#checkChain(message, writer);
      frame = decodeFrame(message.data);
      this.#begin(frame);
    }
    const { letters } = frame;
    const rows = frame.columns.keys.length + letters.length;
    let to = this.#passRecords(frame, { seq: message.seq, from, full });
    for (let i = Math.max(0, from - frame.columns.keys.length); to === -1 && i < letters.length; i++) {
      const place = { seq: message.seq, row: frame.columns.keys.length + i };
      if (this.#options.refusals.refused()?.(place)) this.#options.refusals.pass(letters[i]!);
      else this.#options.letter(letters[i]!);
      if (full()) to = frame.columns.keys.length + i + 1;
    }
    if (to !== -1 && to < rows) {
      this.#frame = frame;
      this.#row = to;
      return to - from;
    }
    this.#frame = null;
    hear(writer, frame);
    return rows - from;
  }

  #begin({ columns: { traces }, publishedMs }: Frame): void {
    const { traced } = this.#options;
    if (traces !== undefined && traced !== undefined) for (const trace of traces) if (trace !== null) traced(trace);
    if (publishedMs !== undefined && publishedMs < this.#publishedMs) this.#publishedMs = publishedMs;
  }

  /** Returns at which row the batch was full; -1: it is not. */
  #passRecords(frame: Frame, { seq, from, full }: { seq: number; from: number; full(): boolean }): number {
    const { entry, cursor, refusals } = this.#options;
    const { keys, timesMs, origins, ids, values, traces, changes } = frame.columns;
    const refused = refusals.refused();
    let to = -1;
    for (let i = from; i < keys.length && to === -1; i++) {
      cursor.origin = origins[i]!;
      cursor.id = ids === null ? null : ids[i]!;
      cursor.trace = traces === undefined ? null : traces[i]!;
      const why = refused?.({ seq, row: i });
      if (why) refusals.refuse(why, values[i], changeAt(changes, i));
      else entry.receive(keys[i]!, values[i], timesMs[i]!, changeAt(changes, i));
      if (full()) to = i + 1;
    }
    this.#last = { seq, row: (to === -1 ? keys.length : to) - 1 };
    cursor.id = null;
    cursor.trace = null;
    return to;
  }

  /**
   * A channel is a chain: a frame names the one before it, so a missing one is noticed here at the latest. The first that
   * comes of a writer follows one that a former owner has read, or none.
   */
  #checkChain(message: StoredMessage, writer: Writer): void {
    const before = Number(message.headers?.[EXPECT_HEADER] ?? 0);
    const isNext = writer.seq === 0 ? before <= this.#openedAt : before === writer.seq;
    if (!isNext) {
      const read = writer.seq === 0 ? `was read only up to ${this.#openedAt}` : `${writer.seq} was read last`;
      throw this.#broken(`the message at ${message.seq} follows ${before}, but ${read}`);
    }
    writer.seq = message.seq;
  }

  committed(places: Readonly<Record<string, number>>): void {
    const position = places[this.name] ?? 0;
    // Reading is ahead of commits: what lies between is needed.
    for (const [writer, { seq }] of this.#writers) if (seq > 0) this.#trims.committed(writer, Math.min(seq, position));
  }

  async stop(): Promise<void> {
    const reader = this.#reader;
    this.#reader = null;
    this.#rest = NO_MESSAGES;
    this.#frame = null;
    this.#trims.close();
    if (reader === null) return;
    reader.onReady = null;
    await reader.stop();
  }
}

const UNHEARD = { clockMs: Number.NEGATIVE_INFINITY, quietMs: 0 };

function newWriter({ name, idleAfterMs, skips }: WriterPlan): Writer {
  return { name, idleAfterMs, skips, bootstrapped: false, seq: 0, ...NO_TIME };
}

function hear(writer: Writer, head: FrameHead): void {
  if (head.watermarkMs > writer.watermarkMs) writer.watermarkMs = head.watermarkMs;
  if (head.clockMs >= writer.clockMs) {
    writer.clockMs = head.clockMs;
    writer.quietMs = head.quietMs;
  }
  writer.bootstrapped ||= head.bootstrapped;
}
