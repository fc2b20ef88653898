/**
 * A delivered message as the stream keeps it. The one place that knows how `nats` 2.29 holds a message inside, because
 * its public face decodes subject, reply and headers anew for each look: read here, a message costs half as much.
 */
import type { Msg } from 'nats';
import type { Headers, StoredMessage } from '../port/log.ts';
import { decodeHeaders, textOf } from './headers.ts';

interface ClientMessage {
  readonly _msg: { readonly subject: Uint8Array; readonly reply?: Uint8Array; readonly hdr: number };
  readonly _rdata: Uint8Array;
}

export interface Parts {
  readonly subject: Uint8Array;
  /** Empty: there is none. */
  readonly reply: Uint8Array;
  readonly head: Uint8Array | null;
  readonly data: Uint8Array;
}

const NOTHING = new Uint8Array(0);

export function partsOf(message: Msg): Parts {
  const { _msg, _rdata } = message as unknown as ClientMessage;
  const bytes = _rdata ?? NOTHING;
  const hasHead = _msg.hdr > -1;
  return {
    subject: _msg.subject,
    reply: _msg.reply ?? NOTHING,
    head: hasHead ? bytes.subarray(0, _msg.hdr) : null,
    data: hasHead ? bytes.subarray(_msg.hdr) : bytes,
  };
}

/** Headers are decoded when somebody looks. */
export class NatsMessage implements StoredMessage {
  readonly subject: string;
  readonly seq: number;
  readonly timeMs: number;
  readonly data: Uint8Array;
  #head: Uint8Array | null;
  #headers: Headers | null = null;

  constructor(options: { subject: string; seq: number; timeMs: number; head: Uint8Array | null; data: Uint8Array }) {
    this.subject = options.subject;
    this.seq = options.seq;
    this.timeMs = options.timeMs;
    this.data = options.data;
    this.#head = options.head;
  }

  get headers(): Headers | null {
    if (this.#head !== null) {
      this.#headers = decodeHeaders(this.#head);
      this.#head = null;
    }
    return this.#headers;
  }
}

/** Remembers the last subject's text: neighbours mostly share it. */
export class SubjectText {
  #bytes: Uint8Array = NOTHING;
  #text = '';

  of(bytes: Uint8Array): string {
    if (Buffer.compare(bytes, this.#bytes) !== 0) {
      this.#bytes = bytes;
      this.#text = textOf(bytes);
    }
    return this.#text;
  }
}

const DOT = 46;
const ZERO = 48;

/**
 * What a delivery says of itself in its reply subject, read in place from the end:
 * `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<ns since 1970>.<pending>`, or the longer form
 * `$JS.ACK.<domain>.<account>.<stream>.….<pending>.<random>`.
 */
export class Delivery {
  streamSeq = 0;
  consumerSeq = 0;
  timeMs = 0;
  /** Matching messages that the stream holds beyond this one. */
  pending = 0;
  #end = 0;

  read(reply: Uint8Array): void {
    let dots = 0;
    for (let i = 0; i < reply.length; i++) if (reply[i] === DOT) dots++;
    this.#end = reply.length;
    if (dots > 10) this.#end = reply.lastIndexOf(DOT);
    this.pending = this.#number(reply, 0);
    this.timeMs = this.#number(reply, 6);
    this.consumerSeq = this.#number(reply, 0);
    this.streamSeq = this.#number(reply, 0);
  }

  /** The last unread number without its last `skip` digits (more than 53 bits would not be exact). */
  #number(reply: Uint8Array, skip: number): number {
    let at = this.#end - 1 - skip;
    let value = 0;
    for (let unit = 1; at >= 0 && reply[at] !== DOT; at--, unit *= 10) value += (reply[at]! - ZERO) * unit;
    this.#end = at;
    return value;
  }
}
