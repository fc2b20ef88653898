/**
 * A delivered message as the stream keeps it, read where the socket left it: what it says of itself in its reply
 * subject, and its subject, which is the same text as that of the message before it more often than not.
 */
import type { Headers, StoredMessage } from '../port/log.ts';
import { decodeHeaders, textOf } from './headers.ts';
import type { InboundMessage } from './wire-reader.ts';

/**
 * Data is cut out and headers are decoded when somebody looks: a view is larger than all the rest of a message, and one
 * that waits in a buffer has to be moved by every collection of garbage.
 */
export class NatsMessage implements StoredMessage {
  readonly subject: string;
  readonly seq: number;
  readonly timeMs: number;
  /** Length of the data. */
  readonly size: number;
  readonly #bytes: Buffer;
  readonly #dataFrom: number;
  #data: Uint8Array | null = null;
  /** -1: there is none, or it has been decoded. */
  #headFrom: number;
  #headers: Headers | null = null;

  constructor(subject: string, { streamSeq, timeMs }: Delivery, { bytes, headFrom, dataFrom, dataTo }: InboundMessage) {
    this.subject = subject;
    this.seq = streamSeq;
    this.timeMs = timeMs;
    this.size = dataTo - dataFrom;
    this.#bytes = bytes;
    this.#dataFrom = dataFrom;
    this.#headFrom = headFrom < dataFrom ? headFrom : -1;
  }

  get data(): Uint8Array {
    // One object, as others compare it to know whether bytes are still the message's own.
    this.#data ??= this.#bytes.subarray(this.#dataFrom, this.#dataFrom + this.size);
    return this.#data;
  }

  get headers(): Headers | null {
    if (this.#headFrom >= 0) {
      this.#headers = decodeHeaders(this.#bytes.subarray(this.#headFrom, this.#dataFrom));
      this.#headFrom = -1;
    }
    return this.#headers;
  }
}

/** Remembers the last subject's text: neighbours mostly share it. */
export class SubjectText {
  #bytes: Buffer = Buffer.alloc(0);
  #text = '';

  of({ bytes, subjectFrom, subjectTo }: InboundMessage): string {
    if (!this.#isLast(bytes, subjectFrom, subjectTo)) {
      // A copy: a view would keep all that came with it.
      this.#bytes = Buffer.from(bytes.subarray(subjectFrom, subjectTo));
      this.#text = textOf(this.#bytes);
    }
    return this.#text;
  }

  #isLast(bytes: Buffer, from: number, to: number): boolean {
    const last = this.#bytes;
    if (last.length !== to - from) return false;
    // From the end, where neighbours differ.
    for (let i = last.length - 1; i >= 0; i--) if (last[i] !== bytes[from + i]) return false;
    return true;
  }
}

const DOT = 46;
const ZERO = 48;

/**
 * What the deliveries of one consumer say of themselves in their reply subjects, read in place from the end:
 * `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns since 1970>.<pending>`, or the longer form
 * `$JS.ACK.<domain>.<account>.<stream>.….<pending>.<random>`.
 */
export class Delivery {
  streamSeq = 0;
  consumerSeq = 0;
  timeMs = 0;
  /** Matching messages that the stream holds beyond this one. */
  pending = 0;
  /** All deliveries of a consumer have the form of its first; null: none has come. */
  #isLong: boolean | null = null;
  #end = 0;

  read({ bytes, replyFrom, replyTo }: InboundMessage): void {
    this.#isLong ??= dotsIn(bytes, replyFrom, replyTo) > 10;
    this.#end = this.#isLong ? bytes.lastIndexOf(DOT, replyTo - 1) : replyTo;
    this.pending = this.#number(bytes, 0);
    this.timeMs = this.#number(bytes, 6);
    this.consumerSeq = this.#number(bytes, 0);
    this.streamSeq = this.#number(bytes, 0);
  }

  /** The last unread number without its last `skip` digits (more than 53 bits would not be exact). */
  #number(bytes: Buffer, skip: number): number {
    let at = this.#end - 1 - skip;
    let value = 0;
    for (let unit = 1; at >= 0 && bytes[at] !== DOT; at--, unit *= 10) value += (bytes[at]! - ZERO) * unit;
    this.#end = at;
    return value;
  }
}

function dotsIn(bytes: Buffer, from: number, to: number): number {
  let dots = 0;
  for (let i = from; i < to; i++) if (bytes[i] === DOT) dots++;
  return dots;
}
