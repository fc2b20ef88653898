/**
 * One ephemeral pull consumer and what it delivers: the raw feed under a reader. Owns its subscription and its one
 * open request; knows when it is broken (a gap in its count, silence, deleted) and says so once; never repairs itself.
 *
 * One request at a time, so the wait between two is a round trip every ten thousand messages or half a buffer, and
 * credit never has to be guessed from several overlapping requests. Its end is a message of the server's own, but for
 * one case: when what was delivered is what was asked for to the byte, the server says nothing more. So we count, too,
 * as the server does (ADR-37): subject, reply, headers and data.
 */
import { createInbox, nuid } from 'nats';
import { MillraceError, messageOf } from '../base/errors.ts';
import { READER_INACTIVE_MS } from '../port/stream-config.ts';
import { API, ask } from './api.ts';
import type { NatsLink } from './connection.ts';
import { decodeHeaders, statusOf, textOf } from './headers.ts';
import { permissionText } from './inbox.ts';
import { Delivery, NatsMessage, SubjectText } from './message.ts';
import type { ApiFailure } from './refusal.ts';
import type { Ear } from './wire.ts';
import type { InboundMessage, InboundReceiver } from './wire-reader.ts';
import { NOTHING } from './wire-writer.ts';

export interface FeedEvents {
  /** `pending`: matching messages in the stream beyond this one. */
  message(message: NatsMessage, pending: number): void;
  /** The request has ended; another may be made. `bytesShort`: a message did not fit its byte limit. */
  pullEnded(outcome: { bytesShort: boolean }): void;
  /** The broker has nothing to deliver at the moment. */
  quiet(): void;
  /** It will deliver nothing any more. `refusal`: nor would another. */
  broken(reason: string, refusal: MillraceError | null): void;
}

export interface FeedOptions {
  readonly stream: string;
  readonly subjects: readonly string[] | null;
  readonly from: number;
  readonly headersOnly: boolean;
  readonly events: FeedEvents;
}

const NANOS_PER_MS = 1_000_000;
const PULL_MS = 30_000;
const HEARTBEAT_MS = 2_500;
/** Two heartbeats and some. */
const SILENCE_MS = 6_000;
const PULL_MESSAGES = 10_000;

const HEARTBEAT = 100;
const NO_MESSAGES = 404;
const EXPIRED = 408;
const CONFLICT = 409;

/** On which a consumer is asked for messages. */
export function pullTopic(stream: string, consumer: string): string {
  return `CONSUMER.MSG.NEXT.${stream}.${consumer}`;
}

/** Makes the consumer. Resolves to the broker's refusal, if that it is; throws BROKER_UNAVAILABLE. */
export async function openFeed(
  link: NatsLink,
  options: FeedOptions,
): Promise<{ readonly feed: Feed; readonly pending: number } | { readonly error: ApiFailure }> {
  const consumer = `mr_${nuid.next()}`;
  const { stream, subjects, from, headersOnly } = options;
  const answer = await ask<{ num_pending?: number }>(link, `CONSUMER.CREATE.${stream}.${consumer}`, {
    stream_name: stream,
    action: 'create',
    config: {
      name: consumer,
      ack_policy: 'none',
      deliver_policy: 'by_start_sequence',
      opt_start_seq: from,
      replay_policy: 'instant',
      mem_storage: true,
      num_replicas: 1,
      inactive_threshold: READER_INACTIVE_MS * NANOS_PER_MS,
      ...(subjects === null ? null : { filter_subjects: subjects }),
      ...(headersOnly ? { headers_only: true } : null),
    },
  });
  if (answer.error !== undefined) return { error: answer.error };
  return { feed: new Feed(link, consumer, options), pending: answer.num_pending ?? 0 };
}

export class Feed implements InboundReceiver {
  readonly #link: NatsLink;
  readonly #consumer: string;
  readonly #stream: string;
  readonly #events: FeedEvents;
  readonly #inbox: string;
  readonly #ear: Ear;
  readonly #delivery = new Delivery();
  readonly #subject = new SubjectText();
  #lastConsumerSeq = 0;
  #pulling = false;
  #pulls = 0;
  #delivered = 0;
  /** What the open request may still bring. */
  #bytesLeft = 0;
  #heardAt = performance.now();
  /** Since `check` looked: a look at the clock for each message would cost as much as the message. */
  #heard = false;
  #ended = false;

  constructor(link: NatsLink, consumer: string, { stream, events }: FeedOptions) {
    this.#link = link;
    this.#consumer = consumer;
    this.#stream = stream;
    this.#events = events;
    this.#inbox = createInbox(link.inbox.root);
    this.#ear = link.wire.subscribe(`${this.#inbox}.*`, this, cause => {
      const text = permissionText('subscription', `${link.inbox.root}.>`);
      this.#break(messageOf(cause), new MillraceError('BROKER_REFUSED', text, { cause }));
    });
  }

  get #pullSubject(): string {
    return API + pullTopic(this.#stream, this.#consumer);
  }

  get pulling(): boolean {
    return this.#pulling;
  }

  /** Asks for messages of about `bytes` in all. */
  pull(bytes: number): void {
    if (this.#ended || this.#pulling) return;
    this.#pulling = true;
    this.#delivered = 0;
    this.#bytesLeft = bytes;
    this.#heardAt = performance.now();
    const request = JSON.stringify({
      batch: PULL_MESSAGES,
      max_bytes: bytes,
      expires: PULL_MS * NANOS_PER_MS,
      idle_heartbeat: HEARTBEAT_MS * NANOS_PER_MS,
    });
    const data = Buffer.from(request);
    const outgoing = { subject: this.#pullSubject, data, lines: '', commonLines: NOTHING };
    this.#link.wire.publish(outgoing, `${this.#inbox}.${++this.#pulls}`);
  }

  /** Called about once a second: notices silence, and a request that was not permitted (nothing answers it). */
  check(): void {
    const refusal = this.#pulling ? this.#link.inbox.refusalOf(this.#pullSubject) : null;
    if (refusal !== null) this.#break(refusal.message, refusal);
    if (!this.#pulling) return;
    const now = performance.now();
    if (this.#heard) this.#heardAt = now;
    this.#heard = false;
    if (now - this.#heardAt > SILENCE_MS) this.#break('no heartbeat');
  }

  stop(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#ear.stop();
    // Not waited for: an abandoned consumer goes by itself after a while.
    const subject = `${API}CONSUMER.DELETE.${this.#stream}.${this.#consumer}`;
    this.#link.wire.publish({ subject, data: NOTHING, lines: '', commonLines: NOTHING }, '');
  }

  receive(frame: InboundMessage): void {
    if (this.#ended) return;
    this.#heard = true;
    if (!frame.hasReply) {
      if (frame.hasHead && this.#control(frame.head)) return;
      this.#link.inbox.passOver(this.#pullSubject, frame.data);
      return;
    }
    const delivery = this.#delivery;
    // What all deliveries begin with is looked at where something is wrong, and of the first.
    if (this.#lastConsumerSeq === 0 && !this.#isOurs(frame)) return;
    delivery.read(frame);
    if (delivery.consumerSeq !== this.#lastConsumerSeq + 1) {
      if (this.#isOurs(frame)) this.#break(`delivery ${delivery.consumerSeq} came after ${this.#lastConsumerSeq}`);
      return;
    }
    this.#lastConsumerSeq = delivery.consumerSeq;
    this.#delivered++;
    const { subjectFrom, subjectTo, replyFrom, replyTo, headFrom, dataTo } = frame;
    this.#bytesLeft -= subjectTo - subjectFrom + (replyTo - replyFrom) + (dataTo - headFrom);
    this.#events.message(new NatsMessage(this.#subject.of(frame), delivery, frame), delivery.pending);
    if (this.#bytesLeft === 0) this.#pullEnded({ bytesShort: false });
  }

  /** Whether a message is a delivery of our consumer's, and no answer of somebody who saw our request. */
  #isOurs({ bytes, replyFrom, replyTo, data }: InboundMessage): boolean {
    const reply = textOf(bytes.subarray(replyFrom, replyTo));
    if (reply.startsWith('$JS.ACK.') && reply.includes(`.${this.#consumer}.`)) return true;
    this.#link.inbox.passOver(this.#pullSubject, data);
    return false;
  }

  /** A message of the server's own about the open request. False: it is none. */
  #control(head: Uint8Array): boolean {
    const { code, text } = statusOf(head);
    if (code === 0) return false;
    const headers = decodeHeaders(head);
    if (code === HEARTBEAT) {
      const last = Number(headers?.['Nats-Last-Consumer'] ?? this.#lastConsumerSeq);
      if (last > this.#lastConsumerSeq) this.#break(`delivery ${last} never came`);
      else this.#events.quiet();
      return true;
    }
    // A request that ended says what it left over; a conflict that does not is about the consumer itself.
    const over = code === NO_MESSAGES || code === EXPIRED || headers?.['Nats-Pending-Messages'] !== undefined;
    if (over) this.#pullEnded({ bytesShort: code === CONFLICT && this.#delivered === 0 });
    else this.#break(text);
    return true;
  }

  #pullEnded(outcome: { bytesShort: boolean }): void {
    this.#pulling = false;
    this.#events.pullEnded(outcome);
  }

  #break(reason: string, refusal: MillraceError | null = null): void {
    if (this.#ended) return;
    this.stop();
    this.#events.broken(reason, refusal);
  }
}
