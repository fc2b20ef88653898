/**
 * Requests to the JetStream API: one question, one JSON answer. All questions that we ask may be asked twice, so one
 * that finds nobody, or no answer, is asked again until our patience ends: an election takes 4 to 9 seconds.
 */
import { backoffMs } from '../base/backoff.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import type { NatsLink } from './connection.ts';
import { textOf } from './headers.ts';
import type { NoAnswer, Waiter } from './inbox.ts';
import { type ApiFailure, errorOf, isMomentary } from './refusal.ts';
import { NOTHING } from './wire-writer.ts';

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
    const outcome = await askOnce(link, `$JS.API.${topic}`, data);
    let cause: Error;
    if (outcome instanceof Uint8Array) {
      const answer = JSON.parse(textOf(outcome)) as Answer<T>;
      if (answer.error === undefined || !isMomentary(answer.error)) return answer;
      cause = errorOf(answer.error, topic);
    } else {
      if (outcome.kind === 'refused') throw outcome.cause;
      cause = outcome.cause;
    }
    const delayMs = backoffMs(attempt, { baseMs: RETRY_BASE_MS, maxMs: RETRY_MAX_MS });
    if (link.client.isClosed() || performance.now() + delayMs > deadline) {
      throw new MillraceError('BROKER_UNAVAILABLE', `no answer to ${topic}: ${cause.message}`, { cause });
    }
    await sleep(systemClock, delayMs);
  }
}

/** Like `ask`, for questions to which every error is unexpected. */
export async function askOrThrow<T>(link: NatsLink, topic: string, question?: unknown): Promise<T> {
  const answer = await ask<T>(link, topic, question);
  if (answer.error !== undefined) throw errorOf(answer.error, topic);
  return answer;
}

function askOnce(link: NatsLink, subject: string, data: Uint8Array): Promise<Uint8Array | NoAnswer> {
  return new Promise(resolve => {
    const waiter: Waiter = { answer: (_, answer) => resolve(answer), noAnswer: (_, why) => resolve(why) };
    link.inbox.send({ subject, data, lines: '', commonLines: NOTHING }, waiter, 0);
  });
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
