/**
 * One stream in memory: what a JetStream stream keeps and refuses, synchronous and without faults. Owns sequences,
 * fences, limits and the dedupe window; who may hear of it, and when, is the broker's.
 */
import { EXPECT_HEADER, headerValue } from '../port/headers.ts';
import type { Append, Headers, NewMessage, StoredMessage, StreamInfo, StreamSettings } from '../port/log.ts';
import { matches } from '../record/subject.ts';

export type Landing =
  | { readonly kind: 'landed'; readonly seq: number }
  | { readonly kind: 'moved' }
  /** No room: `discard: 'new'`. */
  | { readonly kind: 'full' }
  /** A batch that was stored in part. */
  | { readonly kind: 'brokenOff' };

const MOVED: Landing = { kind: 'moved' };
const FULL: Landing = { kind: 'full' };
const MESSAGE_ID_HEADER = 'Nats-Msg-Id';
const DEDUPE_MS = 120_000;

export interface StreamCopy {
  readonly messages: readonly (StoredMessage | null)[];
  readonly base: number;
}

export class MemoryStream {
  readonly settings: StreamSettings;
  readonly created: string;
  /** Called after each change, with the subject of what was appended; null: any may have changed, or the stream itself. */
  readonly watchers = new Set<(subject: string | null) => void>();
  deleted = false;
  /** `#messages[i]` has sequence `#base + i`; null: deleted. The first one is never null. */
  #messages: (StoredMessage | null)[] = [];
  #base = 1;
  #count = 0;
  #bytes = 0;
  readonly #bySubject = new Map<string, number[]>();
  readonly #ids = new Map<string, { seq: number; timeMs: number }>();

  constructor(settings: StreamSettings, created: string) {
    this.settings = settings;
    this.created = created;
  }

  get firstSeq(): number {
    return this.#base;
  }

  get lastSeq(): number {
    return this.#base + this.#messages.length - 1;
  }

  /** As it was at a moment, ms since 1970, if nothing was deleted since. */
  lastSeqAt(timeMs: number): number {
    let seq = this.lastSeq;
    while (seq >= this.#base && (this.at(seq)?.timeMs ?? timeMs) > timeMs) seq--;
    return seq;
  }

  keeps(subject: string): boolean {
    return this.settings.subjects.some(filter => matches(filter, subject));
  }

  lastSeqOf(subject: string): number {
    return this.#bySubject.get(subject)?.at(-1) ?? 0;
  }

  /** The last but `back` message of a subject. */
  lastOf(subject: string, back = 0): StoredMessage | null {
    const seq = this.#bySubject.get(subject)?.at(-1 - back);
    return seq === undefined ? null : this.at(seq);
  }

  at(seq: number): StoredMessage | null {
    return this.#messages[seq - this.#base] ?? null;
  }

  append(message: NewMessage, nowMs: number): Landing {
    const { subject, expect } = message;
    this.expire(nowMs);
    if (expect !== undefined && expect !== this.lastSeqOf(subject)) return MOVED;
    const id = message.headers?.[MESSAGE_ID_HEADER] ?? message.commonHeaders?.[MESSAGE_ID_HEADER];
    if (id !== undefined) {
      const before = this.#ids.get(id);
      if (before !== undefined && nowMs - before.timeMs < DEDUPE_MS) return { kind: 'landed', seq: before.seq };
    }
    if (!this.#hasRoom(sizeOf(message))) return FULL;
    const seq = this.#store(message, nowMs, null);
    if (id !== undefined) this.#ids.set(id, { seq, timeMs: nowMs });
    this.#evict(subject);
    this.#tell(subject);
    return { kind: 'landed', seq };
  }

  /** All or none, or, as a server whose store is full, the first `upTo` of them. `id` is the batch's. */
  appendBatch(messages: readonly NewMessage[], options: { id: string; nowMs: number; upTo: number }): Landing {
    this.expire(options.nowMs);
    let bytes = 0;
    for (const message of messages) {
      if (message.expect !== undefined && message.expect !== this.lastSeqOf(message.subject)) return MOVED;
      bytes += sizeOf(message);
    }
    if (!this.#hasRoom(bytes)) return FULL;
    let seq = 0;
    for (const [i, message] of messages.slice(0, options.upTo).entries()) {
      const batch: Record<string, string> = { 'Nats-Batch-Id': options.id, 'Nats-Batch-Sequence': String(i + 1) };
      if (i === messages.length - 1) batch['Nats-Batch-Commit'] = '1';
      seq = this.#store(message, options.nowMs, batch);
    }
    for (const { subject } of messages.slice(0, options.upTo)) this.#evict(subject);
    this.tell();
    return options.upTo < messages.length ? { kind: 'brokenOff' } : { kind: 'landed', seq };
  }

  /** What `putBack` brings back: the stream as it is now, as a backup of it has it. */
  copy(): StreamCopy {
    return { messages: [...this.#messages], base: this.#base };
  }

  /** The broker was restored from an older copy: what came since is gone, and its sequences are given again. */
  putBack({ messages, base }: StreamCopy): void {
    this.#messages = [...messages];
    this.#base = base;
    this.#count = 0;
    this.#bytes = 0;
    this.#bySubject.clear();
    this.#ids.clear();
    for (const message of messages) if (message !== null) this.#enter(message);
    this.tell();
  }

  /** Deletes what is below `before` and matches. */
  trim(filter: string, before: number): void {
    for (const [subject, seqs] of this.#bySubject) {
      if (!matches(filter, subject)) continue;
      while (seqs.length > 0 && seqs[0]! < before) this.#delete(seqs[0]!);
    }
    this.tell();
  }

  /** Deletes one message. False: it is not there. */
  remove(seq: number): boolean {
    if (this.at(seq) === null) return false;
    this.#delete(seq);
    this.tell();
    return true;
  }

  count(filter: string): number {
    let count = 0;
    for (const [subject, seqs] of this.#bySubject) if (matches(filter, subject)) count += seqs.length;
    return count;
  }

  /** Forgets what is too old. */
  expire(nowMs: number): void {
    const { maxAgeMs } = this.settings;
    if (maxAgeMs === undefined) return;
    for (let first = this.#messages[0]; first != null && first.timeMs + maxAgeMs <= nowMs; first = this.#messages[0]) {
      this.#delete(first.seq);
    }
  }

  info(): StreamInfo {
    return {
      name: this.settings.name,
      subjects: this.settings.subjects,
      atomic: this.settings.atomic === true,
      traits: [],
      ...(this.settings.maxMessagesPerSubject === undefined
        ? {}
        : { maxMessagesPerSubject: this.settings.maxMessagesPerSubject }),
      created: this.created,
      firstSeq: this.firstSeq,
      lastSeq: this.lastSeq,
      messages: this.#count,
      bytes: this.#bytes,
    };
  }

  tell(): void {
    this.#tell(null);
  }

  #tell(subject: string | null): void {
    for (const watcher of this.watchers) watcher(subject);
  }

  #store(message: NewMessage, timeMs: number, batch: Headers | null): number {
    const { subject, data, headers, commonHeaders, expect } = message;
    const seq = this.lastSeq + 1;
    let stored: Record<string, string> | null = null;
    if (headers !== undefined || commonHeaders !== undefined || expect !== undefined || batch !== null) {
      stored = Object.create(null) as Record<string, string>;
      Object.assign(stored, batch);
      if (expect !== undefined) stored[EXPECT_HEADER] = String(expect);
      const given = { ...commonHeaders, ...headers };
      for (const name in given) stored[name] = headerValue(given[name]!);
    }
    const kept = { subject, seq, timeMs, headers: stored, data };
    this.#messages.push(kept);
    this.#enter(kept);
    return seq;
  }

  #enter({ subject, seq, data }: StoredMessage): void {
    const seqs = this.#bySubject.get(subject);
    if (seqs === undefined) this.#bySubject.set(subject, [seq]);
    else seqs.push(seq);
    this.#count++;
    this.#bytes += data.length + subject.length;
  }

  #hasRoom(bytes: number): boolean {
    const { discard, maxBytes } = this.settings;
    return discard !== 'new' || maxBytes === undefined || this.#bytes + bytes <= maxBytes;
  }

  /** Makes good on the limits after an append to `subject`. */
  #evict(subject: string): void {
    const { maxBytes, maxMessagesPerSubject } = this.settings;
    if (maxMessagesPerSubject !== undefined) {
      const seqs = this.#bySubject.get(subject)!;
      while (seqs.length > maxMessagesPerSubject) this.#delete(seqs[0]!);
    }
    if (maxBytes === undefined) return;
    while (this.#bytes > maxBytes && this.#count > 0) this.#delete(this.#base);
  }

  #delete(seq: number): void {
    const message = this.at(seq);
    if (message === null) return;
    this.#messages[seq - this.#base] = null;
    this.#count--;
    this.#bytes -= message.data.length + message.subject.length;
    const seqs = this.#bySubject.get(message.subject)!;
    if (seqs[0] === seq) seqs.shift();
    else seqs.splice(seqs.indexOf(seq), 1);
    if (seqs.length === 0) this.#bySubject.delete(message.subject);
    let gone = 0;
    while (gone < this.#messages.length && this.#messages[gone] === null) gone++;
    if (gone === 0) return;
    this.#messages.splice(0, gone);
    this.#base += gone;
  }
}

export function sizeOf({ subject, data }: NewMessage): number {
  return data.length + subject.length;
}

/** What the client is answered: of a full stream it hears nothing. */
export function answerOf(landing: Landing, { settings }: MemoryStream): Append {
  if (landing.kind === 'landed' || landing.kind === 'moved') return landing;
  const why = landing.kind === 'full' ? `stream ${settings.name} is full` : `a batch to ${settings.name} had no answer`;
  return { kind: 'unsure', cause: new Error(why) };
}

/** What is on its way no longer changes with the sender's buffers. */
export function copyOf(message: NewMessage): NewMessage {
  return { ...message, data: new Uint8Array(message.data) };
}
