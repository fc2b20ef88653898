/**
 * Heartbeats: messages without content, by which a sender says how far it is, in a header that any client can set. They
 * are how a replay, or a service that falls silent, tells those who wait for it that nothing older is still to come.
 */
import { MillraceError } from '../base/errors.ts';
import { headerOf } from '../port/headers.ts';
import type { Headers } from '../port/log.ts';
import { isoTimeMs } from '../window/iso-time.ts';
import { END_MS, TIME_MAX_MS } from '../window/watermark.ts';

/** ISO time up to which a source is complete, or `END`. */
export const HEADER_COMPLETE = 'Millrace-Complete';
/** Nothing more is to come. */
export const END = 'end';

/** Event time up to which the sender is complete, ms since 1970; null: this is no heartbeat. Throws RECORD_TIME. */
export function completeMsOf(headers: Headers | null): number | null {
  const text = headerOf(headers, 'millrace-complete');
  return text === null ? null : parseComplete(text);
}

/** @param text `end`, or an ISO time; without a zone it is UTC. Throws RECORD_TIME. */
export function parseComplete(text: string): number {
  const ms = text === END ? END_MS : isoTimeMs(text);
  if (Math.abs(ms) <= TIME_MAX_MS) return ms;
  throw new MillraceError('RECORD_TIME', `${HEADER_COMPLETE}: ${text.slice(0, 100)} is neither an ISO time nor ${END}`);
}
