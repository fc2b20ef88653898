/**
 * A cursor over a stream, on a feed that may break at any time: owns the position, what has arrived and was not taken,
 * and the question whether something is missing. When the feed breaks, another is opened after the last message that
 * came; what was under way in the old one is never looked at, so nothing is doubled.
 *
 * **What counts as changed.** At every (re)opening: another time of birth, a last sequence below our position, or another
 * message in the place of the last that came (a broker that was restored from an older copy, and has grown since). With
 * `gaps: 'refuse'` also a first sequence above our position: messages that we never saw are gone. The same is asked
 * whenever sequences are skipped while reading (a purge that overtakes us), and until it is answered nothing beyond the
 * skip is given out. The broker does not tell which subjects the lost messages had, and single deletions look like
 * nothing at all; so chains, which are trimmed and check their own links, are read with `gaps: 'allow'`.
 */
import { backoffMs } from '../base/backoff.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { BEGIN_ANEW, isMillraceError, MillraceError } from '../base/errors.ts';
import type { LogReader, ReadOptions, StoredMessage, StreamLook } from '../port/log.ts';
import { isoTimeMs } from '../window/iso-time.ts';
import type { NatsLink } from './connection.ts';
import { type Feed, type FeedEvents, openFeed } from './feed.ts';
import type { NatsMessage } from './message.ts';
import { infoOf, isAnother, isUnread, LOOK_PATIENCE_MS } from './questions.ts';
import { QuietDoubt } from './quiet-doubt.ts';
import { errorOf, STREAM_NOT_FOUND } from './refusal.ts';
import type { WireStreamInfo } from './streams.ts';

/**
 * What waits here long grows old in V8's eyes, and only a full collection frees it: with 8 MB a catch-up spent twice as
 * much time in the collector as with 2.
 */
const BUFFER_BYTES_MAX = 2 * 1024 * 1024;
/** What a message weighs in the buffer beyond its data. */
const OVERHEAD_BYTES = 200;
const PULL_BYTES_MIN = 64 * 1024;
const CHECK_MS = 1_000;
const RETRY_BASE_MS = 50;
const RETRY_MAX_MS = 2_000;
/** How long a broker that is there may refuse to deliver. */
const REFUSED_MS = 5_000;

export class NatsReader implements LogReader, FeedEvents {
  onReady: (() => void) | null = null;
  readonly #link: NatsLink;
  readonly #stream: string;
  readonly #subjects: readonly string[] | null;
  readonly #headersOnly: boolean;
  readonly #bufferBytesMax: number;
  #refusesGaps: boolean;
  #error: Error | null = null;
  /** No more work: failed or stopped. */
  #ended = false;
  /** The owner has gone. */
  #stopped = false;
  #feed: Feed | null = null;
  #opening = false;
  /** Birth of the stream, once known. */
  #created: string | null = null;
  /** The next sequence that has not arrived. */
  #position: number;
  /** The last message that has arrived; 0: none yet. */
  #lastSeq = 0;
  #lastTimeMs = 0;
  #waiting: NatsMessage[] = [];
  /** Index in `#waiting` of the oldest message. */
  #head = 0;
  #waitingBytes = 0;
  #drained = false;
  /** Matching messages that had not arrived when the broker last said; null: it has said nothing yet. */
  #leftBeyond: number | null = null;
  #wakePending = false;
  readonly #doubt: QuietDoubt;
  /** Grows when a message does not fit. */
  #pullBytesMin = PULL_BYTES_MIN;
  /** Nothing from this sequence on may be taken: it is not known whether something before it is missing. */
  #heldFrom = Number.POSITIVE_INFINITY;
  /** The next sequence that had not arrived when the stream's front was last looked at. */
  #unlooked: number;
  /** The last look found messages gone that may have been for us. */
  #wasGone = false;
  readonly #timer: NodeJS.Timeout;
  readonly #endStatus: () => void;

  constructor(link: NatsLink, { stream, subjects, from, headersOnly, bufferBytesMax, gaps }: ReadOptions) {
    this.#link = link;
    this.#stream = stream;
    this.#subjects = subjects === undefined ? null : subjects;
    this.#headersOnly = headersOnly ?? false;
    this.#refusesGaps = (gaps ?? (subjects === undefined ? 'refuse' : 'allow')) === 'refuse';
    this.#position = Math.max(1, from);
    this.#unlooked = this.#position;
    this.#bufferBytesMax = bufferBytesMax ?? BUFFER_BYTES_MAX;
    this.#timer = setInterval(() => this.#feed?.check(), CHECK_MS).unref();
    this.#endStatus = link.onStatus(status => {
      if (status.kind === 'disconnected') this.#reopen();
    });
    this.#doubt = new QuietDoubt(link, { stream, subjects: this.#subjects, starved: at => this.#starved(at) });
    void this.#open();
  }

  get caughtUp(): boolean {
    return this.#drained && this.#head === this.#waiting.length;
  }

  get left(): number | null {
    return this.#leftBeyond === null ? null : this.#leftBeyond + this.#waiting.length - this.#head;
  }

  get nextTimeMs(): number | null {
    return this.#waiting[this.#head]?.timeMs ?? null;
  }

  get error(): Error | null {
    return this.#error;
  }

  take({ messagesMax, bytesMax }: { messagesMax: number; bytesMax: number }): StoredMessage[] {
    const waiting = this.#waiting;
    if (this.#head === waiting.length) return [];
    let taken: StoredMessage[];
    if (
      this.#head === 0 &&
      waiting.length <= messagesMax &&
      this.#waitingBytes <= bytesMax &&
      this.#heldFrom === Number.POSITIVE_INFINITY
    ) {
      taken = waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
    } else {
      taken = this.#takeSome({ messagesMax, bytesMax });
      const rest = this.#waiting[this.#head];
      if (rest !== undefined && rest.seq < this.#heldFrom) this.#wake();
    }
    this.#pull();
    return taken;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#end();
  }

  /**
   * Two questions to the stream's leader, in this order: where the stream ends, and then what the first message is that
   * matches and has not arrived. If that lies beyond the end that was told, all before it has arrived, and had when the
   * end was told. The consumer's own count of what is left would be one question, but it is a replica's, which may be
   * behind.
   */
  async look(): Promise<StreamLook | null> {
    try {
      return await this.#tryLook();
    } catch (error) {
      if (isMillraceError(error) && error.fate === 'retry') return null;
      this.#fail(error as Error);
      return null;
    }
  }

  async #tryLook(): Promise<StreamLook | null> {
    const before = this.#position;
    const info = await infoOf(this.#link, this.#stream, LOOK_PATIENCE_MS);
    const { state, ts, created } = info;
    this.#created ??= created;
    if (created !== this.#created) throw this.#changed(`was made anew at ${created}`);
    // A leader that was deposed may not know of what we have read. Whether that is lost is asked when the feed breaks.
    if (ts === undefined || state.last_seq < before - 1 || this.#isGone(info)) return null;
    this.#unlooked = before;
    const unread = { subjects: this.#subjects, from: this.#position, to: state.last_seq };
    if (unread.from <= unread.to && (await isUnread(this.#link, this.#stream, unread))) return null;
    const next = this.#waiting[this.#head];
    if (this.#ended || (next !== undefined && next.seq <= state.last_seq)) return null;
    // Where nothing is left nothing can be lost: from here on only what comes later counts as missing.
    this.#position = this.#unlooked = Math.max(this.#position, state.last_seq + 1);
    return { clockMs: isoTimeMs(ts), lastSeq: state.last_seq };
  }

  /**
   * Whether messages are gone that had not arrived. With subjects nobody can say whether they were for us, and some may
   * have arrived since the look before, so what counts is what was still to come then. One answer may overtake what was
   * sent before it; the next one tells.
   */
  #isGone({ state }: WireStreamInfo): boolean {
    const from = this.#subjects === null ? this.#position : this.#unlooked;
    const isGone = this.#refusesGaps && from > 1 && state.first_seq > from;
    if (isGone && this.#wasGone) throw this.#gone(state.first_seq, from);
    this.#wasGone = isGone;
    return isGone;
  }

  message(message: NatsMessage, pending: number): void {
    if (message.seq > this.#position && this.#refusesGaps && this.#subjects === null) this.#doubtSkip(message.seq);
    this.#position = message.seq + 1;
    this.#lastSeq = message.seq;
    this.#lastTimeMs = message.timeMs;
    this.#waiting.push(message);
    this.#waitingBytes += message.size + OVERHEAD_BYTES;
    this.#leftBeyond = pending;
    this.#drained = pending === 0;
    this.#wake();
  }

  pullEnded({ bytesShort }: { bytesShort: boolean }): void {
    if (bytesShort) this.#pullBytesMin *= 2;
    this.#pull();
  }

  quiet(): void {
    void this.#doubt.look(this.#position);
    if (this.#drained) return;
    this.#leftBeyond = 0;
    this.#drained = true;
    this.#wake();
  }

  #starved(at: number): void {
    if (this.#ended || this.#position !== at) return;
    this.#link.starved(this.#stream, at);
    this.#reopen();
  }

  broken(_reason: string, refusal: MillraceError | null): void {
    if (refusal === null) this.#reopen();
    else this.#fail(refusal);
  }

  #takeSome({ messagesMax, bytesMax }: { messagesMax: number; bytesMax: number }): StoredMessage[] {
    const waiting = this.#waiting;
    let end = this.#head;
    let bytes = 0;
    while (end < waiting.length && end - this.#head < messagesMax) {
      const message = waiting[end]!;
      if (message.seq >= this.#heldFrom || (bytes >= bytesMax && end > this.#head)) break;
      bytes += message.size + OVERHEAD_BYTES;
      end++;
    }
    const taken = waiting.slice(this.#head, end);
    this.#head = end;
    this.#waitingBytes -= bytes;
    if (this.#head * 2 >= waiting.length) {
      this.#waiting = waiting.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }

  #pull(): void {
    const feed = this.#feed;
    if (feed === null || feed.pulling || this.#waitingBytes * 2 > this.#bufferBytesMax) return;
    feed.pull(Math.max(this.#bufferBytesMax - this.#waitingBytes, this.#pullBytesMin));
  }

  /** Tells the owner once for everything that arrives in one turn. */
  #wake(): void {
    if (this.#wakePending) return;
    this.#wakePending = true;
    queueMicrotask(() => {
      this.#wakePending = false;
      if (!this.#stopped) this.onReady?.();
    });
  }

  #reopen(): void {
    this.#feed?.stop();
    this.#feed = null;
    this.#drained = false;
    void this.#open();
  }

  async #open(): Promise<void> {
    if (this.#opening) return;
    this.#opening = true;
    let sinceMs = systemClock.monotonic();
    for (let attempt = 0; !this.#ended && this.#feed === null; attempt++) {
      try {
        if (attempt > 0) {
          await sleep(systemClock, backoffMs(attempt - 1, { baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS }));
        }
        await this.#tryOpen();
      } catch (error) {
        // While the broker is away it is waited for. One that is there and goes on refusing is told of: the reader's
        // owner says so, and tries again with another reader.
        if (!this.#link.connected) sinceMs = systemClock.monotonic();
        const passes = isMillraceError(error) && error.fate === 'retry' && !this.#link.client.isClosed();
        if (!passes || systemClock.monotonic() - sinceMs > REFUSED_MS) this.#fail(error as Error);
      }
    }
    this.#opening = false;
  }

  async #tryOpen(): Promise<void> {
    await this.#checkStream(this.#position);
    const last = { seq: this.#lastSeq, timeMs: this.#lastTimeMs };
    if (last.seq > 0 && (await isAnother(this.#link, this.#stream, last))) {
      throw this.#changed(`has another message at sequence ${last.seq} than we have read`);
    }
    if (this.#ended) return;
    const opened = await openFeed(this.#link, {
      stream: this.#stream,
      subjects: this.#subjects,
      from: this.#position,
      headersOnly: this.#headersOnly,
      events: this,
    });
    if ('error' in opened) {
      if (opened.error.err_code === STREAM_NOT_FOUND) return; // gone since the check, which will say so
      throw errorOf(opened.error, `read ${this.#stream}`);
    }
    if (this.#ended) {
      opened.feed.stop();
      return;
    }
    this.#feed = opened.feed;
    this.#leftBeyond = opened.pending;
    this.#drained = opened.pending === 0;
    if (this.#drained) this.#wake();
    this.#pull();
  }

  /** Throws STREAM_MISSING, STREAM_CHANGED, BROKER_UNAVAILABLE. `wanted`: the first sequence not yet seen. */
  async #checkStream(wanted: number): Promise<void> {
    const { created, config, state } = await infoOf(this.#link, this.#stream);
    this.#created ??= created;
    if (created !== this.#created) throw this.#changed(`was made anew at ${created}`);
    if (state.last_seq < wanted - 1) {
      throw this.#changed(`ends at sequence ${state.last_seq}, but we have read up to ${wanted - 1}`);
    }
    // A stream that keeps a few messages a subject forgets old ones all the time: that is what it is for.
    if ((config.max_msgs_per_subject ?? -1) > 0) this.#refusesGaps = false;
    if (this.#refusesGaps && wanted > 1 && state.first_seq > wanted) throw this.#gone(state.first_seq, wanted);
  }

  #gone(firstSeq: number, wanted: number): MillraceError {
    const others = this.#subjects === null ? '' : ', and whether what is gone was for us cannot be told';
    return this.#changed(`now starts at sequence ${firstSeq}, but we have read only up to ${wanted - 1}${others}`);
  }

  #changed(what: string): MillraceError {
    return new MillraceError(
      'STREAM_CHANGED',
      `stream ${this.#stream} ${what}. Restore it as it was, or ${BEGIN_ANEW}`,
    );
  }

  /** Sequences were skipped before `seq`: holds everything from there back until it is known why. */
  #doubtSkip(seq: number): void {
    if (this.#position === 1) return; // reading from the beginning, wherever that is
    if (this.#heldFrom !== Number.POSITIVE_INFINITY) return;
    this.#heldFrom = seq;
    void this.#explain(this.#position);
  }

  async #explain(wanted: number): Promise<void> {
    for (let attempt = 0; !this.#ended; attempt++) {
      const askedAt = this.#position;
      try {
        await this.#checkStream(wanted);
        this.#release(askedAt);
        return;
      } catch (error) {
        if (!isMillraceError(error) || error.fate !== 'retry') {
          this.#fail(error as Error);
          return;
        }
      }
      await sleep(systemClock, backoffMs(attempt, { baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS }));
    }
  }

  /** Everything that had arrived below `arrived` is in order; a skip after that is a question of its own. */
  #release(arrived: number): void {
    this.#heldFrom = Number.POSITIVE_INFINITY;
    for (let i = this.#head; i < this.#waiting.length; i++) {
      const { seq } = this.#waiting[i]!;
      const before = i > this.#head ? this.#waiting[i - 1]!.seq : seq - 1;
      if (seq < arrived || seq === before + 1) continue;
      this.#heldFrom = seq;
      void this.#explain(before + 1);
      break;
    }
    this.#wake();
  }

  #fail(error: Error): void {
    if (this.#ended) return;
    this.#error = error;
    this.#end();
    this.#wake();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearInterval(this.#timer);
    this.#endStatus();
    this.#feed?.stop();
    this.#feed = null;
  }
}
