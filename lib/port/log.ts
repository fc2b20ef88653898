/**
 * The log port: all that Millrace asks of a broker's streams. Implemented by `nats/` for real and by `memory/` for
 * the simulator; both pass `test/contract/log.ts`.
 *
 * A stream is an ordered, durable list of messages; sequences start at 1 and never repeat. A *chain* is a subject whose
 * every message names the sequence of the one before it (`expect`); `chain.ts` is built on this port alone.
 */
import type { StreamConfig } from './stream-config.ts';

/** Names are as given, case included; values are one line each (`headers.ts` says what becomes of others). */
export type Headers = Readonly<Record<string, string>>;

/** A message as the stream keeps it. `timeMs` is the broker's clock, ms since 1970. */
export interface StoredMessage {
  readonly subject: string;
  readonly seq: number;
  readonly timeMs: number;
  readonly headers: Headers | null;
  readonly data: Uint8Array;
}

export interface NewMessage {
  /**
   * The stream that is to keep it: only its answer counts, as others may answer, too. All messages of one call have the
   * same. Absent: it is asked first which stream keeps the subject.
   */
  readonly stream?: string;
  readonly subject: string;
  readonly data: Uint8Array;
  readonly headers?: Headers;
  /** More headers, of other names: one object for many messages, so that what they have in common is encoded once. */
  readonly commonHeaders?: Headers;
  /** Sequence of the last message of this subject (0: there is none), or absent for an append without a fence. */
  readonly expect?: number;
}

/**
 * What is known after one try to append:
 * - `landed`  it is in the stream, at `seq` (of a batch: the last message's)
 * - `moved`   refused: the subject's last sequence is not `expect` (JetStream error 10071)
 * - `unsure`  nobody knows: a timeout, a lost connection, a busy check. Only retrying the identical message, or a
 *             later append to the chain, decides; a read never does.
 */
export type Append =
  | { readonly kind: 'landed'; readonly seq: number }
  | { readonly kind: 'moved' }
  | { readonly kind: 'unsure'; readonly cause: unknown };

export interface StreamSettings {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly description?: string;
  /** Allow atomic batches (`appendBatch`). */
  readonly atomic?: boolean;
  /** Reads may be answered by a stale replica. Never for journals and markers. */
  readonly allowDirect?: boolean;
  /** `new`: a full stream refuses; `old` (default): it forgets its oldest. */
  readonly discard?: 'new' | 'old';
  readonly denyDelete?: boolean;
  readonly maxBytes?: number;
  readonly maxAgeMs?: number;
  readonly maxMessagesPerSubject?: number;
  /** The largest message in bytes, headers included. Absent: what the broker takes. */
  readonly messageBytesMax?: number;
  readonly storage?: 'file' | 'memory';
  readonly replicas?: number;
}

export interface StreamInfo {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly config: StreamConfig;
  /** ISO time of creation: a stream of the same name but another birth is another stream. */
  readonly created: string;
  /** The oldest message there is; one more than `lastSeq` when there is none. */
  readonly firstSeq: number;
  readonly lastSeq: number;
  readonly messages: number;
  readonly bytes: number;
}

export interface ReadOptions {
  readonly stream: string;
  /** Subjects to deliver; absent: all. Wildcards on a stream of many subjects are slow (30 µs a message). */
  readonly subjects?: readonly string[];
  /** First sequence to deliver, inclusive. */
  readonly from: number;
  /**
   * What it means when messages that were never read are gone from the front of the stream:
   * - `refuse`  they are lost: STREAM_CHANGED. For what others write and keep for us. It cannot be told which subjects
   *             they had, so with `subjects` this may stop for a loss that did not matter, and sees one only when opening,
   *             and when it looks (`look`), which also says up to where nothing was missing
   * - `allow`   that is how this stream is kept: trimmed chains, or the last few values of each subject
   * Default: `refuse` for a whole stream (unless it keeps a number of messages per subject), `allow` with `subjects`. A
   * `from` of 1 or less means the beginning, wherever that is now.
   */
  readonly gaps?: 'refuse' | 'allow';
  /** Messages come without their content: for who asks what there is. */
  readonly headersOnly?: boolean;
  /** How much may wait, untaken, in memory. Default 2 MiB. */
  readonly bufferBytesMax?: number;
}

/** A stream's end, as it was. */
export interface StreamLook {
  /** Broker's clock at that moment, ms since 1970. */
  readonly clockMs: number;
  /** The stream's last sequence at that moment. */
  readonly lastSeq: number;
}

/**
 * A cursor over a stream. Delivers every matching message from `from` on, in order, none missing, none doubled,
 * across reconnects. Nothing is acknowledged: the position lives with the reader's owner.
 */
export interface LogReader {
  /** Takes what has arrived, oldest first, at most so many messages or about so many bytes; empty if nothing has. */
  take(limits: { messagesMax: number; bytesMax: number }): StoredMessage[];
  /**
   * Called, never from within `take`, whenever `take` may return something (again, or still), `caughtUp` turned true,
   * or `error` was set. May be called for nothing.
   */
  onReady: (() => void) | null;
  /** Nothing that matches was left in the stream, beyond what was taken, when the broker last said something. */
  readonly caughtUp: boolean;
  /** Messages left to take, as the broker said with its last delivery; null: it has said nothing yet. */
  readonly left: number | null;
  /** Broker's timestamp of the oldest message that has arrived and was not taken, ms; null: none waits here. */
  readonly nextTimeMs: number | null;
  /** Why the reader has ended: STREAM_MISSING, STREAM_CHANGED (purged past our position, recreated). */
  readonly error: Error | null;
  /**
   * Asks the broker for a moment at which all that matched had been taken. Null: there was more, or there was no answer.
   * `caughtUp` is what was heard last, and goes stale with whoever heard it; this is a statement about the past, which
   * stays true however late it arrives. What is missing from the front of the stream is noticed here, too (`gaps`).
   */
  look(): Promise<StreamLook | null>;
  stop(): Promise<void>;
}

/** What a message may hold beside what comes with it, headers or a head: at least half of what it may be in all. */
export function roomIn(messageBytesMax: number, headBytes: number): number {
  return messageBytesMax - Math.min(headBytes, messageBytesMax >> 1);
}

export interface Log {
  /** The largest message in bytes (headers included) that the broker takes. */
  readonly messageBytesMax: number;
  /**
   * The same for one stream: the lesser of the broker's and the stream's limit, as far as we have heard. `info` hears it,
   * and so does whoever is refused for size.
   */
  messageBytesMaxOf(stream: string): number;
  /**
   * One try. Throws MillraceError for what retrying cannot mend (STREAM_MISSING, BROKER_REFUSED); MESSAGE_TOO_LARGE for
   * what the broker or the stream does not take at present, whatever its limit was before.
   */
  append(message: NewMessage): Promise<Append>;
  /**
   * One try at an atomic batch: all or none. At most 1,000 messages, all to one stream that allows it. `expect` may be
   * given on the first message of a subject only; a `moved` does not say which.
   */
  appendBatch(messages: readonly NewMessage[]): Promise<Append>;
  /**
   * Appends without fences, pipelined, in order. Resolves when each is in the stream; retries by itself, so what was
   * in doubt may land twice unless `Nats-Msg-Id` headers let the broker drop the repeat. `inDoubt` is told of each try
   * that has to be repeated, and so are messages too large for the stream, until its limit is raised.
   */
  appendAll(messages: readonly NewMessage[], options?: { inDoubt?(cause: unknown): void }): Promise<void>;
  /** The last message of a subject, from the leader. Null: there is none. */
  last(options: { stream: string; subject: string }): Promise<StoredMessage | null>;
  /** One message by sequence. Null: it is gone. */
  get(options: { stream: string; seq: number }): Promise<StoredMessage | null>;
  read(options: ReadOptions): LogReader;
  /** Deletes messages of `subject` with a sequence below `before`. */
  trim(options: { stream: string; subject: string; before: number }): Promise<void>;
  /** Deletes one message, wherever in the stream it is; its sequence is not used again. True: it was there. */
  remove(options: { stream: string; seq: number }): Promise<boolean>;
  /** How many messages the stream keeps of `subject` (may have wildcards). */
  count(options: { stream: string; subject: string }): Promise<number>;
  /** Names of the streams that list `subject`, or a part of it where it has wildcards, in order. */
  streamsOf(subject: string): Promise<string[]>;
  info(stream: string): Promise<StreamInfo | null>;
  /** Makes the stream if there is none of that name; an existing one is left as it is. True: it was made. */
  ensureStream(settings: StreamSettings): Promise<boolean>;
  deleteStream(stream: string): Promise<void>;
}
