/**
 * What the broker's error codes mean to us: a pure table. Codes are those of nats-server's `errors.json`; they are
 * judged by number, never by text.
 */
import { MillraceError } from '../base/errors.ts';
import type { Append } from '../port/log.ts';

/** As JetStream answers: `code` like HTTP's, `err_code` the exact one. */
export interface ApiFailure {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

export const NO_MESSAGE = 10037;
export const STREAM_NAME_IN_USE = 10058;
export const STREAM_NOT_FOUND = 10059;
const WRONG_LAST_SEQUENCE = 10071;
const MESSAGE_EXCEEDS_MAXIMUM = 10054;
const HEADERS_EXCEED_MAXIMUM = 10097;

/**
 * Refusals that look permanent by their `code` (400) and are not: another check on the subject is in flight (10164),
 * a batch was abandoned on the way (10176).
 */
const PASSING: ReadonlySet<number> = new Set([10164, 10176]);
const TOO_MANY_REQUESTS = 429;

/**
 * The outcome of an append that the broker answered with an error. Everything of the server's own side (`code` ≥ 500:
 * no leader, busy, disk or account full, stream full with `discard: new`) may pass and counts as in doubt: the writer
 * waits, which is back-pressure, and what it waits for shows in the cause. Throws what retrying cannot mend.
 */
export function judgeRefusal(failure: ApiFailure, subject: string): Append {
  const { code, err_code: errCode = 0 } = failure;
  if (errCode === WRONG_LAST_SEQUENCE) return { kind: 'moved' };
  if (errCode === MESSAGE_EXCEEDS_MAXIMUM || errCode === HEADERS_EXCEED_MAXIMUM) {
    throw new MillraceError('MESSAGE_TOO_LARGE', `${subject}: ${textOf(failure)}; raise the stream's max_msg_size`);
  }
  if (code >= 500 || code === TOO_MANY_REQUESTS || PASSING.has(errCode))
    return { kind: 'unsure', cause: new Error(`${subject}: ${textOf(failure)}`) };
  throw errorOf(failure, `append to ${subject}`);
}

/** The error for a refused request of ours. */
export function errorOf(failure: ApiFailure, what: string): MillraceError {
  const message = `${what}: ${textOf(failure)}`;
  if (failure.err_code === STREAM_NOT_FOUND) return new MillraceError('STREAM_MISSING', message);
  return new MillraceError(failure.code >= 500 ? 'BROKER_UNAVAILABLE' : 'BROKER_REFUSED', message);
}

function textOf({ description, err_code: errCode, code }: ApiFailure): string {
  return `${description ?? 'refused'} (${errCode ?? code})`;
}
