/**
 * Errors: THE table of what can go wrong, and what is done about it.
 *
 * Every error that Millrace raises on purpose is a `MillraceError` with a code from this table. The code decides the
 * fate, so that nobody has to recognise an error by its text:
 * - `retry`   it passes: the caller tries again with backoff
 * - `poison`  the record is at fault: it becomes a dead letter and the rest flows
 * - `fence`   somebody else owns the task: drop it quietly
 * - `stop`    the task or pipeline cannot go on without a person: it stops and says why
 * - `fatal`   a broken invariant: the process ends; a restart is safe by design
 * - `reject`  the caller asked for something that cannot be: told to them, nothing changed
 */
export type Fate = 'retry' | 'poison' | 'fence' | 'stop' | 'fatal' | 'reject';

export const ERRORS = {
  // broker
  BROKER_UNAVAILABLE: { fate: 'retry', means: 'the broker did not answer in time or refused for the moment' },
  BROKER_REFUSED: {
    fate: 'stop',
    means: 'the broker refused for good: permissions, limits, or a setting that must change',
  },
  STREAM_MISSING: { fate: 'stop', means: 'a stream that must exist does not' },
  STREAM_CHANGED: { fate: 'stop', means: 'a stream was purged past our position, recreated, or went back' },
  MESSAGE_TOO_LARGE: { fate: 'poison', means: 'one message is larger than the broker takes' },
  // ownership and durability
  FENCED: { fate: 'fence', means: 'a newer owner has this task' },
  REVISION_OUTDATED: {
    fate: 'fence',
    means: 'a newer revision of the pipeline has run, and this worker has not heard of it',
  },
  ASSIGNMENT_OUTDATED: { fate: 'fence', means: 'a newer assignment has given this part to another worker' },
  PROGRAM_MISSING: {
    fate: 'stop',
    means: 'what former code of the pipeline has begun must be finished by it, and that code cannot be loaded',
  },
  CHAIN_BROKEN: { fate: 'stop', means: 'a chain is shorter than we remember, or holds what nobody of us wrote' },
  JOURNAL_CORRUPT: { fate: 'stop', means: 'a commit cannot be read or its checksum is wrong' },
  SPEC_UNTRUSTED: { fate: 'stop', means: 'what should run is not signed by a deploy key of this worker, or is older' },
  STORE_CORRUPT: { fate: 'retry', means: 'the local store cannot be trusted; it is discarded and rebuilt' },
  STORE_IN_USE: { fate: 'stop', means: 'the data folder, or a copy of it, is used by another process' },
  STORE_UNAVAILABLE: { fate: 'retry', means: 'the data folder cannot be read or written: full, read-only, or closed' },
  // records
  RECORD_UNREADABLE: { fate: 'poison', means: 'the bytes are not of the declared format' },
  RECORD_INVALID: { fate: 'poison', means: 'the value fits no schema of its source' },
  RECORD_TIME: { fate: 'poison', means: 'the event time is missing, not a number, or too far in the future' },
  RECORD_KEY: { fate: 'poison', means: 'the key is missing or of a type that cannot be a key' },
  RECORD_SUBJECT: { fate: 'poison', means: 'the output subject cannot be made from the record' },
  RECORD_UNWRITABLE: { fate: 'poison', means: 'the output value cannot be encoded' },
  RECORD_DEADLY: { fate: 'poison', means: 'the process ended each time that it had this record in hand' },
  USER_CODE: { fate: 'poison', means: "the pipeline's own function threw or returned a promise" },
  USER_CODE_STUCK: { fate: 'stop', means: "the pipeline's own functions did not return, for several records" },
  // limits
  BATCH_OUTGROWN: {
    fate: 'retry',
    means: 'a batch has made more than a commit holds; it is done again in smaller ones',
  },
  LIMIT_REACHED: { fate: 'stop', means: 'a named limit was reached' },
  // what users ask for
  PLAN_INVALID: { fate: 'reject', means: 'the pipeline has mistakes; each is listed with its place' },
  PLAN_INCOMPATIBLE: { fate: 'reject', means: "the new pipeline cannot read the running one's state" },
  SUBJECT_OWNED: { fate: 'reject', means: 'another pipeline writes to the output subjects, or has written to them' },
  NOT_FOUND: { fate: 'reject', means: 'there is nothing of that name' },
  INVALID_ARGUMENT: { fate: 'reject', means: 'an argument is missing or wrong' },
  CONFLICT: { fate: 'retry', means: 'somebody else changed it at the same time' },
  ENGINE_LOST: {
    fate: 'retry',
    means: 'the thread that ran the pipeline has ended; it is started again in the next one',
  },
  WORKER_UNAVAILABLE: { fate: 'retry', means: 'no worker answers at the address given' },
  UNAUTHENTICATED: { fate: 'reject', means: 'the API asks who calls, and does not know this token or certificate' },
  PERMISSION_DENIED: { fate: 'reject', means: 'the caller has no role that allows this' },
  SERVER_NOT_FOUND: { fate: 'reject', means: 'no nats-server could be found or fetched' },
  // ourselves
  INVARIANT: { fate: 'fatal', means: 'something that cannot be has happened' },
} as const satisfies Record<string, { fate: Fate; means: string }>;

/** What went wrong, for programs: a code of the table, which decides the error's fate. */
export type ErrorCode = keyof typeof ERRORS;

/**
 * What to do where a pipeline cannot tell any more what it has done. Without the purge a deploy would go on from the very
 * state that does not fit, and under another name it would not get the output subjects.
 */
export const BEGIN_ANEW =
  'delete the pipeline with --purge and deploy it again: it begins anew then, and sends its results again';

/** Where what is sent to a subject is not found there, as far as its sender can see. */
export const PERHAPS_MAPPED =
  "a mapping of the account may take what is sent there as sent to another subject (mappings in the server's settings): take it out";

/** Every error that Millrace raises on purpose. Its `message` says what happened and what to do next. */
export class MillraceError extends Error {
  /** What went wrong; does not change between versions. */
  readonly code: ErrorCode;
  /** What is done about it. */
  readonly fate: Fate;
  /** @param message what happened and what to do next. */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'MillraceError';
    this.code = code;
    this.fate = ERRORS[code].fate;
  }
}

export function isMillraceError(error: unknown, code?: ErrorCode): error is MillraceError {
  try {
    return error instanceof MillraceError && (code === undefined || error.code === code);
  } catch {
    // A revoked proxy, thrown by user code, does not even say what it is an instance of.
    return false;
  }
}

/** A statement that must hold for the process to be worth keeping. */
export function invariant(holds: boolean, what: string): asserts holds {
  if (!holds) throw new MillraceError('INVARIANT', what);
}

/** The text of whatever was thrown, never empty; user code may throw anything, and even its text may throw. */
export function messageOf(error: unknown): string {
  try {
    const text: unknown = error instanceof Error ? error.message : error;
    return String(text) || (error instanceof Error ? `${error.name} without a text` : 'an empty text was thrown');
  } catch {
    return 'what was thrown has no text that can be read';
  }
}

/**
 * What becomes of a task or a reader that has ended with this. Where a stream takes less than before, no record is at fault:
 * begun again, a part cuts to that, or waits for more.
 */
export function fateOfPart(error: unknown): Fate {
  if (isMillraceError(error, 'MESSAGE_TOO_LARGE')) return 'retry';
  return isMillraceError(error) ? error.fate : 'fatal';
}
