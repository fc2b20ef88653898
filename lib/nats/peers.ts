/**
 * The peers port on core NATS. Owns three subscriptions of the connection (beats, questions to this member, answers to it),
 * and what an answer looks like on the wire.
 *
 * Whoever may subscribe can answer, and a stream that listens to everything does so by itself. So an answer says that it is
 * one, in four words: a mark, its number, where the bytes begin in the whole, and how many that has. What is larger than a
 * message comes in several. Nothing is sent without a connection, or kept for the next one: an old beat is worse than none.
 */
import { randomInt } from 'node:crypto';
import { nuid } from 'nats';
import { systemClock } from '../base/clock.ts';
import { invariant, MillraceError } from '../base/errors.ts';
import { InFlight } from '../base/in-flight.ts';
import { ANSWER_BYTES_MAX, type Answerer, answerOf, type PeerAnswer, type Peers } from '../port/peers.ts';
import { peerAnswers, peerBeats, peerQuestions } from '../record/names.ts';
import type { NatsLink } from './connection.ts';
import { statusOf } from './headers.ts';
import type { Ear } from './wire.ts';
import type { InboundMessage } from './wire-reader.ts';
import { NOTHING } from './wire-writer.ts';

/** `MRAn` */
const MARK = 0x4d52416e;
const MARK_BYTES = 16;
const NO_RESPONDERS = 503;
const ZERO = 48;

interface Asked {
  /** The number of the answer that has begun to come. */
  answer: number;
  /** What has come of the answer. */
  readonly parts: Buffer[];
  bytes: number;
  readonly end: (answer: PeerAnswer | MillraceError) => void;
}

export class NatsPeers implements Peers {
  strays = 0;
  connections = 1;
  readonly #link: NatsLink;
  readonly #cluster: string;
  readonly #member: string;
  readonly #answers: string;
  readonly #listeners = new Set<(payload: Uint8Array) => void>();
  readonly #answerers = new Set<Answerer>();
  readonly #asked = new InFlight<Asked>();
  readonly #unlisten: () => void;
  #ears: Ear[] = [];
  /** The server has refused a subscription. */
  #isDeaf = false;
  #stopped = false;

  /** @param options.cluster a subject token that its workers share: there may be several in an account */
  constructor(link: NatsLink, { cluster, member }: { readonly cluster: string; readonly member: string }) {
    this.#cluster = cluster;
    this.#link = link;
    this.#member = member;
    this.#answers = `${peerAnswers(nuid.next())}.`;
    this.#listen();
    this.#unlisten = link.onStatus(({ kind }) => {
      if (kind === 'disconnected' || kind === 'closed') this.#silence();
      if (kind !== 'connected') return;
      this.connections++;
      // Servers make their clients connect anew when permissions change.
      if (this.#isDeaf) this.#listen();
    });
  }

  beat(payload: Uint8Array): void {
    if (!this.#stopped) this.#publish(peerBeats(this.#cluster), payload);
  }

  onBeat(listener: (payload: Uint8Array) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async ask(member: string, question: Uint8Array, timeoutMs: number): Promise<PeerAnswer> {
    const { payloadBytesMax, connected } = this.#link;
    if (question.length > payloadBytesMax) {
      const text = `a question to ${member} has ${question.length} bytes, and a message ${payloadBytesMax} at most`;
      throw new MillraceError('MESSAGE_TOO_LARGE', text);
    }
    if (this.#stopped || !connected) return 'silent';
    const answer = await new Promise<PeerAnswer | MillraceError>(resolve => {
      const cancel = systemClock.after(timeoutMs, () => this.#asked.take(token)?.end('silent'));
      const end = (answer: PeerAnswer | MillraceError) => {
        cancel();
        resolve(answer);
      };
      const token = this.#asked.add({ answer: 0, parts: [], bytes: 0, end });
      this.#publish(peerQuestions(this.#cluster, member), question, this.#answers + token);
    });
    if (answer instanceof MillraceError) throw answer;
    return answer;
  }

  answer(answerer: Answerer): () => void {
    this.#answerers.add(answerer);
    return () => this.#answerers.delete(answerer);
  }

  stop(): void {
    this.#stopped = true;
    this.#unlisten();
    for (const ear of this.#ears) ear.stop();
    this.#silence();
  }

  #listen(): void {
    for (const ear of this.#ears) ear.stop();
    this.#isDeaf = false;
    const on = (subject: string, receive: (frame: InboundMessage) => void) =>
      // The connection tells what the server does not permit.
      this.#link.wire.subscribe(subject, { receive }, () => {
        this.#isDeaf = true;
      });
    this.#ears = [
      on(peerBeats(this.#cluster), ({ data }) => {
        for (const listener of [...this.#listeners]) listener(new Uint8Array(data));
      }),
      on(peerQuestions(this.#cluster, this.#member), frame => this.#hear(frame)),
      on(`${this.#answers}*`, frame => this.#receive(frame)),
    ];
  }

  #hear(frame: InboundMessage): void {
    if (!frame.hasReply) {
      this.strays++;
      return;
    }
    const question = new Uint8Array(frame.data);
    const reply = frame.bytes.toString('latin1', frame.replyFrom, frame.replyTo);
    void answerOf(this.#answerers, question).then(answer => {
      if (answer !== null && !this.#stopped) this.#reply(reply, answer);
    });
  }

  #reply(reply: string, answer: Uint8Array): void {
    const most = this.#link.payloadBytesMax - MARK_BYTES;
    invariant(most > 0, 'the server takes no messages');
    const total = answer.length;
    // One that is too large says only how large it is.
    const sent = total > ANSWER_BYTES_MAX ? 0 : total;
    // Two may go by our name, and answer the same question.
    const number = randomInt(2 ** 32 - 1);
    let from = 0;
    do {
      const part = answer.subarray(from, Math.min(sent, from + most));
      const message = Buffer.allocUnsafe(MARK_BYTES + part.length);
      message.writeUInt32BE(MARK, 0);
      message.writeUInt32BE(number, 4);
      message.writeUInt32BE(from, 8);
      message.writeUInt32BE(total, 12);
      message.set(part, MARK_BYTES);
      this.#publish(reply, message);
      from += part.length;
    } while (from < sent);
  }

  #receive(frame: InboundMessage): void {
    const token = tokenOf(frame, this.#answers.length);
    const asked = this.#asked.at(token);
    if (asked === undefined) return; // came after its time
    const { data } = frame;
    if (frame.hasHead && data.length === 0 && statusOf(frame.head).code === NO_RESPONDERS) {
      this.#asked.take(token);
      asked.end('nobody');
      return;
    }
    if (data.length < MARK_BYTES || data.readUInt32BE(0) !== MARK || data.readUInt32BE(8) !== asked.bytes) {
      this.strays++;
      return;
    }
    const [number, total] = [data.readUInt32BE(4), data.readUInt32BE(12)];
    const bytes = asked.bytes + data.length - MARK_BYTES;
    if (bytes > total || (asked.parts.length > 0 && number !== asked.answer)) {
      this.strays++;
      return;
    }
    if (total > ANSWER_BYTES_MAX) {
      this.#asked.take(token);
      const text = `an answer has ${total} bytes, and may have ${ANSWER_BYTES_MAX}: ask for less at a time`;
      asked.end(new MillraceError('MESSAGE_TOO_LARGE', text));
      return;
    }
    asked.answer = number;
    asked.parts.push(Buffer.from(data.subarray(MARK_BYTES)));
    asked.bytes = bytes;
    if (bytes < total) return;
    this.#asked.take(token);
    asked.end(new Uint8Array(Buffer.concat(asked.parts)));
  }

  /** Nothing that was asked is answered any more. */
  #silence(): void {
    for (const asked of this.#asked.takeAll(() => true)) asked.end('silent');
  }

  #publish(subject: string, data: Uint8Array, reply = ''): void {
    this.#link.wire.publish({ subject, data, lines: '', commonLines: NOTHING }, reply);
  }
}

function tokenOf({ bytes, subjectFrom, subjectTo }: InboundMessage, skip: number): number {
  let token = 0;
  for (let i = subjectFrom + skip; i < subjectTo; i++) token = token * 10 + bytes[i]! - ZERO;
  return token;
}
