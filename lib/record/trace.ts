/**
 * W3C trace context as it travels with a record: the `traceparent` of the message that it came in, and after a blank its
 * `tracestate`, if it had one. One text, taken from headers and given back to headers as it was: what Millrace sends says
 * which request it belongs to, and is the same however often it is sent.
 *
 * It travels with every record of its message, so it is short or absent.
 *
 * Where a result comes from many records, the one that triggered it decides; what a timer sends has none.
 */
import { headerOf } from '../port/headers.ts';
import type { Headers } from '../port/log.ts';

export const HEADER_TRACEPARENT = 'traceparent';
export const HEADER_TRACESTATE = 'tracestate';

/** `version-trace-parent-flags`; later versions may have more. All zeros is no id. */
const TRACEPARENT = /^[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-|$)/;
/** That of version 00 has 55; a longer one, of versions to come, is none to us. */
export const TRACEPARENT_MAX = 128;
/** What the standard asks everybody to pass on. */
export const TRACESTATE_MAX = 512;

/** Null: there is none, or none that is one. */
export function traceOf(headers: Headers | null): string | null {
  const parent = headerOf(headers, HEADER_TRACEPARENT);
  if (parent === null || parent.length > TRACEPARENT_MAX || !TRACEPARENT.test(parent)) return null;
  const state = headerOf(headers, HEADER_TRACESTATE);
  return state === null || state === '' || state.length > TRACESTATE_MAX ? parent : `${parent} ${state}`;
}

export function traceHeaders(trace: string | null): Headers {
  if (trace === null) return {};
  const blank = trace.indexOf(' ');
  if (blank < 0) return { [HEADER_TRACEPARENT]: trace };
  return { [HEADER_TRACEPARENT]: trace.slice(0, blank), [HEADER_TRACESTATE]: trace.slice(blank + 1) };
}

/** Traces by row, with holes; undefined: no row has one. */
export type Traces = readonly (string | null | undefined)[] | undefined;

/** The first trace of some rows, or null: what stands for all of them. */
export function firstTrace(traces: Traces, from: number, to: number): string | null {
  if (traces === undefined) return null;
  for (let i = from; i < to; i++) {
    const trace = traces[i];
    if (trace !== null && trace !== undefined) return trace;
  }
  return null;
}
