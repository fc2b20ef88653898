/**
 * What the broker's error codes mean to us, and what to do about them: a pure table. Codes are those of nats-server's `errors.json`; they are
 * judged by number, never by text.
 */
import { MillraceError, PERHAPS_MAPPED } from '../base/errors.ts';
import type { Append } from '../port/log.ts';

/** As JetStream answers: `code` like HTTP's, `err_code` the exact one. */
export interface ApiFailure {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

/** Whether a failure has the form that every error of JetStream's has; null: it has not. */
export function failureOf(error: unknown): ApiFailure | null {
  if (typeof error !== 'object' || error === null) return null;
  const { code, err_code: errCode, description } = error as Partial<Record<keyof ApiFailure, unknown>>;
  const isWhole = Number.isInteger(code) && Number.isInteger(errCode) && typeof description === 'string';
  return isWhole ? (error as ApiFailure) : null;
}

export const NO_MESSAGE = 10037;
const SEQUENCE_NOT_FOUND = 10043;
const MESSAGE_DELETE_FAILED = 10057;
export const STREAM_NAME_IN_USE = 10058;
export const STREAM_NOT_FOUND = 10059;
export const WRONG_LAST_SEQUENCE = 10071;
const BATCH_INCOMPLETE = 10176;
const MESSAGE_EXCEEDS_MAXIMUM = 10054;
const HEADERS_EXCEED_MAXIMUM = 10097;

/** What a person does about a refusal, by its exact code. */
const REMEDIES: Readonly<Record<number, string>> = {
  10002: "raise the account's limit, or make room: nats stream report shows who takes it",
  10005:
    'not enough servers of the cluster are up for so many replicas: start them, or ask for fewer (MILLRACE_REPLICAS)',
  10023: 'the server has no room: raise max_file or max_mem in its jetstream block, or make room',
  10026: "raise the account's or the stream's max_consumers, or delete consumers that nobody needs",
  10027: "raise the account's max_streams, or delete streams that nobody needs",
  10028: 'raise max_mem in the jetstream block of the server, or make room',
  10039: "switch JetStream on for this user's account: jetstream: enabled in its block of the server's settings",
  10047: 'the server or account cannot set aside what the stream may grow to (max_bytes): raise max_file, or make room',
  10074: 'a server without a cluster keeps one replica of a stream: set MILLRACE_REPLICAS to 1, or run a cluster',
  10076: 'start nats-server with -js, or with a jetstream block in its settings',
  10077: "the stream or its disk is full: raise the stream's limits, or make room",
  10109: 'a sealed stream takes nothing any more: give the sink another one, or make this one anew',
  10110: 'deny_purge of a stream cannot be taken back: see deploy/STREAMS.md',
  10113: 'the account wants every stream to have a limit: unset its max_bytes_required, or make the stream yourself',
  10122: "the account's limits do not allow a stream so large: raise them, or make room",
  [BATCH_INCOMPLETE]: `one of its messages was not taken; if that stays so, ${PERHAPS_MAPPED}`,
  10174:
    'its stream takes no atomic batches: let it (nats stream edit, with --allow-batch), or deploy the sink with mode: at-least-once',
};

/**
 * Refusals that look permanent by their `code` (400) and are not: another check on the subject is in flight (10164), a
 * batch was abandoned on the way (10176), a limit of the account that others may make room under (10002, 10026, 10027),
 * and a cluster that lacks servers at the moment (10005).
 */
const PASSING: ReadonlySet<number> = new Set([10002, 10005, 10026, 10027, 10164, BATCH_INCOMPLETE]);
/** … and those that look as if they passed, and do not: replicas without a cluster, purges of a stream that denies them. */
const LASTING: ReadonlySet<number> = new Set([10074, 10110]);
const TOO_MANY_REQUESTS = 429;

/** A batch that was not whole when it ended: one of its messages was refused, or lost. The broker does not say which, or why. */
export class BatchIncomplete extends Error {}

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
  if (isPassing(failure) || code === TOO_MANY_REQUESTS) {
    const Cause = errCode === BATCH_INCOMPLETE ? BatchIncomplete : Error;
    return { kind: 'unsure', cause: new Cause(`${subject}: ${textOf(failure)}`) };
  }
  throw errorOf(failure, `append to ${subject}`);
}

/** The message to be deleted is not there: the server says so in one of three ways, the last with its store's reason. */
export function isMissing({ err_code: errCode, description }: ApiFailure): boolean {
  if (errCode === NO_MESSAGE || errCode === SEQUENCE_NOT_FOUND) return true;
  return errCode === MESSAGE_DELETE_FAILED && /not found|no message|deleted/i.test(description ?? '');
}

/** The error for a refused request of ours. */
export function errorOf(failure: ApiFailure, what: string): MillraceError {
  const message = `${what}: ${textOf(failure)}`;
  if (failure.err_code === STREAM_NOT_FOUND) return new MillraceError('STREAM_MISSING', message);
  return new MillraceError(isPassing(failure) ? 'BROKER_UNAVAILABLE' : 'BROKER_REFUSED', message);
}

/** Whether the same request may be granted later, though nobody changes it. */
export function isPassing({ code, err_code: errCode = 0, description = '' }: ApiFailure): boolean {
  // Only the text tells a stream that denies deletions from a store that is in trouble.
  if (errCode === MESSAGE_DELETE_FAILED && /not permitted/i.test(description)) return false;
  return !LASTING.has(errCode) && (code >= 500 || PASSING.has(errCode));
}

/** Whether it passes by itself within moments, as an election does: nothing that a person would have to see to. */
export function isMomentary(failure: ApiFailure): boolean {
  return failure.code >= 500 && isPassing(failure) && REMEDIES[failure.err_code ?? 0] === undefined;
}

function textOf({ description, err_code: errCode, code }: ApiFailure): string {
  const remedy = REMEDIES[errCode ?? 0];
  return `${description ?? 'refused'} (${errCode ?? code})${remedy === undefined ? '' : `; ${remedy}`}`;
}
