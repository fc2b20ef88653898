/**
 * Requests to the JetStream API: one question, one JSON answer, of the type and form that this question has; others are
 * passed over. All questions that we ask may be asked twice, so one that finds nobody, or no answer, is asked again until
 * our patience ends: an election takes 4 to 9 seconds.
 */
import { backoffMs } from '../base/backoff.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import { objectIn } from './acks.ts';
import type { NatsLink } from './connection.ts';
import type { NoAnswer, Waiter } from './inbox.ts';
import { type ApiFailure, errorOf, failureOf, isMomentary } from './refusal.ts';
import { NOTHING } from './wire-writer.ts';

export const API = '$JS.API.';
const PATIENCE_MS = 20_000;
const RETRY_BASE_MS = 50;
const RETRY_MAX_MS = 1000;

export type Answer<T> = { readonly error: ApiFailure } | ({ readonly error?: undefined } & T);

/**
 * `topic` is what follows `$JS.API.`. An error of the broker's is part of the answer unless it passes in moments.
 * Throws BROKER_UNAVAILABLE after `patienceMs` without an answer, BROKER_REFUSED without permission.
 */
export async function ask<T>(
  link: NatsLink,
  topic: string,
  question?: unknown,
  options: { patienceMs?: number } = {},
): Promise<Answer<T>> {
  const deadline = performance.now() + (options.patienceMs ?? PATIENCE_MS);
  const data = question === undefined ? NOTHING : Buffer.from(JSON.stringify(question));
  for (let attempt = 0; ; attempt++) {
    const { answer, silence } = await askOnce<T>(link, topic, data);
    let cause: Error;
    if (silence === null) {
      if (answer.error === undefined) return answer;
      const error = placed(answer.error, link);
      if (!isMomentary(error)) return { error };
      cause = errorOf(error, topic);
    } else {
      if (silence.kind === 'refused') throw silence.cause;
      cause = silence.cause;
    }
    const delayMs = backoffMs(attempt, { baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS });
    if (link.client.isClosed() || performance.now() + delayMs > deadline) {
      throw new MillraceError('BROKER_UNAVAILABLE', `no answer to ${topic}: ${cause.message}`, { cause });
    }
    await sleep(systemClock, delayMs);
  }
}

/** With the JetStream domain that was asked, where the server is in one: a leaf node's may be meant, or its hub's. */
function placed(failure: ApiFailure, { client }: NatsLink): ApiFailure {
  const { domain } = (client.info ?? {}) as { domain?: string };
  if (domain === undefined) return failure;
  return { ...failure, description: `${failure.description ?? 'refused'} in JetStream domain ${domain}` };
}

/** Like `ask`, for questions to which every error is unexpected. */
export async function askOrThrow<T>(link: NatsLink, topic: string, question?: unknown): Promise<T> {
  const answer = await ask<T>(link, topic, question);
  if (answer.error !== undefined) throw errorOf(answer.error, topic);
  return answer;
}

type Outcome<T> =
  | { readonly answer: Answer<T>; readonly silence: null }
  | { readonly answer: null; readonly silence: NoAnswer };

function askOnce<T>(link: NatsLink, topic: string, data: Uint8Array): Promise<Outcome<T>> {
  const form = formOf(topic);
  return new Promise(resolve => {
    const waiter: Waiter = {
      answer: (_, bytes) => {
        const answer = answerIn<T>(bytes, form);
        if (answer === null) return false;
        resolve({ answer, silence: null });
        return true;
      },
      noAnswer: (_, silence) => resolve({ answer: null, silence }),
    };
    link.inbox.send({ subject: API + topic, data, lines: '', commonLines: NOTHING }, waiter, 0);
  });
}

/** What answers to a question say that they are, and which members they have. Errors may be of any question's type. */
interface Form {
  readonly type: string;
  readonly members: Readonly<Record<string, 'object' | 'string' | 'boolean' | 'number'>>;
}

const TYPES = 'io.nats.jetstream.api.v1.';

/** By how the topic begins. */
const FORMS: Readonly<Record<string, Form>> = {
  'STREAM.CREATE.': { type: 'stream_create', members: { config: 'object', state: 'object' } },
  'STREAM.UPDATE.': { type: 'stream_update', members: { config: 'object' } },
  'STREAM.INFO.': { type: 'stream_info', members: { config: 'object', state: 'object', created: 'string' } },
  'STREAM.DELETE.': { type: 'stream_delete', members: { success: 'boolean' } },
  'STREAM.PURGE.': { type: 'stream_purge', members: { success: 'boolean' } },
  'STREAM.MSG.GET.': { type: 'stream_msg_get', members: { message: 'object' } },
  'STREAM.MSG.DELETE.': { type: 'stream_msg_delete', members: { success: 'boolean' } },
  'STREAM.LIST': { type: 'stream_list', members: { total: 'number' } },
  'STREAM.NAMES': { type: 'stream_names', members: { total: 'number' } },
  'CONSUMER.CREATE.': { type: 'consumer_create', members: { config: 'object' } },
  'CONSUMER.DELETE.': { type: 'consumer_delete', members: { success: 'boolean' } },
  INFO: { type: 'account_info', members: { limits: 'object' } },
};

/** How all topics begin that are asked: a dot at the end stands before what they are about. */
export const TOPICS: readonly string[] = Object.keys(FORMS);

function formOf(topic: string): Form {
  for (const [begin, form] of Object.entries(FORMS)) if (topic.startsWith(begin)) return form;
  throw new MillraceError('INVARIANT', `what answers to ${topic} look like is not in the table`);
}

/** Null: it is none to this question. */
function answerIn<T>(data: Uint8Array, { type, members }: Form): Answer<T> | null {
  const answer = objectIn(data) as Record<string, unknown> | null;
  if (answer === null || typeof answer.type !== 'string' || !answer.type.startsWith(TYPES)) return null;
  if (answer.error !== undefined) return failureOf(answer.error) === null ? null : (answer as Answer<T>);
  if (answer.type !== `${TYPES}${type}_response`) return null;
  for (const name in members) if (answer[name] === null || typeof answer[name] !== members[name]) return null;
  return answer as Answer<T>;
}

/** How long a server that has just started may take to have JetStream ready. */
const READY_MS = 3_000;

/** Throws BROKER_UNAVAILABLE when nobody answers for JetStream, with what to do about it. */
export async function checkJetStream(link: NatsLink): Promise<void> {
  let answer: Answer<object>;
  try {
    answer = await ask<object>(link, 'INFO', undefined, { patienceMs: READY_MS });
  } catch (cause) {
    if (!isMillraceError(cause, 'BROKER_UNAVAILABLE')) throw cause;
    const text = `JetStream does not answer at ${link.client.getServer()}: start nats-server with -js, or with a jetstream block in its settings, and enable it for the account`;
    throw new MillraceError('BROKER_UNAVAILABLE', `${text} (${cause.message})`, { cause });
  }
  if (answer.error !== undefined) throw errorOf(answer.error, 'JetStream');
}
