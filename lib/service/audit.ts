/**
 * The audit: who has changed what through the API, and who was refused. Each entry is an event of the worker that was
 * asked (`api.changed`, `api.refused`) and a message of a stream of the cluster's, which outlives workers and logs.
 *
 * A call never waits for it and never fails by it. What is to be written stands in a queue while the broker is away; what
 * does not fit is counted, told, and, when there is room again, an entry of its own. A worker that is killed takes with
 * it what it had not written yet: its log has these entries.
 *
 * Whoever knocks a thousand times a second must not push out what others did: refusals that are alike are one entry a
 * minute, with their number.
 */

import { randomUUID } from 'node:crypto';
import { type Clock, sleep } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import type { Page } from '../engine/views.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import type { Log, NewMessage, StoredMessage } from '../port/log.ts';
import { ready } from '../port/ready.ts';
import { AUDIT_STREAM, AUDIT_SUBJECTS, auditSubject } from '../record/names.ts';

export interface AuditEntry {
  /** When it was over, ms since 1970. */
  readonly atMs: number;
  /** Null: not known. */
  readonly who: string | null;
  /** `host:port`. */
  readonly from: string;
  /** The worker that passed the call on; null: nobody did. */
  readonly via: string | null;
  /** The worker that noted it. */
  readonly worker: string;
  /** Null: entries are missing here, `times` of them. */
  readonly method: string | null;
  /** Null: it was about none, or that was not known yet. */
  readonly pipeline: string | null;
  readonly revision: number | null;
  /** SHA-256 of the bundle that was sent. */
  readonly bundleHash: string | null;
  /** In a word or two; `failed` and `refused` have a `code`. */
  readonly outcome: string;
  readonly code: string | null;
  readonly times: number;
}

/** What a call says of itself. */
export type Noted = Omit<AuditEntry, 'atMs' | 'worker' | 'times'>;

export interface AuditQuery {
  /** Null: of all. */
  readonly pipeline: string | null;
  readonly sinceMs: number;
  readonly pageSize: number;
  readonly pageToken: string | null;
  /** Entries that it is false of are left out; `pipeline` null: about none. */
  sees(pipeline: string | null): boolean;
}

/** How long entries are kept, and how much of them. */
export const AUDIT_AGE_MS = 90 * 24 * 3_600_000;
export const AUDIT_BYTES = 64 * 1024 * 1024;

/** Entries that wait for the broker. */
const QUEUE_MAX = 1_000;
const BATCH = 100;
const RETRY_MS = 2_000;
/** For how long refusals that are alike are counted, and how many kinds of them; more are counted as one kind. */
const ALIKE_MS = 60_000;
const ALIKE_MAX = 200;
const TAKE = { messagesMax: 256, bytesMax: 1 << 20 };
/** How long the broker may say nothing. */
const PATIENCE_MS = 20_000;

export class Audit {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #worker: string;
  readonly #queue: NewMessage[] = [];
  readonly #alike = new Map<string, { noted: Noted; times: number }>();
  #cancelAlike: (() => void) | null = null;
  #writing: Promise<void> | null = null;
  #missing = 0;
  #stopped = false;

  constructor(options: { log: Log; clock: Clock; observer: Observer; worker: string }) {
    this.#log = options.log;
    this.#clock = options.clock;
    this.#observer = options.observer;
    this.#worker = options.worker;
  }

  /** A change was asked for, and this came of it. */
  changed(noted: Noted): void {
    this.#note(noted, 1);
  }

  /** A call was not let in, or lacked a role. */
  refused(noted: Noted): void {
    const { who, from, method, pipeline, code } = noted;
    const host = from.slice(0, from.lastIndexOf(':'));
    let kind = [who, host, method, pipeline, code].join(' ');
    if (!this.#alike.has(kind) && this.#alike.size >= ALIKE_MAX) kind = '';
    const known = this.#alike.get(kind);
    if (known !== undefined) {
      known.times++;
      return;
    }
    this.#alike.set(kind, { noted, times: 0 });
    this.#cancelAlike ??= this.#clock.after(ALIKE_MS, () => this.#tellAlike());
    this.#note(noted, 1);
  }

  /** What was counted is told. */
  #tellAlike(): void {
    this.#cancelAlike?.();
    this.#cancelAlike = null;
    for (const { noted, times } of this.#alike.values()) if (times > 0) this.#note(noted, times);
    this.#alike.clear();
  }

  #note(noted: Noted, times: number): void {
    const { bundleHash: bundle, ...said } = noted;
    const fields = { ...said, bundle, times };
    if (noted.outcome === 'refused') this.#observer.emit({ event: 'api.refused', level: 'warn', ...fields });
    else this.#observer.emit({ event: 'api.changed', level: 'info', ...fields });
    const entry: AuditEntry = { ...noted, atMs: this.#clock.now(), worker: this.#worker, times };
    if (this.#queue.length < QUEUE_MAX) this.#enqueue(entry);
    else if (this.#missing++ === 0) this.#observer.emit({ event: 'audit.full', level: 'warn', entries: QUEUE_MAX });
  }

  #enqueue(entry: AuditEntry): void {
    this.#queue.push({
      stream: AUDIT_STREAM,
      subject: auditSubject(entry.pipeline),
      data: Buffer.from(JSON.stringify(entry)),
      // What was in doubt is sent again, and must not be there twice.
      headers: { 'Nats-Msg-Id': randomUUID() },
    });
    this.#writing ??= this.#write().finally(() => {
      this.#writing = null;
    });
  }

  async #write(): Promise<void> {
    let isTold = false;
    while (this.#queue.length > 0 && !this.#stopped) {
      const batch = this.#queue.slice(0, BATCH);
      try {
        await this.#log.ensureStream({
          name: AUDIT_STREAM,
          subjects: [AUDIT_SUBJECTS],
          description: 'who has changed what through the API of Millrace',
          maxAgeMs: AUDIT_AGE_MS,
          maxBytes: AUDIT_BYTES,
          denyDelete: true,
        });
        await this.#log.appendAll(batch);
        this.#queue.splice(0, batch.length);
        this.#tellMissing();
      } catch (error) {
        if (!isTold) this.#observer.emit({ event: 'audit.unwritten', level: 'warn', ...errorFields(error) });
        isTold = true;
        await sleep(this.#clock, RETRY_MS);
      }
    }
  }

  #tellMissing(): void {
    const times = this.#missing;
    if (times === 0) return;
    this.#missing = 0;
    this.#observer.emit({ event: 'audit.lost', level: 'warn', entries: times });
    const about = { who: null, from: '', via: null, method: null, pipeline: null, revision: null, bundleHash: null };
    this.#enqueue({
      ...{ ...about, outcome: 'missing', code: null, times },
      ...{ atMs: this.#clock.now(), worker: this.#worker },
    });
  }

  /** A page, oldest first. Throws BROKER_UNAVAILABLE, INVALID_ARGUMENT. */
  async page(query: AuditQuery): Promise<Page<AuditEntry>> {
    const { pipeline, sinceMs, pageSize, pageToken, sees } = query;
    const info = await this.#log.info(AUDIT_STREAM);
    if (info === null) return { items: [], nextPageToken: null };
    const from = pageToken === null ? await this.#firstSince(sinceMs, info) : readToken(pageToken);
    const subjects = [pipeline === null ? AUDIT_SUBJECTS : auditSubject(pipeline)];
    const items: AuditEntry[] = [];
    for await (const message of this.#messages({ from, through: info.lastSeq, subjects })) {
      const entry = entryOf(message);
      if (entry === null || entry.atMs < sinceMs || !sees(entry.pipeline)) continue;
      if (items.length === pageSize) return { items, nextPageToken: String(message.seq) };
      items.push(entry);
    }
    return { items, nextPageToken: null };
  }

  /** Sequence of about the first entry that was stored since; nothing is deleted from the middle, so they can be halved. */
  async #firstSince(sinceMs: number, { firstSeq, lastSeq }: { firstSeq: number; lastSeq: number }): Promise<number> {
    let [low, high] = [firstSeq, lastSeq + 1];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const message = await this.#log.get({ stream: AUDIT_STREAM, seq: middle });
      if (message !== null && message.timeMs >= sinceMs) high = middle;
      else low = middle + 1;
    }
    return Math.max(1, low);
  }

  async *#messages(span: { from: number; through: number; subjects: string[] }): AsyncGenerator<StoredMessage> {
    const { from, through, subjects } = span;
    if (from > through) return;
    const reader = this.#log.read({ stream: AUDIT_STREAM, subjects, from, gaps: 'allow' });
    try {
      for (;;) {
        const messages = reader.take(TAKE);
        for (const message of messages) {
          if (message.seq > through) return;
          yield message;
        }
        if (messages.length > 0) continue;
        if (reader.error !== null) throw reader.error;
        if (reader.caughtUp) return;
        await ready(reader, {
          clock: this.#clock,
          patienceMs: PATIENCE_MS,
          silent: 'the broker does not send the audit; try again',
        });
      }
    } finally {
      await reader.stop();
    }
  }

  /** Writes what waits, so far as that can be done in time. */
  async stop({ deadlineMs }: { deadlineMs: number }): Promise<void> {
    this.#tellAlike();
    let cancel = () => {};
    const late = new Promise<void>(resolve => {
      cancel = this.#clock.after(deadlineMs, resolve);
    });
    while (this.#writing !== null && (await Promise.race([this.#writing.then(() => true), late.then(() => false)])));
    cancel();
    this.#stopped = true;
  }
}

/** Null: somebody else has written it. */
function entryOf({ data }: StoredMessage): AuditEntry | null {
  try {
    const entry = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString()) as AuditEntry;
    return entry !== null && Number.isSafeInteger(entry.atMs) && typeof entry.outcome === 'string' ? entry : null;
  } catch {
    return null;
  }
}

function readToken(token: string): number {
  const from = Number(token);
  if (/^\d{1,15}$/.test(token) && from > 0) return from;
  throw new MillraceError('INVALID_ARGUMENT', `the page token "${token}" is not from the audit; begin without one`);
}
