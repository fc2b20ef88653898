/**
 * What a source's spec makes of a decoded record: its value, its event time and its change, or why it has none. Pure, but
 * for the author's functions.
 */
import { durationText, spanText } from '../base/duration.ts';
import { MillraceError } from '../base/errors.ts';
import { type Change, INSERT } from '../change/change.ts';
import { refusePromise } from '../operator/user-code.ts';
import { headerOf } from '../port/headers.ts';
import type { StoredMessage } from '../port/log.ts';
import { encodeKey } from '../record/key.ts';
import { TIME_MAX_MS } from '../window/watermark.ts';
import type { SourceSpec } from './spec.ts';

/** Throws what user code throws, and why the value is invalid. */
export function judgedValue({ attach, validate }: SourceSpec, message: StoredMessage, decoded: unknown): unknown {
  let value = decoded;
  if (attach !== null) {
    value = attach(value, message);
    refusePromise(value, 'the function `with`');
  }
  return validate === null ? value : validate(value);
}

/** In whole ms, as windows and lags count. Throws RECORD_TIME, and what user code throws. */
export function judgedTime({ time, maxFutureMs }: SourceSpec, message: StoredMessage, value: unknown): number {
  const timeMs = time === null ? message.timeMs : time(value, message);
  if (!(Math.abs(timeMs) <= TIME_MAX_MS)) {
    const text = `the event time ${timeMs} is no number of ms within ${TIME_MAX_MS} of 1970`;
    throw new MillraceError('RECORD_TIME', text);
  }
  const wholeMs = Math.floor(timeMs);
  if (wholeMs <= message.timeMs + maxFutureMs) return wholeMs;
  const ahead = spanText(wholeMs - message.timeMs);
  const text = `the event time is ${ahead} ahead of the broker's clock; maxFuture allows ${durationText(maxFutureMs)}`;
  throw new MillraceError('RECORD_TIME', text);
}

/** What the record does to its table. Throws RECORD_INVALID, and what user code throws. */
export function judgedChange({ change }: SourceSpec, message: StoredMessage, value: unknown): Change {
  return change === null ? INSERT : change(value, message);
}

/** The key of a key-value bucket's row: where its subject goes on behind the bucket's (`$KV.<bucket>.>`). */
export function keyOfRow(bucketSubjects: string, subject: string): string {
  return encodeKey(subject.slice(bucketSubjects.length - 1))!;
}

/**
 * Whether a key-value bucket's message is a delete or purge, or the marker that the broker itself leaves where a row has
 * expired or was removed (ADR-43). One without content that rolls its subject up is what is left of a purge by other means.
 */
export function isTombstone({ headers, data }: StoredMessage): boolean {
  if (headers === null) return false;
  const operation = headerOf(headers, 'kv-operation');
  if (operation === 'DEL' || operation === 'PURGE' || headerOf(headers, 'nats-marker-reason') !== null) return true;
  return data.length === 0 && headerOf(headers, 'nats-rollup') !== null;
}

/** The event time of a record that was passed on before a restart, ms; -Infinity: it was refused for something then. */
export function timeAgain(spec: SourceSpec, message: StoredMessage, decoded: unknown): number {
  try {
    const value = judgedValue(spec, message, decoded);
    judgedChange(spec, message, value);
    return judgedTime(spec, message, value);
  } catch {
    return Number.NEGATIVE_INFINITY;
  }
}
