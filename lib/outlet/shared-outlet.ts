/**
 * The way out to an output stream whose subjects any task may write: atomic batches, each with the markers of the tasks
 * whose rows are in it (`seat.ts`). One batch is in flight for a stream and worker, and it carries what all its tasks have
 * waiting, because a batch costs the broker the same few ms whatever its size.
 *
 * - an answer was lost: the batch goes again as a new one; if any of the first is in, its markers refuse the second
 * - a batch is refused: the markers that moved say what of their tasks is in; the rest goes again without it
 */
import { backoffMs } from '../base/backoff.ts';
import { type Clock, sleep } from '../base/clock.ts';
import { invariant } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import type { Progress } from '../channel/frame.ts';
import type { Headers, Log, NewMessage } from '../port/log.ts';
import { firstTrace, traceHeaders } from '../record/trace.ts';
import type { Outlet } from './chain-outlet.ts';
import { HEADER_ORIGIN, joinRows, originText, type RowsItem } from './rows-item.ts';
import { encodeMarker, isPassing, Seat, type SeatOptions } from './seat.ts';

const BATCH_MESSAGES_MAX = 1000;
const BATCH_BYTES_MAX = 4 << 20;
const RETRY_BASE_MS = 10;
const RETRY_MAX_MS = 1000;
/**
 * A batch that was broken off keeps one of the stream's fifty places in nats-server until that is started again, and there
 * is no room for the next either. So the first is followed by the next after this long, and each further one later.
 */
const BROKEN_OFF_BASE_MS = 1000;
const BROKEN_OFF_MAX_MS = 60_000;
const NONE: Headers = {};

/** What a batch takes from one seat: `messages` of them, the first at `first` of the batch's rows. */
interface Share {
  readonly seat: Seat;
  readonly before: Progress;
  readonly through: Progress;
  readonly first: number;
  readonly messages: number;
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
  /** Batches that were broken off since one was not. */
  #brokenOff = 0;

  constructor(options: { stream: string; log: Log; clock: Clock; random: Random }) {
    this.stream = options.stream;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  seat(options: SeatOptions): Outlet<RowsItem> {
    const leave = (seat: Seat) => {
      this.#seats = this.#seats.filter(other => other !== seat);
    };
    const seat = new Seat(options, { log: this.#log, stream: this.stream, wake: () => this.#wake(), leave });
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
      const open = this.#seats.filter(seat => seat.queue.length > 0 || seat.isAsked);
      if (open.length === 0) break;
      const done = await this.#sendOne(open).catch(error => {
        for (const seat of open) seat.fail(error);
        return true;
      });
      attempt = done ? 0 : attempt + 1;
      if (!done) await this.#pause(attempt, RETRY_BASE_MS, RETRY_MAX_MS);
    }
    this.#running = false;
  }

  #pause(attempt: number, baseMs: number, maxMs: number): Promise<void> {
    return sleep(this.#clock, backoffMs(attempt, { baseMs, maxMs, random: this.#random }));
  }

  /** One batch. False: it is in doubt and goes again after a while. */
  async #sendOne(open: readonly Seat[]): Promise<boolean> {
    const unread = open.filter(seat => seat.markerSeq === null || seat.isAsked);
    if (!(await this.#readMarkers(unread))) return false;
    const { messages, shares } = this.#fill(open.filter(seat => !seat.gone && seat.queue.length > 0));
    if (messages.length === 0) return true;
    const outcome = await this.#log.appendBatch(messages);
    if (outcome.kind === 'unsure') {
      for (const { seat } of shares) seat.inDoubt = true;
      return false;
    }
    if (outcome.kind === 'moved') return this.#readMarkers(shares.map(({ seat }) => seat));
    // The markers are the batch's last messages, and a batch's sequences follow each other.
    shares.forEach(({ seat, through }, i) => {
      seat.isDone(through, outcome.seq - (shares.length - 1 - i));
    });
    this.#brokenOff = 0;
    return true;
  }

  /** False: not all could be read. */
  async #readMarkers(seats: readonly Seat[]): Promise<boolean> {
    let brokenOff = false;
    for (const seat of seats) {
      try {
        const found = await seat.goOn();
        if (found === 'later') return false;
        if (found === 'brokenOff') brokenOff = true;
      } catch (error) {
        if (isPassing(error)) return false;
        seat.fail(error);
      }
    }
    if (brokenOff) await this.#pause(this.#brokenOff++, BROKEN_OFF_BASE_MS, BROKEN_OFF_MAX_MS);
    return true;
  }

  #fill(open: readonly Seat[]): { messages: NewMessage[]; shares: Share[] } {
    const rows: NewMessage[] = [];
    const shares: Share[] = [];
    let bytes = BATCH_BYTES_MAX;
    for (let i = 0; i < open.length; i++) {
      const seat = open[(this.#next + i) % open.length]!;
      // Two markers for each seat that is in, this one's included.
      const messagesMax = BATCH_MESSAGES_MAX - rows.length - 2 * (shares.length + 1);
      if (messagesMax < 1 || bytes <= 0) break;
      const first = rows.length;
      const { commit, rowFrom } = seat.queue.at(0)!;
      const before = { position: commit, row: rowFrom };
      const taken = takeFrom(seat, rows, { messagesMax, bytesMax: bytes, messageBytesMax: this.#log.messageBytesMax });
      bytes -= taken.bytes;
      if (taken.through === null) continue;
      seat.sends(taken.through.position);
      shares.push({ seat, before, through: taken.through, first, messages: rows.length - first });
    }
    this.#next++;
    return { messages: [...begunMarkers(shares), ...rows, ...doneMarkers(shares)], shares };
  }
}

function begunMarkers(shares: readonly Share[]): NewMessage[] {
  return shares.map(({ seat, before, first, messages }, i) => {
    invariant(seat.markerSeq !== null, 'a marker is read before it is written');
    const begun = { first: shares.length - i + first, messages };
    return { subject: seat.options.marker, data: encodeMarker({ progress: before, begun }), expect: seat.markerSeq };
  });
}

function doneMarkers(shares: readonly Share[]): NewMessage[] {
  return shares.map(({ seat, through }) => ({
    subject: seat.options.marker,
    data: encodeMarker({ progress: through, begun: null }),
  }));
}

/** Adds rows of a seat to a batch while there is room. `through`: up to where they go, or null for none. */
function takeFrom(
  seat: Seat,
  messages: NewMessage[],
  limits: { messagesMax: number; bytesMax: number; messageBytesMax: number },
): { through: Progress | null; bytes: number } {
  const { sender } = seat.options;
  const end = messages.length + limits.messagesMax;
  let through: Progress | null = null;
  let bytes = 0;
  for (let i = 0; i < seat.queue.length; i++) {
    const item = seat.queue.at(i)!;
    const { rows, rowFrom, rowTo, commit, style } = item;
    let from = rowFrom;
    while (from < rowTo) {
      if (messages.length >= end || bytes >= limits.bytesMax) break;
      const to = style.frame === 'none' ? from + 1 : sameSubjectRun(rows, from, rowTo, limits.messageBytesMax / 2);
      const data = joinRows([{ item, from, to }]);
      const subject = rows.subjects[rows.subjectOf[from]!]!;
      const origin = originText(sender, rows.origins[from]!);
      const trace = firstTrace(rows.traces, from, to);
      let headers: Headers = origin === null ? NONE : { [HEADER_ORIGIN]: origin };
      if (trace !== null) headers = { ...headers, ...traceHeaders(trace) };
      const commonHeaders = style.of(to - from);
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
  return { through, bytes };
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
