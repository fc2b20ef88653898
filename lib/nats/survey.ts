/**
 * A look around a broker, for `millrace doctor`: what the server and the account allow, which streams there are, and
 * whether we may ask for all that a worker asks for. Nothing is changed: each permission is tried with a request that the
 * server must refuse for another reason, since it is about a stream that does not exist.
 */
import { randomBytes } from 'node:crypto';
import { isMillraceError, messageOf } from '../base/errors.ts';
import type { StreamInfo } from '../port/log.ts';
import { isoTimeMs } from '../window/iso-time.ts';
import { type Answer, API, ask, askOrThrow } from './api.ts';
import type { NatsLink } from './connection.ts';
import { pullTopic } from './feed.ts';
import { type ApiFailure, errorOf } from './refusal.ts';
import { requestSubjects } from './rights.ts';
import { streamInfoOf, type WireStreamInfo } from './streams.ts';

/** How long a request that should be answered at once may stay unanswered. */
const PATIENCE_MS = 1_000;

export interface ServerFacts {
  readonly name: string;
  readonly version: string;
  readonly jetstream: boolean;
  readonly payloadBytesMax: number;
  /** Null: not in a cluster. */
  readonly cluster: string | null;
}

export interface AccountFacts {
  readonly domain: string | null;
  readonly storageBytes: number;
  /** Null: no limit. */
  readonly storageBytesMax: number | null;
  readonly streams: number;
  readonly streamsMax: number | null;
  readonly consumers: number;
  readonly consumersMax: number | null;
}

export interface StreamFacts extends StreamInfo {
  /** How many of its replicas keep up with the leader, the leader included. */
  readonly replicasCurrent: number;
}

export function serverFacts(link: NatsLink): ServerFacts {
  const { info } = link.client;
  return {
    name: info?.server_name ?? '',
    version: info?.version ?? '',
    jetstream: info?.jetstream === true,
    payloadBytesMax: link.payloadBytesMax,
    cluster: (info as { cluster?: string } | undefined)?.cluster ?? null,
  };
}

interface WireAccount {
  readonly domain?: string;
  readonly storage: number;
  readonly streams: number;
  readonly consumers: number;
  readonly limits: { readonly max_storage: number; readonly max_streams: number; readonly max_consumers: number };
}

/** Throws BROKER_UNAVAILABLE when JetStream does not answer, BROKER_REFUSED. */
export async function accountFacts(link: NatsLink): Promise<AccountFacts> {
  const answer = await ask<WireAccount>(link, 'INFO', undefined, { patienceMs: PATIENCE_MS });
  if (answer.error !== undefined) throw errorOf(answer.error, 'JetStream');
  const { domain, storage, streams, consumers, limits } = answer;
  return {
    domain: domain ?? null,
    storageBytes: storage,
    storageBytesMax: limited(limits.max_storage),
    streams,
    streamsMax: limited(limits.max_streams),
    consumers,
    consumersMax: limited(limits.max_consumers),
  };
}

/** All streams of the account, by name. Throws BROKER_UNAVAILABLE, BROKER_REFUSED. */
export async function streamFacts(link: NatsLink): Promise<StreamFacts[]> {
  const found: StreamFacts[] = [];
  for (let offset = 0; ; ) {
    const page = await askOrThrow<{ total: number; streams: readonly WireStreamInfo[] | null }>(link, 'STREAM.LIST', {
      offset,
    });
    for (const stream of page.streams ?? []) {
      const replicasCurrent = 1 + (stream.cluster?.replicas ?? []).filter(({ current }) => current).length;
      found.push({ ...streamInfoOf(stream), replicasCurrent });
    }
    offset += page.streams?.length ?? 0;
    if (offset >= page.total || (page.streams?.length ?? 0) === 0) break;
  }
  return found.sort((left, right) => (left.name < right.name ? -1 : 1));
}

/** What is not permitted, as subjects; empty: all that a worker asks for is. */
export async function missingPermissions(link: NatsLink, bucket: string): Promise<string[]> {
  // No stream has this name, and no request is about what its body says, so none does anything.
  const absent = `MR_doctor_${randomBytes(6).toString('hex')}`;
  const missing: string[] = [];
  for (const subject of requestSubjects({ bucket, stream: absent })) {
    const topic = subject.slice(API.length).replace('*', absent);
    if (topic === pullTopic(absent, absent)) continue; // has no answer, and is asked of consumers
    try {
      await ask<object>(link, topic, { name: `${absent}_not` }, { patienceMs: PATIENCE_MS });
    } catch (error) {
      if (!isMillraceError(error, 'BROKER_REFUSED')) continue;
      missing.push(subject.replaceAll(absent, '*'));
    }
  }
  return missing;
}

/** The broker's clock less ours, ms, as far as a round trip tells; null: it does not say. */
export async function clockDifferenceMs(link: NatsLink, stream: string): Promise<number | null> {
  const before = Date.now();
  let answer: Answer<{ ts?: string }> | { readonly error: ApiFailure };
  try {
    answer = await ask<{ ts?: string }>(link, `STREAM.INFO.${stream}`, undefined, { patienceMs: PATIENCE_MS });
  } catch (error) {
    if (isMillraceError(error)) return null;
    throw new Error(`asking for stream ${stream}: ${messageOf(error)}`, { cause: error });
  }
  const after = Date.now();
  if (answer.error !== undefined || answer.ts === undefined) return null;
  const brokerMs = isoTimeMs(answer.ts);
  if (brokerMs >= before && brokerMs <= after) return 0;
  return brokerMs < before ? brokerMs - before : brokerMs - after;
}

function limited(value: number): number | null {
  return value > 0 ? value : null;
}
