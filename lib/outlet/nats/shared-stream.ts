/**
 * The way out to an output stream whose subjects any task may write: atomic batches, each with the markers of the tasks
 * whose rows are in it (`shared-outlet.ts`). One batch is in flight for a stream and worker, and it carries what all its tasks have
 * waiting, because a batch costs the broker the same few ms whatever its size.
 *
 * - an answer was lost: the batch goes again as a new one; if any of the first is in, its markers refuse the second
 * - a batch is refused: the markers that moved say what of their tasks is in; the rest goes again without it
 */
import { backoffMs } from '../../base/backoff.ts';
import { type Clock, sleep } from '../../base/clock.ts';
import { invariant, isMillraceError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import type { Progress } from '../../channel/frame.ts';
import type { Append, Headers, Log, NewMessage } from '../../port/log.ts';
import { firstTrace, traceHeaders } from '../../record/trace.ts';
import type { Outlet } from '../outlet.ts';
import { addressFrom } from './destination.ts';
import {
  type Block,
  changeText,
  HEADER_CHANGE,
  HEADER_ORIGIN,
  joinRows,
  type NatsItem,
  originText,
} from './rows-item.ts';
import { encodeMarker, isPassing, SharedOutlet, type SharedOutletOptions } from './shared-outlet.ts';

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

/** What a batch takes from one outlet: `messages` of them, the first at `first` of the batch's rows. */
interface Share {
  readonly outlet: SharedOutlet;
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
  #outlets: SharedOutlet[] = [];
  /** The outlet that is served first; moves on so that none starves. */
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

  /** The way in of one task. */
  outlet(options: SharedOutletOptions): Outlet<NatsItem> {
    const leave = (outlet: SharedOutlet) => {
      this.#outlets = this.#outlets.filter(other => other !== outlet);
    };
    const outlet = new SharedOutlet(options, { log: this.#log, stream: this.stream, wake: () => this.#wake(), leave });
    this.#outlets.push(outlet);
    return outlet;
  }

  #wake(): void {
    if (this.#running) return;
    this.#running = true;
    // A turn of the event loop later, so that what other tasks commit right now goes with it.
    this.#clock.soon(() => void this.#serve());
  }

  async #serve(): Promise<void> {
    for (let attempt = 0; ; ) {
      const open = this.#outlets.filter(outlet => outlet.queue.length > 0 || outlet.isAsked);
      if (open.length === 0) break;
      const done = await this.#sendOne(open).catch(error => {
        for (const outlet of open) outlet.fail(error);
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
  async #sendOne(open: readonly SharedOutlet[]): Promise<boolean> {
    const unread = open.filter(outlet => outlet.markerSeq === null || outlet.isAsked);
    if (!(await this.#readMarkers(unread))) return false;
    const { messages, shares } = this.#fill(open.filter(outlet => !outlet.gone && outlet.queue.length > 0));
    if (messages.length === 0) return true;
    const outcome = await this.#log.appendBatch(messages).catch(asUnsure);
    if (outcome.kind === 'unsure') {
      for (const { outlet } of shares) outlet.inDoubt = true;
      return false;
    }
    if (outcome.kind === 'moved') return this.#readMarkers(shares.map(({ outlet }) => outlet));
    // The markers are the batch's last messages, and a batch's sequences follow each other.
    shares.forEach(({ outlet, through }, i) => {
      outlet.isDone(through, outcome.seq - (shares.length - 1 - i));
    });
    this.#brokenOff = 0;
    return true;
  }

  /** False: not all could be read. */
  async #readMarkers(outlets: readonly SharedOutlet[]): Promise<boolean> {
    let brokenOff = false;
    for (const outlet of outlets) {
      try {
        const found = await outlet.goOn();
        if (found === 'later') return false;
        if (found === 'brokenOff') brokenOff = true;
      } catch (error) {
        if (isPassing(error)) return false;
        outlet.fail(error);
      }
    }
    if (brokenOff) await this.#pause(this.#brokenOff++, BROKEN_OFF_BASE_MS, BROKEN_OFF_MAX_MS);
    return true;
  }

  #fill(open: readonly SharedOutlet[]): { messages: NewMessage[]; shares: Share[] } {
    const rows: NewMessage[] = [];
    const shares: Share[] = [];
    let bytes = BATCH_BYTES_MAX;
    for (let i = 0; i < open.length; i++) {
      const outlet = open[(this.#next + i) % open.length]!;
      // Two markers for each outlet that is in, this one's included.
      const messagesMax = BATCH_MESSAGES_MAX - rows.length - 2 * (shares.length + 1);
      if (messagesMax < 1 || bytes <= 0) break;
      const first = rows.length;
      const { commit, rowFrom } = outlet.queue.at(0)!;
      const before = { position: commit, row: rowFrom };
      const taken = takeFrom(outlet, rows, {
        messagesMax,
        bytesMax: bytes,
        messageBytesMax: this.#log.messageBytesMaxOf(this.stream),
      });
      bytes -= taken.bytes;
      if (taken.through === null) continue;
      outlet.sends(taken.through.position);
      shares.push({ outlet, before, through: taken.through, first, messages: rows.length - first });
    }
    this.#next++;
    return { messages: [...begunMarkers(shares), ...rows, ...doneMarkers(shares)], shares };
  }
}

/** What is too large for the stream goes again in smaller messages, as it has said by now what it takes; one row waits for it. */
function asUnsure(cause: unknown): Append {
  if (isMillraceError(cause, 'MESSAGE_TOO_LARGE')) return { kind: 'unsure', cause };
  throw cause;
}

function begunMarkers(shares: readonly Share[]): NewMessage[] {
  return shares.map(({ outlet, before, first, messages }, i) => {
    invariant(outlet.markerSeq !== null, 'a marker is read before it is written');
    const begun = { first: shares.length - i + first, messages };
    return {
      stream: outlet.stream,
      subject: outlet.options.marker,
      data: encodeMarker({ progress: before, begun }),
      expect: outlet.markerSeq,
    };
  });
}

function doneMarkers(shares: readonly Share[]): NewMessage[] {
  return shares.map(({ outlet, through }) => ({
    stream: outlet.stream,
    subject: outlet.options.marker,
    data: encodeMarker({ progress: through, begun: null }),
  }));
}

/** Adds rows of an outlet to a batch while there is room. `through`: up to where they go, or null for none. */
function takeFrom(
  outlet: SharedOutlet,
  messages: NewMessage[],
  limits: { messagesMax: number; bytesMax: number; messageBytesMax: number },
): { through: Progress | null; bytes: number } {
  const { sender } = outlet.options;
  const end = messages.length + limits.messagesMax;
  let through: Progress | null = null;
  let bytes = 0;
  for (let i = 0; i < outlet.queue.length; i++) {
    const item = outlet.queue.at(i)!;
    const { rows, rowFrom, rowTo, commit } = item;
    const { style } = item.way;
    let from = rowFrom;
    while (from < rowTo) {
      if (messages.length >= end || bytes >= limits.bytesMax) break;
      const to = style.frame === 'none' ? from + 1 : sameSubjectRun(rows, from, rowTo, limits.messageBytesMax / 2);
      const blocks: [Block] = [{ item, from, to }];
      const data = joinRows(blocks);
      const { subject, headers: own } = addressFrom(rows.addresses[rows.addressOf[from]!]!);
      const origin = originText(sender.sourceStreams, rows.origins[from]!);
      const change = changeText(blocks);
      const trace = firstTrace(rows.traces, from, to);
      let headers: Headers = origin === null ? NONE : { [HEADER_ORIGIN]: origin };
      if (change !== null) headers = { ...headers, [HEADER_CHANGE]: change };
      if (trace !== null) headers = { ...headers, ...traceHeaders(trace) };
      const commonHeaders = style.of(to - from);
      // A row's own headers may have any name.
      if (own === null) messages.push({ stream: outlet.stream, subject, data, headers, commonHeaders });
      else messages.push({ stream: outlet.stream, subject, data, headers: { ...commonHeaders, ...headers, ...own } });
      bytes += data.length + 128;
      through = { position: commit, row: to };
      from = to;
    }
    if (from < rowTo) break;
  }
  return { through, bytes };
}

/** Rows that follow each other to one subject may share a message. */
function sameSubjectRun(rows: NatsItem['rows'], from: number, to: number, bytesMax: number): number {
  let end = from;
  let bytes = 0;
  while (end < to && rows.addressOf[end] === rows.addressOf[from]) {
    bytes += rows.lengths[end]! + 1;
    if (end > from && bytes > bytesMax) break;
    end++;
  }
  return end;
}
