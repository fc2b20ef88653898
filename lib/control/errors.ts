/**
 * Errors across the wire: a MillraceError becomes a gRPC status that any client understands, and with its exact code in
 * a trailer becomes the same MillraceError again for ours.
 */
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { ERRORS, type ErrorCode, isMillraceError, MillraceError, messageOf } from '../base/errors.ts';

const CODE_TRAILER = 'millrace-code';
/** Status texts travel in HTTP/2 headers, which peers limit to some 16 KiB; percent-encoding may triple them. */
const TEXT_CHARACTERS_MAX = 4_000;

const STATUSES: Partial<Record<ErrorCode, status>> = {
  NOT_FOUND: status.NOT_FOUND,
  INVALID_ARGUMENT: status.INVALID_ARGUMENT,
  PLAN_INVALID: status.INVALID_ARGUMENT,
  PLAN_INCOMPATIBLE: status.FAILED_PRECONDITION,
  STREAM_MISSING: status.FAILED_PRECONDITION,
  STREAM_CHANGED: status.FAILED_PRECONDITION,
  BROKER_REFUSED: status.FAILED_PRECONDITION,
  CONFLICT: status.ABORTED,
  BROKER_UNAVAILABLE: status.UNAVAILABLE,
  WORKER_UNAVAILABLE: status.UNAVAILABLE,
  LIMIT_REACHED: status.RESOURCE_EXHAUSTED,
};

export function toStatus(error: unknown): { code: status; details: string; metadata: Metadata } {
  const metadata = new Metadata();
  if (isMillraceError(error)) metadata.set(CODE_TRAILER, error.code);
  const code = isMillraceError(error) ? (STATUSES[error.code] ?? status.INTERNAL) : status.INTERNAL;
  const text = messageOf(error);
  const details = text.length <= TEXT_CHARACTERS_MAX ? text : `${text.slice(0, TEXT_CHARACTERS_MAX)} …`;
  return { code, details, metadata };
}

/** @param address whom was asked, for the message when nobody answered. */
export function fromStatus(error: ServiceError, address: string): MillraceError {
  const code = error.metadata?.get(CODE_TRAILER)[0]?.toString();
  if (code !== undefined && code in ERRORS)
    return new MillraceError(code as ErrorCode, error.details, { cause: error });
  if (error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED) {
    const what = error.code === status.UNAVAILABLE ? 'no worker answers' : 'the worker did not answer in time';
    return new MillraceError(
      'WORKER_UNAVAILABLE',
      `${what} at ${address}; start one with: millrace worker, or give another address with --server HOST:PORT`,
      { cause: error },
    );
  }
  if (error.code === status.UNIMPLEMENTED) {
    return new MillraceError('INVALID_ARGUMENT', `what listens at ${address} is no Millrace worker, or an older one`, {
      cause: error,
    });
  }
  return new MillraceError('INVARIANT', `the worker at ${address} failed: ${error.details}; see its log`, {
    cause: error,
  });
}
