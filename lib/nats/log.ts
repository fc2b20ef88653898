/**
 * The log port over JetStream. Owns how a message is published and what its answer means; reading is `reader.ts`, the
 * pipelined appends' window `append-all.ts`, the meaning of error codes `refusal.ts`.
 */
import { nuid } from 'nats';
import { invariant, MillraceError } from '../base/errors.ts';
import { EXPECT_HEADER } from '../port/headers.ts';
import type {
  Append,
  Log,
  LogReader,
  NewMessage,
  ReadOptions,
  StoredMessage,
  StreamInfo,
  StreamSettings,
} from '../port/log.ts';
import { ask, askOrThrow } from './api.ts';
import { appendAll } from './append-all.ts';
import type { NatsLink } from './connection.ts';
import { CommonLines, headerLines, textOf } from './headers.ts';
import type { NoAnswer, Waiter } from './inbox.ts';
import { NatsReader } from './reader.ts';
import {
  type ApiFailure,
  errorOf,
  isMissing,
  judgeRefusal,
  NO_MESSAGE,
  STREAM_NAME_IN_USE,
  STREAM_NOT_FOUND,
} from './refusal.ts';
import { storedMessageOf, streamConfigOf, streamInfoOf, type WireMessage, type WireStreamInfo } from './streams.ts';
import { countsOf } from './subject-map.ts';
import { type OutboundMessage, sizeOf } from './wire-writer.ts';

const BATCH_MESSAGES_MAX = 1_000;
const NO_LINES = { lines: '', commonLines: '' };
/** More than headers have beside their lines. */
const HEAD_BYTES = 64;

/** The answer to a publish. */
interface Ack {
  readonly error?: ApiFailure;
  readonly seq: number;
}

export class NatsLog implements Log {
  readonly #link: NatsLink;
  readonly #replicas: number;
  readonly #commonLines = new CommonLines();

  /** @param options.replicas of streams that are made here and do not say how many; default 1. */
  constructor(link: NatsLink, { replicas = 1 }: { readonly replicas?: number } = {}) {
    this.#link = link;
    this.#replicas = replicas;
  }

  get messageBytesMax(): number {
    return this.#link.payloadBytesMax;
  }

  append(message: NewMessage): Promise<Append> {
    const { subject } = message;
    // What is thrown in here rejects. An answer is judged where it arrives: an append that lands is one promise.
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        answer: (_, data) => {
          try {
            resolve(judgeAck(data, subject));
          } catch (error) {
            reject(error);
          }
        },
        noAnswer: (_, why) => this.#judgeSilence(why, subject).then(resolve, reject),
      };
      this.#link.inbox.send(this.#outgoing(message, NO_LINES), waiter, 0);
    });
  }

  /**
   * A new batch id for every call, so a try that was cut off can never mix with the next. Answers are asked for twice:
   * to the first message (which tells at once that the stream allows no batches, or has no room for one), and to the
   * last, which decides.
   */
  async appendBatch(messages: readonly NewMessage[]): Promise<Append> {
    checkBatch(messages);
    const id = nuid.next();
    const last = messages.length - 1;
    const commonLines = `Nats-Batch-Id: ${id}\r\n`;
    const outgoing = (i: number): OutboundMessage => {
      const lines = `Nats-Batch-Sequence: ${i + 1}\r\n${i === last ? 'Nats-Batch-Commit: 1\r\n' : ''}`;
      return this.#outgoing(messages[i]!, { lines, commonLines });
    };
    const outcome = await new Promise<Uint8Array | NoAnswer>(resolve => {
      const waiter: Waiter = {
        answer: (i, data) => {
          if (i === last || data.length > 0) resolve(data);
        },
        noAnswer: (i, why) => {
          if (i === last || why.kind === 'refused') resolve(why);
        },
      };
      this.#link.inbox.sendTogether(messages.length, outgoing, waiter);
    });
    const { subject } = messages[0]!;
    const judged =
      outcome instanceof Uint8Array ? judgeAck(outcome, subject) : await this.#judgeSilence(outcome, subject);
    if (judged.kind === 'unsure') {
      // A message in the middle that was not permitted shows only as a batch that is incomplete; the refusal itself
      // comes by another way, in a moment.
      await new Promise(resolve => setImmediate(resolve));
      for (const subject of new Set(messages.map(message => message.subject))) {
        const refusal = this.#link.inbox.refusalOf(subject);
        if (refusal !== null) throw refusal;
      }
    }
    return judged;
  }

  appendAll(messages: readonly NewMessage[], options: { inDoubt?(cause: unknown): void } = {}): Promise<void> {
    if (messages.length === 0) return Promise.resolve();
    return appendAll({
      messages,
      send: (index, waiter) => {
        const outgoing = this.#outgoing(messages[index]!, NO_LINES);
        this.#link.inbox.send(outgoing, waiter, index);
        return outgoing.data.length + outgoing.lines.length + outgoing.commonLines.length;
      },
      landed: (index, answer) => {
        const judged = judgeAck(answer, messages[index]!.subject);
        invariant(judged.kind !== 'moved', `appendAll: a message for ${messages[index]!.subject} has a fence`);
        if (judged.kind === 'unsure') options.inDoubt?.(judged.cause);
        return judged.kind === 'landed';
      },
      inDoubt: options.inDoubt,
      checkStream: subject => this.#checkStream(subject),
    });
  }

  async last({ stream, subject }: { stream: string; subject: string }): Promise<StoredMessage | null> {
    return this.#message(stream, { last_by_subj: subject });
  }

  async get({ stream, seq }: { stream: string; seq: number }): Promise<StoredMessage | null> {
    // Sequence 0 would mean "no sequence given" to the server.
    return seq < 1 ? null : this.#message(stream, { seq });
  }

  read(options: ReadOptions): LogReader {
    return new NatsReader(this.#link, options);
  }

  async trim({ stream, subject, before }: { stream: string; subject: string; before: number }): Promise<void> {
    // `seq` 0 or 1 reads as "none given" and would delete the whole subject.
    if (before <= 1) return;
    await askOrThrow(this.#link, `STREAM.PURGE.${stream}`, { filter: subject, seq: before });
  }

  async remove({ stream, seq }: { stream: string; seq: number }): Promise<boolean> {
    // Beyond its end the server fails as if its store had, which would be asked again.
    if ((await this.get({ stream, seq })) === null) return false;
    const topic = `STREAM.MSG.DELETE.${stream}`;
    // Not overwritten on the disk first: it is to go, it is no secret.
    const answer = await ask<{ success?: boolean }>(this.#link, topic, { seq, no_erase: true });
    if (answer.error === undefined) return answer.success === true;
    if (isMissing(answer.error)) return false;
    throw errorOf(answer.error, topic);
  }

  async count({ stream, subject }: { stream: string; subject: string }): Promise<number> {
    const counts = await countsOf(this.#link, { stream, filter: subject });
    let sum = 0;
    for (const count of counts.values()) sum += count;
    return sum;
  }

  async streamsOf(subject: string): Promise<string[]> {
    const names: string[] = [];
    for (;;) {
      const question = { subject, offset: names.length };
      const page = await askOrThrow<{ total: number; streams: string[] | null }>(this.#link, 'STREAM.NAMES', question);
      const { total, streams } = page;
      names.push(...(streams ?? []));
      if ((streams ?? []).length === 0 || names.length >= total) return names.sort();
    }
  }

  async info(stream: string): Promise<StreamInfo | null> {
    const topic = `STREAM.INFO.${stream}`;
    const answer = await ask<WireStreamInfo>(this.#link, topic);
    if (answer.error === undefined) return streamInfoOf(answer);
    if (answer.error.err_code === STREAM_NOT_FOUND) return null;
    throw errorOf(answer.error, topic);
  }

  async ensureStream(settings: StreamSettings): Promise<boolean> {
    if ((await this.info(settings.name)) !== null) return false;
    const topic = `STREAM.CREATE.${settings.name}`;
    const answer = await ask<{ did_create?: boolean }>(
      this.#link,
      topic,
      streamConfigOf({ replicas: this.#replicas, ...settings }),
    );
    if (answer.error === undefined) return answer.did_create === true;
    if (answer.error.err_code === STREAM_NAME_IN_USE) return false;
    throw errorOf(answer.error, topic);
  }

  async deleteStream(stream: string): Promise<void> {
    const topic = `STREAM.DELETE.${stream}`;
    const answer = await ask(this.#link, topic);
    if (answer.error !== undefined && answer.error.err_code !== STREAM_NOT_FOUND) throw errorOf(answer.error, topic);
  }

  async #message(stream: string, question: { seq: number } | { last_by_subj: string }): Promise<StoredMessage | null> {
    const topic = `STREAM.MSG.GET.${stream}`;
    const answer = await ask<WireMessage>(this.#link, topic, question);
    if (answer.error === undefined) return storedMessageOf(answer);
    if (answer.error.err_code === NO_MESSAGE) return null;
    throw errorOf(answer.error, topic);
  }

  /** With our own lines before the message's. Throws MESSAGE_TOO_LARGE. */
  #outgoing(message: NewMessage, own: { readonly lines: string; readonly commonLines: string }): OutboundMessage {
    const { subject, data, headers, commonHeaders, expect } = message;
    const fence = expect === undefined ? '' : `${EXPECT_HEADER}: ${expect}\r\n`;
    const lines = own.lines + fence + headerLines(headers);
    const outgoing = { subject, data, lines, commonLines: this.#commonLines.of(own.commonLines, commonHeaders) };
    // Counted only where it could be too much: a character is three bytes at most.
    const bytesMax = this.messageBytesMax;
    if (data.length + 3 * lines.length + outgoing.commonLines.length + HEAD_BYTES > bytesMax) {
      const bytes = sizeOf(outgoing);
      if (bytes > bytesMax) {
        throw new MillraceError(
          'MESSAGE_TOO_LARGE',
          `a message of ${bytes} bytes for ${subject}, but the server takes ${bytesMax}: raise max_payload`,
        );
      }
    }
    return outgoing;
  }

  async #judgeSilence({ kind, cause }: NoAnswer, subject: string): Promise<Append> {
    if (kind === 'refused') throw cause;
    if (kind === 'no-responders') await this.#checkStream(subject);
    return { kind: 'unsure', cause };
  }

  /**
   * Nobody received a publish: either no stream keeps the subject, or its leader is being elected. The list of streams
   * tells which; when it does not answer either, the broker is in trouble and the subject may well have a stream.
   */
  async #checkStream(subject: string): Promise<void> {
    let streams: readonly string[] | null;
    try {
      const answer = await ask<{ streams: string[] | null }>(
        this.#link,
        'STREAM.NAMES',
        { subject },
        { patienceMs: 0 },
      );
      if (answer.error !== undefined) return;
      streams = answer.streams;
    } catch (error) {
      if (error instanceof MillraceError && error.code === 'BROKER_UNAVAILABLE') return;
      throw error;
    }
    if (streams === null || streams.length === 0) {
      throw new MillraceError('STREAM_MISSING', `no stream keeps the subject ${subject}`);
    }
  }
}

function judgeAck(data: Uint8Array, subject: string): Append {
  const ack = JSON.parse(textOf(data)) as Ack;
  return ack.error === undefined ? { kind: 'landed', seq: ack.seq } : judgeRefusal(ack.error, subject);
}

/** What the server would refuse in words that look as if they passed. */
function checkBatch(messages: readonly NewMessage[]): void {
  invariant(messages.length > 0, 'an atomic batch without messages');
  invariant(
    messages.length <= BATCH_MESSAGES_MAX,
    `an atomic batch of ${messages.length}; ${BATCH_MESSAGES_MAX} is most`,
  );
  const seen = new Set<string>();
  for (const { subject, expect } of messages) {
    invariant(expect === undefined || !seen.has(subject), `the fence of ${subject} is not on its first message`);
    seen.add(subject);
  }
}
