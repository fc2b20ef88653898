/** What tests give, as the driver takes it: contents and moments. */
import { isMillraceError, MillraceError } from '../base/errors.ts';
import { jsonOutput } from '../record/output.ts';
import { toMs } from '../topology/sources.ts';

/** A moment: ms since 1970, a Date, or ISO text (without a zone it is UTC). */
export type Moment = number | Date | string;

export function bytesOf(content: unknown): Uint8Array {
  if (content instanceof Uint8Array) return content;
  if (typeof content === 'string') return Buffer.from(content);
  // What JSON can say at all: a bigint with all its digits.
  if (content !== undefined && typeof content !== 'function' && typeof content !== 'symbol') {
    return Buffer.from(jsonOutput(content));
  }
  throw new MillraceError('INVALID_ARGUMENT', `${typeof content} is no content of a message: give bytes, text or data`);
}

export function momentMs(moment: Moment, what: string): number {
  try {
    const ms = toMs(moment);
    if (Number.isFinite(ms)) return ms;
  } catch (error) {
    if (!isMillraceError(error)) throw error;
  }
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `${what}: ${String(moment)} is neither ms since 1970, nor a Date, nor ISO text`,
  );
}
