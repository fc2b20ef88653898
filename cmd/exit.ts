/**
 * Exit codes: THE table, and how an error becomes one. Errors never show a stack unless asked for: whoever types a command
 * needs to know what to do, not where we noticed.
 */
import { CommanderError } from 'commander';
import { type ErrorCode, isMillraceError, messageOf } from '../lib/base/errors.ts';

export const EXIT_CODES = {
  done: { code: 0, means: 'done' },
  failed: { code: 1, means: 'it failed; the message says why and what to do' },
  usage: { code: 2, means: 'it was called wrongly, or a setting is wrong; nothing was changed' },
  notFound: { code: 3, means: 'there is no such pipeline, task, letter or file' },
  refused: {
    code: 4,
    means:
      'the pipeline has mistakes, cannot go on from the state that exists, or would write where others do; nothing was changed',
  },
  unreachable: { code: 5, means: 'no worker or no broker answers, or it is busy changing; the same again may work' },
  denied: { code: 6, means: 'the worker or the broker does not let us in' },
  timeout: { code: 7, means: 'what was waited for did not happen in time' },
  interrupted: { code: 130, means: 'ended by Ctrl-C' },
} as const satisfies Readonly<Record<string, { readonly code: number; readonly means: string }>>;

export type Ending = keyof typeof EXIT_CODES;

/** Codes that are not here are failures. */
const ENDINGS: Readonly<Record<string, Ending>> = {
  INVALID_ARGUMENT: 'usage',
  NOT_FOUND: 'notFound',
  PLAN_INVALID: 'refused',
  PLAN_INCOMPATIBLE: 'refused',
  SUBJECT_OWNED: 'refused',
  WORKER_UNAVAILABLE: 'unreachable',
  BROKER_UNAVAILABLE: 'unreachable',
  CONFLICT: 'unreachable',
  UNAUTHENTICATED: 'denied',
  PERMISSION_DENIED: 'denied',
  BROKER_REFUSED: 'denied',
} satisfies Partial<Record<ErrorCode, Ending>>;

export function endingOf(code: string): Ending {
  return ENDINGS[code] ?? 'failed';
}

/** Thrown by a command that has said what there is to say. */
export class Ended extends Error {
  readonly ending: Ending;
  /** @param message what is still to be said; empty: nothing. */
  constructor(ending: Ending, message = '') {
    super(message);
    this.ending = ending;
  }
}

/** Says what went wrong on standard error. Returns the exit code. */
export function report(error: unknown, options: { debug: boolean; write: (text: string) => void }): number {
  const { debug, write } = options;
  // Commander has said it already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_CODES.done.code : EXIT_CODES.usage.code;
  if (error instanceof Ended) {
    if (error.message !== '') write(`error: ${error.message}\n`);
    return EXIT_CODES[error.ending].code;
  }
  write(`error: ${messageOf(error)}\n`);
  if (debug && error instanceof Error) write(`${error.stack}\n${causesOf(error)}`);
  else if (!isMillraceError(error)) write('this was not expected; run it again with --debug and report it\n');
  return EXIT_CODES[isMillraceError(error) ? endingOf(error.code) : 'failed'].code;
}

function causesOf(error: Error): string {
  const { cause } = error;
  return cause instanceof Error ? `caused by ${cause.stack}\n${causesOf(cause)}` : '';
}
