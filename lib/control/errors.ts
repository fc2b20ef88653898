/**
 * Errors across the wire: a MillraceError becomes a gRPC status that any client understands, with details that say which
 * fields or conditions were at fault, and with its exact code in a trailer becomes the same MillraceError again for ours.
 * What nobody expected says no more than that: its text and stack are for the worker's log.
 */
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { ERRORS, type ErrorCode, isMillraceError, MillraceError } from '../base/errors.ts';
import { DETAILS_TRAILER, encodeDetails, shortened, type Violation } from './details.ts';

const CODE_TRAILER = 'millrace-code';
/** How long a text may be when it is percent-encoded, as headers have it; see `details.ts`. */
const TEXT_BYTES_MAX = 4_000;

const STATUSES: Partial<Record<ErrorCode, status>> = {
  NOT_FOUND: status.NOT_FOUND,
  INVALID_ARGUMENT: status.INVALID_ARGUMENT,
  RECORD_KEY: status.INVALID_ARGUMENT,
  PLAN_INVALID: status.INVALID_ARGUMENT,
  PLAN_INCOMPATIBLE: status.FAILED_PRECONDITION,
  SUBJECT_OWNED: status.FAILED_PRECONDITION,
  STREAM_MISSING: status.FAILED_PRECONDITION,
  STREAM_CHANGED: status.FAILED_PRECONDITION,
  BROKER_REFUSED: status.FAILED_PRECONDITION,
  STORE_IN_USE: status.FAILED_PRECONDITION,
  CONFLICT: status.ABORTED,
  FENCED: status.ABORTED,
  BROKER_UNAVAILABLE: status.UNAVAILABLE,
  STORE_UNAVAILABLE: status.UNAVAILABLE,
  STORE_CORRUPT: status.UNAVAILABLE,
  ENGINE_LOST: status.UNAVAILABLE,
  WORKER_UNAVAILABLE: status.UNAVAILABLE,
  LIMIT_REACHED: status.RESOURCE_EXHAUSTED,
  MESSAGE_TOO_LARGE: status.RESOURCE_EXHAUSTED,
  CHAIN_BROKEN: status.DATA_LOSS,
  JOURNAL_CORRUPT: status.DATA_LOSS,
  SPEC_UNTRUSTED: status.FAILED_PRECONDITION,
  UNAUTHENTICATED: status.UNAUTHENTICATED,
  PERMISSION_DENIED: status.PERMISSION_DENIED,
};

/** A request with fields that are wrong, all of them. */
export class BadRequest extends MillraceError {
  readonly violations: readonly Violation[];

  constructor(violations: readonly Violation[]) {
    super('INVALID_ARGUMENT', violations.map(({ field, description }) => `${field} ${description}`).join('\n'));
    this.violations = violations;
  }
}

export interface Failure {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

export function toStatus(error: unknown): Failure {
  const metadata = new Metadata();
  const ours = isMillraceError(error) ? error : null;
  const code = ours === null ? status.INTERNAL : (STATUSES[ours.code] ?? status.INTERNAL);
  const text = ours === null ? 'the worker failed in a way that nobody expected; its log says how' : ours.message;
  if (ours !== null) metadata.set(CODE_TRAILER, ours.code);
  const details = {
    status: code,
    message: text,
    reason: ours?.code ?? null,
    violations: violationsOf(ours),
    unmet: unmetOf(ours),
  };
  metadata.set(DETAILS_TRAILER, encodeDetails(details));
  return { code, details: headerText(text), metadata };
}

/** A text as a header can carry it. */
export function headerText(text: string): string {
  let fitting = shortened(text, TEXT_BYTES_MAX);
  while (encodeURI(fitting).length > TEXT_BYTES_MAX) fitting = shortened(fitting, Math.floor(fitting.length * 0.8));
  return fitting;
}

/** PLAN_INVALID has a mistake a line, `file:line:column: text`; indented lines belong to the one before. */
function violationsOf(error: MillraceError | null): readonly Violation[] {
  if (error instanceof BadRequest) return error.violations;
  if (error?.code !== 'PLAN_INVALID') return [];
  const mistakes = error.message.split(/\n(?!\s)/).filter(mistake => mistake.trim() !== '');
  return mistakes.map(description => ({ field: 'bundle', description }));
}

/** PLAN_INCOMPATIBLE and SUBJECT_OWNED list their reasons, each a line that begins with a dash. */
function unmetOf(error: MillraceError | null): { subject: string; description: string }[] {
  if (error?.code !== 'PLAN_INCOMPATIBLE' && error?.code !== 'SUBJECT_OWNED') return [];
  const subject = /^pipeline (\S+)/.exec(error.message)?.[1] ?? '';
  return Array.from(error.message.matchAll(/^ {2}- (.*)$/gm), ([, description = '']) => ({ subject, description }));
}

/** What a status means that comes from something between us and the worker, or from a worker of another version. */
const CODES: Partial<Record<status, ErrorCode>> = {
  [status.INVALID_ARGUMENT]: 'INVALID_ARGUMENT',
  [status.NOT_FOUND]: 'NOT_FOUND',
  [status.ABORTED]: 'CONFLICT',
  [status.RESOURCE_EXHAUSTED]: 'LIMIT_REACHED',
  [status.UNAUTHENTICATED]: 'UNAUTHENTICATED',
  [status.PERMISSION_DENIED]: 'PERMISSION_DENIED',
};

/** @param asked who was asked, and how, for the message when nobody answered. */
export function fromStatus(
  error: ServiceError,
  asked: { readonly address: string; readonly tls: boolean },
): MillraceError {
  const { address } = asked;
  const told = error.metadata?.get(CODE_TRAILER)[0]?.toString();
  const code = told !== undefined && told in ERRORS ? (told as ErrorCode) : CODES[error.code];
  if (code !== undefined) return new MillraceError(code, error.details, { cause: error });
  if (error.code === status.UNAVAILABLE || error.code === status.DEADLINE_EXCEEDED) {
    const what = error.code === status.UNAVAILABLE ? 'no worker answers' : 'the worker did not answer in time';
    return new MillraceError(
      'WORKER_UNAVAILABLE',
      `${what} at ${address}; start one with: millrace worker, or try a pipeline with: millrace dev FILE; or give another address with --server HOST:PORT${connectionHint(error.details, asked)}`,
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

/** Why a connection failed is in nothing but the library's text. Pure. */
export function connectionHint(details: string, { tls }: { readonly tls: boolean }): string {
  if (/wrong version number/i.test(details)) {
    return '\nwhat listens there speaks no TLS: leave the TLS settings out, or give another address';
  }
  if (/certificate|altnames|self.signed|\bSSL\b/i.test(details))
    return `\nit looks like a matter of TLS: ${details.trim()}`;
  if (/Protocol error/i.test(details)) {
    return "\nwhat listens there speaks something else: a worker's API is at port 4280 unless told otherwise, NATS at 4222";
  }
  if (/ECONNRESET|socket hang up|Failed to connect|disconnected before/i.test(details)) {
    const other = tls ? 'one without TLS (leave the TLS settings out)' : 'one that asks for TLS (--tls)';
    return `\nsomething listens there and ended the connection: a worker that starts or stops (try again in a moment), or ${other}`;
  }
  return '';
}
