/**
 * The way out to an output stream whose subjects any task may write: atomic batches, each closed by the markers of the
 * tasks whose rows are in it. One batch is in flight for a stream and worker, and it carries what all its tasks have
 * waiting, because a batch costs the broker the same few ms whatever its size.
 *
 * A task's marker is a chain: `{commit, row}` says that all rows of earlier commits and this many of that commit are
 * in. Rows and marker land together or not at all (invariant F), so:
 * - an answer was lost: the batch goes again as a new one; if the first had landed, its markers refuse the second
 * - a batch is refused: the markers that moved say what of their tasks is in; the rest goes again without it
 */
import { backoffMs } from '../base/backoff.ts';
import { type Clock, sleep } from '../base/clock.ts';
import { invariant, MillraceError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import type { Headers, Log, NewMessage, StoredMessage } from '../port/log.ts';
import type { Progress } from '../record/frame.ts';
import { firstTrace, traceHeaders } from '../record/trace.ts';
import type { Outlet } from './chain-outlet.ts';
import { OutgoingQueue, parseProgress, progressText } from './queue.ts';
import { CommonHeaders, HEADER_ORIGIN, joinRows, originText, type RowsItem, type Sender } from './rows-item.ts';
import type { SinkSpec } from './sink-spec.ts';

const BATCH_MESSAGES_MAX = 1000;
const BATCH_BYTES_MAX = 4 << 20;
const RETRY_BASE_MS = 10;
const RETRY_MAX_MS = 1000;
const NONE: Headers = {};

/** One task's part in a shared output stream. */
export interface SharedSeat {
  readonly sink: Pick<SinkSpec, 'format' | 'frame'>;
  readonly sender: Sender;
  readonly marker: string;
  readonly rememberedSeq: number;
  /** The last commit of former owners: later ones nobody but us can have sent. */
  readonly inheritedTo: number;
  onSent(item: RowsItem, seq: number): void;
  onFailed(error: unknown): void;
}

class Seat implements Outlet<RowsItem> {
  readonly options: SharedSeat;
  readonly queue = new OutgoingQueue<RowsItem>();
  readonly commonHeaders: CommonHeaders;
  /** Sequence of the marker's last message; null: not read yet. */
  markerSeq: number | null = null;
  gone = false;
  #wake: () => void;
  #leave: (seat: Seat) => void;

  constructor(options: SharedSeat, wake: () => void, leave: (seat: Seat) => void) {
    this.options = options;
    this.commonHeaders = new CommonHeaders(options);
    this.#wake = wake;
    this.#leave = leave;
  }

  get backlogBytes(): number {
    return this.queue.bytes;
  }

  push(item: RowsItem): void {
    this.queue.push(item);
    this.#wake();
  }

  stop(): void {
    this.gone = true;
    this.#leave(this);
  }

  settle(through: Progress): void {
    for (const item of this.queue.settle(through)) this.options.onSent(item, this.markerSeq ?? 0);
  }

  /** What the marker's last message says. */
  adopt(tail: StoredMessage | null): void {
    if (tail === null) {
      // A marker that expires later leaves no doubt: we have seen what was in, and go on as in an empty chain.
      const { rememberedSeq, inheritedTo } = this.options;
      if (this.markerSeq === null && rememberedSeq > 0 && this.queue.at(0)!.commit <= inheritedTo) {
        throw new MillraceError(
          'CHAIN_BROKEN',
          `marker ${this.options.marker} is gone and results wait to be sent, so it cannot be told whether they were sent already. The stream's retention is shorter than the outage was; delete and deploy the pipeline again, or raise max_age.`,
        );
      }
      this.markerSeq = 0;
      return;
    }
    this.markerSeq = tail.seq;
    const progress = parseProgress(new TextDecoder().decode(tail.data));
    if (progress === null) {
      throw new MillraceError(
        'CHAIN_BROKEN',
        `marker ${this.options.marker}: the message at ${tail.seq} is not Millrace's`,
      );
    }
    this.settle(progress);
  }
}

/** What a batch takes from one seat. */
interface Share {
  readonly seat: Seat;
  readonly through: Progress;
}

export class SharedStream {
  readonly stream: string;
  #log: Log;
  #clock: Clock;
  #random: Random;
  #seats: Seat[] = [];
  /** The seat that is served first; moves on so that none starves. */
  #next = 0;
  #running = false;

  constructor(options: { stream: string; log: Log; clock: Clock; random: Random }) {
    this.stream = options.stream;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  seat(options: SharedSeat): Outlet<RowsItem> {
    const leave = (seat: Seat) => {
      this.#seats = this.#seats.filter(other => other !== seat);
    };
    const seat = new Seat(options, () => this.#wake(), leave);
    this.#seats.push(seat);
    return seat;
  }

  #wake(): void {
    if (this.#running) return;
    this.#running = true;
    // A turn of the event loop later, so that what other tasks commit right now goes with it.
    this.#clock.soon(() => void this.#serve());
  }

  async #serve(): Promise<void> {
    for (let attempt = 0; ; ) {
      const open = this.#seats.filter(seat => seat.queue.length > 0);
      if (open.length === 0) break;
      const done = await this.#sendOne(open).catch(error => {
        for (const seat of open) this.#fail(seat, error);
        return true;
      });
      attempt = done ? 0 : attempt + 1;
      if (!done) {
        await sleep(
          this.#clock,
          backoffMs(attempt, { baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS, random: this.#random }),
        );
      }
    }
    this.#running = false;
  }

  #fail(seat: Seat, error: unknown): void {
    seat.stop();
    seat.options.onFailed(error);
  }

  /** One batch. False: it is in doubt and goes again after a while. */
  async #sendOne(open: readonly Seat[]): Promise<boolean> {
    for (const seat of open) if (seat.markerSeq === null && !(await this.#readMarker(seat))) return false;
    const { messages, shares } = this.#fill(open.filter(seat => !seat.gone && seat.queue.length > 0));
    if (messages.length === 0) return true;
    const outcome = await this.#log.appendBatch(messages);
    if (outcome.kind === 'unsure') return false;
    if (outcome.kind === 'moved') {
      for (const { seat } of shares) if (!(await this.#readMarker(seat))) return false;
      return true;
    }
    // The markers are the batch's last messages, and a batch's sequences follow each other.
    shares.forEach(({ seat, through }, i) => {
      seat.markerSeq = outcome.seq - (shares.length - 1 - i);
      seat.settle(through);
    });
    return true;
  }

  async #readMarker(seat: Seat): Promise<boolean> {
    try {
      seat.adopt(await this.#log.last({ stream: this.stream, subject: seat.options.marker }));
    } catch (error) {
      if (error instanceof MillraceError && error.fate === 'retry') return false;
      this.#fail(seat, error);
    }
    return true;
  }

  #fill(open: readonly Seat[]): { messages: NewMessage[]; shares: Share[] } {
    const messages: NewMessage[] = [];
    const shares: Share[] = [];
    const budget = { messages: BATCH_MESSAGES_MAX, bytes: BATCH_BYTES_MAX };
    for (let i = 0; i < open.length; i++) {
      const seat = open[(this.#next + i) % open.length]!;
      // A marker for each seat that is in, this one's included.
      if (budget.messages - messages.length - shares.length < 2 || budget.bytes <= 0) break;
      const through = takeFrom(
        seat,
        messages,
        { shares: shares.length + 1, messageBytesMax: this.#log.messageBytesMax, ...budget },
        taken => {
          budget.bytes -= taken;
        },
      );
      if (through !== null) shares.push({ seat, through });
    }
    this.#next++;
    const encoder = new TextEncoder();
    for (const { seat, through } of shares) {
      invariant(seat.markerSeq !== null, 'a marker is read before it is written');
      messages.push({
        subject: seat.options.marker,
        data: encoder.encode(progressText(through)),
        expect: seat.markerSeq,
      });
    }
    return { messages, shares };
  }
}

/** Adds rows of a seat to a batch while there is room. Returns up to where they go, or null for none. */
function takeFrom(
  seat: Seat,
  messages: NewMessage[],
  budget: { messages: number; bytes: number; shares: number; messageBytesMax: number },
  took: (bytes: number) => void,
): Progress | null {
  const { sink, sender } = seat.options;
  let through: Progress | null = null;
  let bytes = 0;
  for (let i = 0; i < seat.queue.length; i++) {
    const item = seat.queue.at(i)!;
    const { rows, rowFrom, rowTo, commit } = item;
    let from = rowFrom;
    while (from < rowTo) {
      const room = budget.messages - messages.length - budget.shares;
      if (room <= 0 || bytes >= budget.bytes) break;
      const to = sink.frame === 'none' ? from + 1 : sameSubjectRun(rows, from, rowTo, budget.messageBytesMax / 2);
      const data = joinRows([{ item, from, to }]);
      const subject = rows.subjects[rows.subjectOf[from]!]!;
      const origin = originText(sender, rows.origins[from]!);
      const trace = firstTrace(rows.traces, from, to);
      let headers: Headers = origin === null ? NONE : { [HEADER_ORIGIN]: origin };
      if (trace !== null) headers = { ...headers, ...traceHeaders(trace) };
      const commonHeaders = seat.commonHeaders.of(to - from);
      const own = rows.headers?.[from];
      // A row's own headers may have any name.
      if (own === undefined) messages.push({ subject, data, headers, commonHeaders });
      else messages.push({ subject, data, headers: { ...commonHeaders, ...headers, ...own } });
      bytes += data.length + 128;
      through = { position: commit, row: to };
      from = to;
    }
    if (from < rowTo) break;
  }
  took(bytes);
  return through;
}

/** Rows that follow each other to one subject may share a message. */
function sameSubjectRun(rows: RowsItem['rows'], from: number, to: number, bytesMax: number): number {
  let end = from;
  let bytes = 0;
  while (end < to && rows.subjectOf[end] === rows.subjectOf[from]) {
    bytes += rows.lengths[end]! + 1;
    if (end > from && bytes > bytesMax) break;
    end++;
  }
  return end;
}
