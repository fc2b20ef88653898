/**
 * The registry port on a NATS key-value bucket (ADR-8: stream `KV_<bucket>`, subject `$KV.<bucket>.<key>`), so that
 * `nats kv` shows it. Owns what a write that nobody answered became; `registry-watch.ts` owns watching.
 *
 * a. Reads are asked of the leader and never of a replica: `allow_direct` is off and messages are got by STREAM.MSG.GET.
 * b. A write is fenced by its key's last sequence and carries a mark of its own, so the writer can tell "somebody else
 *    was first" from "I was, and the answer was lost". Overwritten in between, it counts as somebody else's.
 * c. Expiry leaves a marker (ADR-43, `subject_delete_marker_ttl`), as a delete leaves a tombstone: watchers hear of both.
 */
import { nuid } from 'nats';
import { sleep, systemClock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import type { Headers, StoredMessage } from '../port/log.ts';
import { checkRegistryKey, type Registry, type RegistryEntry, ttlSeconds } from '../port/registry.ts';
import { bucketStream, bucketSubjects } from '../record/names.ts';
import { ask, askOrThrow } from './api.ts';
import type { NatsLink } from './connection.ts';
import { NatsLog } from './log.ts';
import { errorOf, STREAM_NAME_IN_USE } from './refusal.ts';
import { RegistryWatch } from './registry-watch.ts';
import { land, PATIENCE_MS, RETRY, subjectsOf } from './subject-map.ts';

export interface NatsRegistryOptions {
  /** `[a-zA-Z0-9_-]+`; the bucket is made if there is none. */
  readonly bucket: string;
  readonly replicas?: number;
}

/** In which a write names itself. */
const MARK_HEADER = 'Millrace-Write';
const NOTHING = new Uint8Array(0);
/** How long a deletion is remembered: longer than any watcher is away. */
const TOMBSTONE_SECONDS = 24 * 3_600;
const NANOS_PER_SECOND = 1_000_000_000;
const READS_AT_ONCE = 32;

/** Makes the bucket if there is none. Throws BROKER_UNAVAILABLE, BROKER_REFUSED. */
export async function openRegistry(link: NatsLink, options: NatsRegistryOptions): Promise<NatsRegistry> {
  const { bucket, replicas = 1 } = options;
  if (!/^[\w-]+$/.test(bucket)) {
    throw new MillraceError('INVALID_ARGUMENT', `"${bucket}" is no bucket name: [a-zA-Z0-9_-] only`);
  }
  const stream = bucketStream(bucket);
  const needed = {
    allow_direct: false,
    allow_msg_ttl: true,
    subject_delete_marker_ttl: TOMBSTONE_SECONDS * NANOS_PER_SECOND,
  };
  const created = await ask<object>(link, `STREAM.CREATE.${stream}`, {
    name: stream,
    subjects: [bucketSubjects(bucket)],
    storage: 'file',
    num_replicas: replicas,
    discard: 'new',
    max_msgs_per_subject: 1,
    allow_rollup_hdrs: true,
    deny_delete: true,
    ...needed,
  });
  if (created.error !== undefined) {
    // A bucket that `nats kv add` or an operator has made: kept, with what we rely on switched on.
    if (created.error.err_code !== STREAM_NAME_IN_USE) throw errorOf(created.error, `making the bucket ${bucket}`);
    const { config } = await askOrThrow<{ config: Record<string, unknown> }>(link, `STREAM.INFO.${stream}`);
    const missing = config.allow_direct === true || config.allow_msg_ttl !== true || !config.subject_delete_marker_ttl;
    if (missing) await askOrThrow(link, `STREAM.UPDATE.${stream}`, { ...config, ...needed });
  }
  return new NatsRegistry(link, bucket);
}

export class NatsRegistry implements Registry {
  /** Told when a watch cannot be kept up at the moment; it goes on trying. */
  onTrouble: ((error: Error) => void) | null = null;
  readonly #link: NatsLink;
  readonly #log: NatsLog;
  readonly #stream: string;
  readonly #prefix: string;

  /** For a bucket that exists: see `openRegistry`. */
  constructor(link: NatsLink, bucket: string) {
    this.#link = link;
    this.#log = new NatsLog(link);
    this.#stream = bucketStream(bucket);
    this.#prefix = `$KV.${bucket}.`;
  }

  async get(key: string): Promise<RegistryEntry | null> {
    checkRegistryKey(key);
    return this.#entryOf(await this.#last(key));
  }

  async put(key: string, value: Uint8Array, options: { expect: number; ttlMs?: number }): Promise<number | null> {
    checkRegistryKey(key);
    const mark = nuid.next();
    const headers: Record<string, string> = { [MARK_HEADER]: mark };
    // The server cuts a duration to whole seconds.
    if (options.ttlMs !== undefined) headers['Nats-TTL'] = String(ttlSeconds(options.ttlMs));
    let { expect } = options;
    if (expect === 0) {
      const last = await this.#last(key);
      if (this.#entryOf(last) !== null) return null;
      expect = last?.seq ?? 0;
    }
    const deadline = systemClock.monotonic() + PATIENCE_MS;
    for (;;) {
      const outcome = await land(this.#log, {
        stream: this.#stream,
        subject: this.#prefix + key,
        data: value,
        headers,
        expect,
      });
      if (outcome.kind === 'landed') return outcome.seq;
      const last = await this.#last(key);
      if (last?.headers?.[MARK_HEADER] === mark) return last.seq;
      // A leader that has just taken over may refuse what it would take a moment later.
      if ((last?.seq ?? 0) !== expect || systemClock.monotonic() > deadline) return null;
      await sleep(systemClock, RETRY.baseMs);
    }
  }

  /** Deletes what the key holds at some moment of the call; whoever writes at the same time counts as later. */
  async delete(key: string): Promise<void> {
    checkRegistryKey(key);
    const last = await this.#last(key);
    if (last === null || this.#entryOf(last) === null) return;
    const headers: Headers = { 'KV-Operation': 'DEL', 'Nats-TTL': String(TOMBSTONE_SECONDS) };
    await land(this.#log, { stream: this.#stream, subject: last.subject, data: NOTHING, headers, expect: last.seq });
  }

  async list(prefix: string): Promise<RegistryEntry[]> {
    const subjects = await subjectsOf(this.#link, { stream: this.#stream, filter: this.#filter(prefix) });
    const wanted = subjects.filter(subject => subject.startsWith(this.#prefix + prefix));
    const entries: RegistryEntry[] = [];
    for (let from = 0; from < wanted.length; from += READS_AT_ONCE) {
      const slice = wanted.slice(from, from + READS_AT_ONCE);
      const found = await Promise.all(slice.map(subject => this.#log.last({ stream: this.#stream, subject })));
      for (const message of found) {
        const entry = this.#entryOf(message);
        if (entry !== null) entries.push(entry);
      }
    }
    return entries;
  }

  async watch(
    prefix: string,
    changed: (key: string, entry: RegistryEntry | null) => void,
  ): Promise<{ stop(): Promise<void> }> {
    const watch = new RegistryWatch({
      link: this.#link,
      log: this.#log,
      stream: this.#stream,
      filter: this.#filter(prefix),
      keyOf: message => {
        const key = message.subject.slice(this.#prefix.length);
        return key.startsWith(prefix) ? key : null;
      },
      entryOf: message => this.#entryOf(message),
      list: () => this.list(prefix),
      changed,
      trouble: error => this.onTrouble?.(error),
    });
    await watch.start();
    return watch;
  }

  #last(key: string): Promise<StoredMessage | null> {
    return this.#log.last({ stream: this.#stream, subject: this.#prefix + key });
  }

  /** Null: no message, a tombstone, or the marker of an expired entry. */
  #entryOf(message: StoredMessage | null): RegistryEntry | null {
    if (message === null) return null;
    const { headers } = message;
    if (headers?.['KV-Operation'] !== undefined || headers?.['Nats-Marker-Reason'] !== undefined) return null;
    return { key: message.subject.slice(this.#prefix.length), value: message.data, revision: message.seq };
  }

  /** Subjects of the whole tokens that `prefix` begins with. */
  #filter(prefix: string): string {
    return `${this.#prefix}${prefix.slice(0, prefix.lastIndexOf('.') + 1)}>`;
  }
}
