/**
 * Errors across the seam: a structured clone keeps neither an error's class nor its code, so they are told as plain data and
 * made again on the other side, with their causes.
 */
import { type ErrorCode, isMillraceError, MillraceError, messageOf } from '../base/errors.ts';

/** How many causes of causes are told. */
const DEPTH_MAX = 5;

export interface ErrorData {
  /** Null: nobody threw it on purpose. */
  readonly code: ErrorCode | null;
  readonly message: string;
  /** The stack of what nobody threw on purpose. */
  readonly stack: string | undefined;
  readonly cause: ErrorData | null;
}

export function tellError(error: unknown, depth = 0): ErrorData {
  const cause = error instanceof Error && depth < DEPTH_MAX ? error.cause : undefined;
  const told = cause === undefined || cause === null ? null : tellError(cause, depth + 1);
  if (isMillraceError(error)) return { code: error.code, message: error.message, stack: undefined, cause: told };
  const stack = error instanceof Error ? error.stack : undefined;
  return { code: null, message: messageOf(error), stack, cause: told };
}

export function heardError({ code, message, stack, cause }: ErrorData): Error {
  const options = cause === null ? undefined : { cause: heardError(cause) };
  if (code !== null) return new MillraceError(code, message, options);
  const error = new Error(message, options);
  if (stack !== undefined) error.stack = stack;
  return error;
}
