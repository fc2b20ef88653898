/**
 * Requests to the JetStream API: one question, one JSON answer. All questions that we ask may be asked twice, so one
 * that finds nobody, or no answer, is asked again until our patience ends: an election takes 4 to 9 seconds.
 */
import { backoffMs } from '../base/backoff.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import type { NatsLink } from './connection.ts';
import { textOf } from './headers.ts';
import type { NoAnswer, Waiter } from './inbox.ts';
import { type ApiFailure, errorOf } from './refusal.ts';

const NOTHING = new Uint8Array(0);
const PATIENCE_MS = 20_000;
const RETRY_BASE_MS = 50;
const RETRY_MAX_MS = 1000;

export type Answer<T> = { readonly error: ApiFailure } | ({ readonly error?: undefined } & T);

/**
 * `topic` is what follows `$JS.API.`. An error of the broker's is part of the answer unless it may pass (≥ 500).
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
      if (answer.error === undefined || answer.error.code < 500) return answer;
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
    link.inbox.send({ subject, data, headers: null }, waiter, 0);
  });
}
