/**
 * A cursor over a stream in memory. It sees the stream as of its last wake-up, which faults may delay, cut short or
 * repeat; what it has seen it delivers in order, none missing, none doubled.
 */
import { isMillraceError, MillraceError } from '../base/errors.ts';
import type { LogReader, ReadOptions, StoredMessage, StreamLook } from '../port/log.ts';
import { matches } from '../record/subject.ts';
import type { MemoryStream } from './stream.ts';

/** How a reader comes to see: given by the broker, which knows delays and outages. */
export interface Sight {
  stream(name: string): MemoryStream | null;
  /** Calls `look` once the reader may look again. */
  soon(look: () => void): void;
  /** How far of `available` new messages it may see this time, at least 1. */
  cut(available: number): number;
  /** Whether to wake it once more for nothing. */
  again(): boolean;
  /** The end of the stream as the broker tells it when it is asked. Throws BROKER_UNAVAILABLE, STREAM_MISSING. */
  end(name: string): Promise<StreamLook & { readonly stream: MemoryStream }>;
}

/** Allowed for each message beside its data, as the real reader counts. */
const OVERHEAD_BYTES = 200;
const NO_CONTENT = new Uint8Array(0);

export class MemoryReader implements LogReader {
  onReady: (() => void) | null = null;
  readonly #sight: Sight;
  readonly #name: string;
  readonly #filters: readonly string[] | null;
  /** Subjects that have come, and whether a filter takes them. */
  readonly #wanted = new Map<string, boolean>();
  readonly #refusesGaps: boolean;
  readonly #headersOnly: boolean;
  #stream: MemoryStream | null = null;
  #error: Error | null = null;
  #position: number;
  /** The last that was delivered. */
  #last: StoredMessage | null = null;
  /** Last sequence that may be delivered. */
  #visible = 0;
  /** The next sequence that could not be seen yet when the stream's front was last looked at. */
  #unlooked: number;
  /** The reader has seen the stream's end. */
  #drained = false;
  #seePending = false;
  #stopped = false;
  /** Who filters hears nothing of what is appended for others, as of a server. */
  readonly #watcher = (subject: string | null) => {
    if (subject === null || this.#filters === null || this.#wants(subject)) this.#seeSoon();
  };

  constructor(sight: Sight, { stream, subjects, from, headersOnly, gaps }: ReadOptions) {
    this.#sight = sight;
    this.#name = stream;
    this.#filters = subjects ?? null;
    this.#headersOnly = headersOnly ?? false;
    this.#refusesGaps = (gaps ?? (subjects === undefined ? 'refuse' : 'allow')) === 'refuse';
    this.#position = Math.max(1, from);
    this.#unlooked = this.#position;
    this.#seeSoon();
  }

  get caughtUp(): boolean {
    if (!this.#drained || this.#error !== null) return false;
    this.#skip();
    return this.#position > this.#visible;
  }

  /** Those of other subjects are counted, too. */
  get left(): number | null {
    if (this.#stream === null) return null;
    return this.caughtUp ? 0 : Math.max(0, this.#stream.lastSeq - this.#position + 1);
  }

  get nextTimeMs(): number | null {
    if (this.#stream === null) return null;
    this.#skip();
    return this.#position > this.#visible ? null : this.#stream.at(this.#position)!.timeMs;
  }

  get error(): Error | null {
    return this.#error;
  }

  take({ messagesMax, bytesMax }: { messagesMax: number; bytesMax: number }): StoredMessage[] {
    const taken: StoredMessage[] = [];
    const stream = this.#stream;
    if (stream === null || this.#error !== null) return taken;
    for (let bytes = 0; taken.length < messagesMax && (bytes < bytesMax || taken.length === 0); ) {
      this.#skip();
      if (this.#position > this.#visible) break;
      const message = stream.at(this.#position)!;
      this.#position++;
      this.#last = message;
      taken.push(this.#headersOnly ? { ...message, data: NO_CONTENT } : message);
      bytes += message.data.length + OVERHEAD_BYTES;
    }
    if (taken.length > 0 && !this.caughtUp && this.#position <= this.#visible) this.#seeSoon();
    return taken;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stream?.watchers.delete(this.#watcher);
  }

  async look(): Promise<StreamLook | null> {
    try {
      const { stream, clockMs, lastSeq } = await this.#sight.end(this.#name);
      if (this.#stopped || this.#error !== null || this.#stream === null) return null;
      if (stream !== this.#stream) return this.#failNow('STREAM_CHANGED', 'was made anew');
      const from = this.#filters === null ? this.#position : Math.min(this.#position, this.#unlooked);
      if (this.#isGone(stream, from)) {
        return this.#failNow('STREAM_CHANGED', 'was purged past our position');
      }
      this.#unlooked = Math.max(this.#unlooked, this.#visible + 1);
      this.#skip();
      for (let seq = this.#position; seq <= lastSeq; seq++) if (this.#isOurs(stream.at(seq))) return null;
      // Past what is of others, of which nobody has told us.
      this.#visible = Math.max(this.#visible, lastSeq);
      this.#skip();
      this.#unlooked = Math.max(this.#unlooked, lastSeq + 1);
      return { clockMs, lastSeq };
    } catch (error) {
      if (!isMillraceError(error) || error.fate !== 'retry') this.#failNow('STREAM_MISSING', 'does not exist');
      return null;
    }
  }

  #isGone(stream: MemoryStream, from: number): boolean {
    const refuses = this.#refusesGaps && (stream.settings.maxMessagesPerSubject ?? 0) <= 0;
    return refuses && from > 1 && stream.firstSeq > from;
  }

  #seeSoon(): void {
    if (this.#seePending || this.#stopped) return;
    this.#seePending = true;
    this.#sight.soon(() => {
      this.#seePending = false;
      if (!this.#stopped && this.#error === null) this.#see();
    });
  }

  #see(): void {
    const stream = this.#open();
    if (stream !== null) {
      const available = stream.lastSeq - this.#visible;
      if (available > 0) this.#visible += this.#sight.cut(available);
      this.#drained = this.#visible >= stream.lastSeq;
      if (!this.#drained || this.#sight.again()) this.#seeSoon();
    }
    this.onReady?.();
  }

  /** The stream, if it still is what we read. */
  #open(): MemoryStream | null {
    const stream = this.#sight.stream(this.#name);
    const before = this.#stream;
    if (stream === null) return this.#fail('STREAM_MISSING', 'does not exist');
    if (before !== null && before !== stream) return this.#fail('STREAM_CHANGED', 'was made anew');
    if (stream.lastSeq < this.#position - 1) return this.#fail('STREAM_CHANGED', 'ends before our position');
    if (this.#last !== null && (stream.at(this.#last.seq) ?? this.#last) !== this.#last) {
      return this.#fail('STREAM_CHANGED', 'has another message where we were');
    }
    if (before === null) {
      this.#stream = stream;
      stream.watchers.add(this.#watcher);
    }
    const isJudged = before === null || this.#filters === null;
    if (isJudged && this.#isGone(stream, this.#position))
      return this.#fail('STREAM_CHANGED', 'was purged past our position');
    if (before === null) {
      this.#position = Math.max(this.#position, stream.firstSeq);
      this.#visible = this.#position - 1;
    }
    return stream;
  }

  #fail(code: 'STREAM_MISSING' | 'STREAM_CHANGED', what: string): null {
    this.#error = new MillraceError(code, `stream ${this.#name} ${what}`);
    this.#stream?.watchers.delete(this.#watcher);
    return null;
  }

  #failNow(code: 'STREAM_MISSING' | 'STREAM_CHANGED', what: string): null {
    this.#fail(code, what);
    this.onReady?.();
    return null;
  }

  /** Moves to the next message that is there and wanted. */
  #skip(): void {
    const stream = this.#stream!;
    if (this.#position < stream.firstSeq) this.#position = Math.min(stream.firstSeq, this.#visible + 1);
    while (this.#position <= this.#visible && !this.#isOurs(stream.at(this.#position))) this.#position++;
  }

  #isOurs(message: StoredMessage | null): boolean {
    return message !== null && (this.#filters === null || this.#wants(message.subject));
  }

  #wants(subject: string): boolean {
    let wants = this.#wanted.get(subject);
    if (wants === undefined) {
      wants = this.#filters!.some(filter => filter === subject || matches(filter, subject));
      this.#wanted.set(subject, wants);
    }
    return wants;
  }
}
