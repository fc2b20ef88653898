/**
 * The log port over JetStream. Owns how a message is published and what becomes of it; what an answer means is `acks.ts`
 * and `refusal.ts`, reading `reader.ts`, the pipelined appends' window `append-all.ts`.
 */
import { nuid } from 'nats';
import { backoffMs } from '../base/backoff.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { isMillraceError, MillraceError } from '../base/errors.ts';
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
import { covers } from '../record/subject.ts';
import { type Expected, judgeAck } from './acks.ts';
import { ask, askOrThrow } from './api.ts';
import { appendAll } from './append-all.ts';
import { checkBatch, fenceOf, tooLarge, unkept } from './batch.ts';
import type { NatsLink } from './connection.ts';
import { CommonLines, headerLines } from './headers.ts';
import type { NoAnswer, Waiter } from './inbox.ts';
import { type Landed, Mappings } from './mappings.ts';
import { NatsReader } from './reader.ts';
import { BatchIncomplete, errorOf, isMissing, NO_MESSAGE, STREAM_NAME_IN_USE, STREAM_NOT_FOUND } from './refusal.ts';
import { storedMessageOf, streamConfigOf, streamInfoOf, type WireMessage, type WireStreamInfo } from './streams.ts';
import { countsOf } from './subject-map.ts';
import { type OutboundMessage, sizeOf } from './wire-writer.ts';

const RETRY_BASE_MS = 50;
const RETRY_MAX_MS = 1_000;
const NO_LINES = { lines: '', commonLines: '' };
/** More than headers have beside their lines. */
const HEAD_BYTES = 64;
/** What the headers of a batch take in each of its messages, about. */
const BATCH_LINES_BYTES = 64;

export class NatsLog implements Log {
  readonly #link: NatsLink;
  readonly #replicas: number;
  readonly #commonLines = new CommonLines();
  readonly #mappings = new Mappings(this);

  /** @param options.replicas of streams that are made here and do not say how many; default 1. */
  constructor(link: NatsLink, { replicas = 1 }: { readonly replicas?: number } = {}) {
    this.#link = link;
    this.#replicas = replicas;
  }

  get messageBytesMax(): number {
    return this.#link.payloadBytesMax;
  }

  messageBytesMaxOf(stream: string): number {
    return Math.min(this.messageBytesMax, this.#link.streamBytesMax.get(stream) ?? Number.POSITIVE_INFINITY);
  }

  append(message: NewMessage): Promise<Append> {
    const { stream, subject, expect = null } = message;
    if (stream === undefined)
      return this.#orUnsure(this.#homeOf(subject).then(home => this.append({ ...message, stream: home })));
    const domain = this.#link.streamDomain.get(stream);
    if (domain === undefined) return this.#onceHeard({ subject, stream }, () => this.append(message));
    const expected: Expected = { stream, domain, fence: expect, batch: null };
    const appended = this.#append(message, expected);
    // What begins a chain: those that follow are refused where it is not.
    return expect === 0 ? appended.then(outcome => this.#kept(outcome, { stream, subject })) : appended;
  }

  #append(message: NewMessage, expected: Expected): Promise<Append> {
    const { subject } = message;
    const { stream } = expected;
    // What is thrown in here rejects. An answer is judged where it arrives: an append that lands is one promise.
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        answer: (_, data) => {
          try {
            const judged = judgeAck(data, subject, expected);
            if (judged === null) return false;
            resolve(judged);
          } catch (error) {
            this.#hearLimit(stream, error).then(reject);
          }
          return true;
        },
        noAnswer: (_, why) => this.#judgeSilence(why, { subject, stream }).then(resolve, reject),
      };
      this.#link.inbox.send(this.#outgoing(message, NO_LINES), waiter, 0);
    });
  }

  /** Throws BROKER_REFUSED if it has landed under another subject. One that cannot be read back at the moment counts as in doubt. */
  #kept(outcome: Append, place: Omit<Landed, 'seq'> & { seq?: number }): Promise<Append> | Append {
    if (outcome.kind !== 'landed') return outcome;
    return this.#orUnsure(this.#mappings.check({ seq: outcome.seq, ...place }).then(() => outcome));
  }

  /**
   * A new batch id for every call, so a try that was cut off can never mix with the next. Answers are asked for twice:
   * to the first message (which tells at once that the stream allows no batches, or has no room for one), and to the
   * last, which decides.
   */
  async appendBatch(messages: readonly NewMessage[]): Promise<Append> {
    checkBatch(messages);
    const { subject, stream: named } = messages[0]!;
    if (named === undefined) {
      return this.#orUnsure(
        this.#homeOf(subject).then(stream => this.appendBatch(messages.map(one => ({ ...one, stream })))),
      );
    }
    const domain = this.#link.streamDomain.get(named);
    if (domain === undefined) return this.#onceHeard({ subject, stream: named }, () => this.appendBatch(messages));
    const id = nuid.next();
    const last = messages.length - 1;
    const batch = { id, count: messages.length };
    const expected: Expected = { stream: named, domain, fence: fenceOf(messages), batch };
    const commonLines = `Nats-Batch-Id: ${id}\r\n`;
    const outgoing = (i: number): OutboundMessage => {
      const lines = `Nats-Batch-Sequence: ${i + 1}\r\n${i === last ? 'Nats-Batch-Commit: 1\r\n' : ''}`;
      return this.#outgoing(messages[i]!, { lines, commonLines });
    };
    const judged = await new Promise<Append>((resolve, reject) => {
      const waiter: Waiter = {
        answer: (i, data) => {
          // That the batch has begun.
          if (i !== last && data.length === 0) return true;
          try {
            const judgedNow = judgeAck(data, subject, expected);
            // To the first message only a refusal is an answer.
            if (judgedNow === null || (i !== last && judgedNow.kind === 'landed')) return false;
            resolve(judgedNow);
          } catch (error) {
            this.#hearLimit(named, error).then(reject);
          }
          return true;
        },
        noAnswer: (i, why) => {
          const isOver = i === last || why.kind === 'refused';
          if (isOver) this.#judgeSilence(why, { subject, stream: named }).then(resolve, reject);
        },
      };
      this.#link.inbox.sendTogether(messages.length, outgoing, waiter);
    });
    if (judged.kind === 'unsure') await this.#explainBatch(judged.cause, { stream: named, messages });
    if (judged.kind !== 'landed') return judged;
    return this.#orUnsure(this.#mappings.checkBatch(messages, { stream: named, seq: judged.seq }).then(() => judged));
  }

  /** Throws why a batch was not taken, if one of its messages is the cause: the answer to the last one does not say it. */
  async #explainBatch(
    cause: unknown,
    { stream, messages }: { stream: string; messages: readonly NewMessage[] },
  ): Promise<void> {
    // The refusal of a message that was not permitted comes by another way, in a moment.
    await new Promise(resolve => setImmediate(resolve));
    for (const subject of new Set(messages.map(message => message.subject))) {
      const refusal = this.#link.inbox.refusalOf(subject);
      if (refusal !== null) throw refusal;
    }
    if (!(cause instanceof BatchIncomplete)) return;
    const info = await this.info(stream);
    const bytesMax = this.messageBytesMaxOf(stream);
    for (const message of messages) {
      if (info !== null && !info.subjects.some(own => covers(own, message.subject))) {
        throw unkept({ stream, subject: message.subject }, `it lists ${info.subjects.join(', ')}`);
      }
      const bytes = sizeOf(this.#outgoing(message, NO_LINES)) + BATCH_LINES_BYTES;
      if (bytes > bytesMax) throw tooLarge({ subject: message.subject, bytes, bytesMax, stream });
    }
  }

  async appendAll(messages: readonly NewMessage[], options: { inDoubt?(cause: unknown): void } = {}): Promise<void> {
    if (messages.length === 0) return;
    const stream = messages[0]!.stream ?? (await this.#homeOf(messages[0]!.subject));
    const hearing = { subject: messages[0]!.subject, stream };
    let domain = this.#link.streamDomain.get(stream);
    for (let attempt = 0; domain === undefined; attempt++) {
      const heard = await this.#onceHeard(hearing, async () => null);
      domain = this.#link.streamDomain.get(stream);
      if (heard === null) continue;
      options.inDoubt?.(heard.kind === 'unsure' ? heard.cause : heard);
      await sleep(systemClock, backoffMs(attempt, { baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS }));
    }
    let expected: Expected = { stream, domain, fence: null, batch: null };
    let first: Landed | null = null;
    await appendAll({
      messages,
      send: (index, waiter) => {
        const outgoing = this.#outgoing(messages[index]!, NO_LINES);
        this.#link.inbox.send(outgoing, waiter, index);
        return outgoing.data.length + outgoing.lines.length + outgoing.commonLines.length;
      },
      judge: (index, answer) => {
        try {
          const { subject } = messages[index]!;
          const judged = judgeAck(answer, subject, expected);
          if (index === 0 && judged?.kind === 'landed') first = { stream, subject, seq: judged.seq };
          return judged;
        } catch (cause) {
          // It stands in the way of the rest as a full stream does, and waits for room as that.
          if (!isMillraceError(cause, 'MESSAGE_TOO_LARGE')) throw cause;
          void this.#hearLimit(stream, cause);
          return { kind: 'unsure', cause };
        }
      },
      inDoubt: options.inDoubt,
      checkStream: async subject => {
        await this.#checkStream({ subject, stream });
        expected = { ...expected, domain: this.#link.streamDomain.get(stream) ?? null };
      },
    });
    // One that cannot be read back at the moment is there all the same.
    if (first !== null && this.#mappings.isDue(messages[0]!.subject)) await this.#orUnsure(this.#mappings.check(first));
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

  info(stream: string): Promise<StreamInfo | null> {
    return this.#hear(stream, {});
  }

  async #hear(stream: string, patience: { patienceMs?: number }): Promise<StreamInfo | null> {
    const topic = `STREAM.INFO.${stream}`;
    const answer = await ask<WireStreamInfo>(this.#link, topic, undefined, patience);
    if (answer.error === undefined) {
      this.#link.streamDomain.set(stream, answer.domain ?? null);
      const info = streamInfoOf(answer);
      this.#link.streamBytesMax.set(stream, info.config.maxMsgBytes ?? Number.POSITIVE_INFINITY);
      return info;
    }
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
    // Counted only where it could be too much: a character is three bytes at most. What the stream takes it says itself.
    const bytesMax = this.messageBytesMax;
    if (data.length + 3 * lines.length + outgoing.commonLines.length + HEAD_BYTES > bytesMax) {
      const bytes = sizeOf(outgoing);
      if (bytes > bytesMax) throw tooLarge({ subject, bytes, bytesMax, stream: null });
    }
    return outgoing;
  }

  /** A stream that refuses for size is asked what it takes, so that the next message can be cut to that. Returns the error. */
  async #hearLimit(stream: string, error: unknown): Promise<unknown> {
    if (isMillraceError(error, 'MESSAGE_TOO_LARGE')) await this.info(stream).catch(() => null);
    return error;
  }

  async #judgeSilence({ kind, cause }: NoAnswer, place: { subject: string; stream: string }): Promise<Append> {
    if (kind === 'refused') throw cause;
    if (kind === 'no-responders' || kind === 'misanswered') await this.#checkStream(place);
    return { kind: 'unsure', cause };
  }

  async #homeOf(subject: string): Promise<string> {
    const [stream] = await this.streamsOf(subject);
    if (stream === undefined) throw new MillraceError('STREAM_MISSING', `no stream keeps the subject ${subject}`);
    return stream;
  }

  /**
   * Appends to a stream that has not said yet which domain it is in. Before that nobody can tell its answers from those of
   * a stream of the same name in another one.
   */
  #onceHeard<T>(place: { subject: string; stream: string }, append: () => Promise<T>): Promise<T | Append> {
    const { stream } = place;
    const heard = this.#hear(stream, { patienceMs: 0 }).then(async info => {
      if (info !== null) return append();
      await this.#checkStream(place);
      return { kind: 'unsure', cause: new Error(`stream ${stream} is not there`) } as const;
    });
    return this.#orUnsure(heard);
  }

  async #orUnsure<T>(appending: Promise<T>): Promise<T | Append> {
    try {
      return await appending;
    } catch (cause) {
      if (isMillraceError(cause, 'BROKER_UNAVAILABLE')) return { kind: 'unsure', cause };
      throw cause;
    }
  }

  /**
   * Nobody, or nobody who counts, received a publish: the stream keeps the subject no more, or its leader is being
   * elected. The list of streams tells which; when it does not answer either, the broker is in trouble and the subject may
   * well have its stream. It is heard anew, too: a broker may have come back with another domain.
   */
  async #checkStream({ subject, stream }: { subject: string; stream: string }): Promise<void> {
    let streams: readonly string[];
    try {
      await this.#hear(stream, { patienceMs: 0 });
      const answer = await ask<{ streams: string[] | null }>(
        this.#link,
        'STREAM.NAMES',
        { subject },
        { patienceMs: 0 },
      );
      if (answer.error !== undefined) return;
      streams = answer.streams ?? [];
    } catch (error) {
      if (error instanceof MillraceError && error.code === 'BROKER_UNAVAILABLE') return;
      throw error;
    }
    if (streams.includes(stream)) return;
    const others = streams.length === 0 ? 'no stream keeps it' : `${streams.join(', ')} keeps it`;
    throw unkept({ stream, subject }, others);
  }
}
