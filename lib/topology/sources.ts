/**
 * Sources as authors describe them, turned into what a reader is told, but for the stream: only the broker knows it.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { Duration } from '../base/duration.ts';
import { MillraceError } from '../base/errors.ts';
import { CHANGE_WORDS, type Change, type ChangeWord, changeOf } from '../change/change.ts';
import { refusePromise, shown } from '../operator/user-code.ts';
import type { Decoder } from '../record/format.ts';
import { auto, FORMAT_NAMES, type FormatName, oneOfFormats } from '../record/formats.ts';
import { fittedName, STREAM_NAME } from '../record/names.ts';
import { validator } from '../record/schema.ts';
import type { MessageMeta, SourceSpec } from '../source/spec.ts';
import { isoTimeMs, whyNoTime } from '../window/iso-time.ts';
import type { Graph } from './graph.ts';
import type { SourceDraft } from './node.ts';
import { DECODER, DURATION, type Fit, FUNCTION, judged, NAMED, OBJECT, oneOf, SCHEMA, TEXT } from './options.ts';
import type { Named } from './types.ts';

/** How long the stream that Millrace makes for `capture: true` keeps messages, and how many bytes of them. */
export const CAPTURE_AGE_MS = 7 * 86_400_000;
export const CAPTURE_BYTES_MAX = 2 ** 30;
const IDLE_AFTER_MS = 10_000;
const FUTURE_MAX_MS = 3_600_000;

type TimeField<T> = unknown extends T
  ? string
  : { [F in keyof T & string]-?: NonNullable<T[F]> extends number | string | Date ? F : never }[keyof T & string];

/** How a source is read. */
export interface FromOptions<T> extends Named {
  /** Any Standard Schema (zod, valibot, arktype, …), or `versions(…)`. Without one, values are taken as they come. */
  readonly schema?: StandardSchemaV1<unknown, T>;
  /** How to read a message's bytes, whatever it says of itself. Default: as its content type says, one of `formats`. */
  readonly format?: Decoder;
  /**
   * The formats that a message's content type may choose from; another one is a dead letter. Without a content type, or with
   * one that is not known, it is of the first. Default `json`, `ndjson`, `msgpack`, `cloudevents`.
   */
  readonly formats?: readonly FormatName[];
  /** Event time: a field, or a function; ms since 1970, a Date or ISO text. Default: when the broker got it. */
  readonly time?: TimeField<T> | ((value: T, message: MessageMeta) => number | Date | string);
  /**
   * What each record does to the table that the subject is a changelog of: `insert`, `before` and `after` (the two halves of
   * an update), or `delete`. It travels with the record through what has no state (`filter`, `map`, `keyBy` …) and is said in
   * a header of the results; operators with state refuse such a stream. Anything else that it returns makes the record a
   * dead letter (RECORD_INVALID). Default: all are inserts.
   */
  readonly change?: (value: T, message: MessageMeta) => ChangeWord;
  /** How far, in event time, a record may lie behind the latest one before it. Default 0. */
  readonly maxOutOfOrder?: Duration;
  /**
   * After so long without a message, by the broker's clock, event time goes on with the clock, so long behind it. What
   * comes next is in time if its delay has not grown by more. Default 10s.
   */
  readonly idleAfter?: Duration;
  /**
   * What a source does that has been quiet for `idleAfter`. `follow` (default): its event time goes on with the clock from
   * where it stood. `skip`: it holds nobody back until it speaks again, and what it then says may be late.
   */
  readonly idle?: 'follow' | 'skip';
  /**
   * No record is published later than this after its event time. Then event time is never further behind the broker's
   * clock, also in a source that has said nothing yet; a record that breaks the promise may be late.
   */
  readonly maxDelay?: Duration;
  /** An event time further ahead of the broker's clock is a dead letter. Default 1h. */
  readonly maxFuture?: Duration;
  /**
   * Keep the subject in a stream of our making if no stream keeps it yet: for seven days and at most 1 GiB, unless `maxAge`
   * and `maxBytes` say otherwise.
   */
  readonly capture?: true | { readonly maxAge?: Duration; readonly maxBytes?: number };
  /**
   * The streams to be read, where that is not simply the one that lists the subject: several of which each keeps a part, a
   * mirror, a stream that copies from others or keeps messages under other subjects than they were sent to. Each is a
   * source, with its own position and event time, and their records are merged; the subject is that by which they are kept.
   */
  readonly streams?: readonly string[];
  /** Where a pipeline deployed for the first time begins. Default `first`. */
  readonly start?: 'first' | 'new';
  /** Makes the value from the decoded one and its message (subject, headers), before the schema sees it. */
  readonly with?: (value: unknown, message: MessageMeta) => unknown;
  /** What becomes of a record that cannot be used, or that ends its process each time. Default `deadLetter`. */
  readonly onPoison?: SourceSpec['onPoison'];
}

/** How a table is read. */
export interface TableOptions<V> extends Named {
  /** Any Standard Schema, or `versions(…)`. Without one, values are taken as they come. */
  readonly schema?: StandardSchemaV1<unknown, V>;
  /** How to read a row's bytes, whatever it says of itself. Default: as its content type says, one of `formats`. */
  readonly format?: Decoder;
  /** As of `from`. */
  readonly formats?: readonly FormatName[];
  /** What becomes of a row that cannot be used. Default `deadLetter`. */
  readonly onPoison?: SourceSpec['onPoison'];
}

const FORMATS: Fit = {
  be: `a list of ${FORMAT_NAMES.map(name => `'${name}'`).join(', ')}`,
  is: value => Array.isArray(value) && value.length > 0 && value.every(name => FORMAT_NAMES.includes(name)),
  hint: value => {
    if (typeof value === 'string') return `; write formats: ['${value}']`;
    const unknown = Array.isArray(value) ? value.find(name => !FORMAT_NAMES.includes(name)) : undefined;
    return unknown === undefined ? '' : `, and ${shown(unknown)} is none; any other is read by format, alone`;
  },
};

const FROM = {
  ...NAMED,
  schema: SCHEMA,
  format: DECODER,
  formats: FORMATS,
  time: { be: 'the name of a field, or a function', is: value => TEXT.is(value) || FUNCTION.is(value) },
  change: FUNCTION,
  maxOutOfOrder: DURATION,
  idleAfter: DURATION,
  idle: oneOf('follow', 'skip'),
  maxDelay: DURATION,
  maxFuture: DURATION,
  capture: { be: 'true, or an object with maxAge and maxBytes', is: value => value === true || OBJECT.is(value) },
  streams: {
    be: `the names of streams, at least one, e.g. ['orders_eu', 'orders_us']`,
    is: value => Array.isArray(value) && value.length > 0 && value.every(name => TEXT.is(name)),
    hint: value => (typeof value === 'string' ? `; write streams: ['${value}']` : ''),
  },
  start: oneOf('first', 'new'),
  with: FUNCTION,
  onPoison: oneOf('deadLetter', 'skip', 'stop'),
} satisfies Record<string, Fit>;

export function streamDraft<T>(graph: Graph, subject: string, given: FromOptions<T> | undefined): SourceDraft {
  const options = judged(graph, 'from', given, FROM);
  const { schema, capture, time, change, streams = [] } = options;
  const unfit = streams.find(name => !STREAM_NAME.test(name));
  if (unfit !== undefined) graph.note(`'${unfit}' names no stream: take letters, digits, '-' and '_'`);
  if (streams.length > 0 && capture !== undefined) {
    graph.note('capture makes the stream, and streams names those that there are: leave one of the two out');
  }
  return {
    kind: 'stream',
    subject,
    stream: null,
    streams: [...new Set(streams)],
    capture: capture === undefined ? null : captureDraft(graph, capture === true ? {} : capture),
    keeps: null,
    start: options.start ?? 'first',
    decoder: decoderDraft(graph, options),
    attach: options.with ?? null,
    validate: validateDraft(graph, schema),
    time: time === undefined ? null : timeFunction(time as string | AnyFunction),
    change: change === undefined ? null : changeFunction(change as AnyFunction),
    maxOutOfOrderMs: graph.duration(options.maxOutOfOrder ?? 0, 'maxOutOfOrder'),
    idleAfterMs: graph.length(options.idleAfter ?? IDLE_AFTER_MS, 'idleAfter'),
    idle: options.idle ?? 'follow',
    maxDelayMs: options.maxDelay === undefined ? null : graph.duration(options.maxDelay, 'maxDelay'),
    maxFutureMs: graph.duration(options.maxFuture ?? FUTURE_MAX_MS, 'maxFuture'),
    onPoison: options.onPoison ?? 'deadLetter',
  };
}

/** The source, or one for each stream that its author lists, with the options that name it. */
export function perStream<O extends Named>(
  draft: SourceDraft,
  options: O | undefined,
): { readonly source: SourceDraft; readonly given: Named | undefined }[] {
  const { streams } = draft;
  if (streams.length < 2) return [{ source: { ...draft, stream: streams[0] ?? null }, given: options }];
  const name = options?.name;
  return streams.map(stream => ({
    source: { ...draft, stream },
    given: typeof name === 'string' ? { name: fittedName(`${name}-${stream}`) } : undefined,
  }));
}

const TABLE = { ...NAMED, schema: SCHEMA, format: DECODER, formats: FORMATS, onPoison: FROM.onPoison } satisfies Record<
  string,
  Fit
>;

export function tableDraft<V>(graph: Graph, subject: string, given: TableOptions<V> | undefined): SourceDraft {
  const options = judged(graph, 'table', given, TABLE);
  return {
    kind: 'kv',
    subject,
    stream: null,
    streams: [],
    capture: null,
    keeps: null,
    start: 'first',
    decoder: decoderDraft(graph, options),
    attach: null,
    validate: validateDraft(graph, options.schema),
    time: null,
    change: null,
    maxOutOfOrderMs: 0,
    idleAfterMs: IDLE_AFTER_MS,
    idle: 'follow',
    maxDelayMs: null,
    maxFutureMs: FUTURE_MAX_MS,
    onPoison: options.onPoison ?? 'deadLetter',
  };
}

function decoderDraft(
  graph: Graph,
  { format, formats }: { readonly format?: Decoder; readonly formats?: readonly FormatName[] },
): Decoder {
  if (format !== undefined && formats !== undefined) {
    graph.note(
      'format is how all is read, and formats what the content type may choose from: leave one of the two out',
    );
  }
  if (format !== undefined) return format;
  return formats === undefined ? auto() : oneOfFormats([...new Set(formats)]);
}

const CAPTURE = {
  maxAge: DURATION,
  maxBytes: { be: 'a number of bytes', is: value => typeof value === 'number' },
} satisfies Record<string, Fit>;

function captureDraft(
  graph: Graph,
  given: { readonly maxAge?: Duration; readonly maxBytes?: number },
): SourceSpec['capture'] {
  const capture = judged(graph, 'capture', given, CAPTURE);
  const maxBytes = capture.maxBytes ?? CAPTURE_BYTES_MAX;
  if (!Number.isSafeInteger(maxBytes) || maxBytes < 1) graph.note(`capture.maxBytes ${maxBytes} is no number of bytes`);
  return { maxAgeMs: graph.length(capture.maxAge ?? CAPTURE_AGE_MS, 'capture.maxAge'), maxBytes };
}

function validateDraft(graph: Graph, schema: StandardSchemaV1 | undefined): SourceSpec['validate'] {
  return schema === undefined ? null : graph.attempt(() => validator(schema), null);
}

type AnyFunction = (value: unknown, message: MessageMeta) => unknown;

function timeFunction(time: string | AnyFunction): NonNullable<SourceSpec['time']> {
  if (typeof time === 'function') return (value, message) => toMs(time(value, message));
  return value => toMs((value as Readonly<Record<string, unknown>>)[time]);
}

/** Event time in ms; a text is read by `isoTimeMs`. Throws RECORD_TIME for anything else. */
export function toMs(time: unknown): number {
  if (typeof time === 'number') return time;
  if (time instanceof Date) return time.getTime();
  if (typeof time === 'string') {
    const ms = isoTimeMs(time);
    if (!Number.isNaN(ms)) return ms;
    const why = whyNoTime(time);
    if (why !== null) throw new MillraceError('RECORD_TIME', `the event time ${shown(time)} is none: ${why}`);
  }
  refusePromise(time, 'the time function');
  throw new MillraceError(
    'RECORD_TIME',
    `the event time ${shown(time)} is neither ms since 1970, nor a Date, nor ISO text${
      typeof time === 'bigint' ? '; of ns, for one, give Number(ns / 1_000_000n)' : ''
    }`,
  );
}

function changeFunction(change: AnyFunction): NonNullable<SourceSpec['change']> {
  return (value, message) => toChange(change(value, message));
}

/** Throws RECORD_INVALID for what is no change. */
function toChange(word: unknown): Change {
  const change = changeOf(word);
  if (change !== null) return change;
  refusePromise(word, 'the change function');
  throw new MillraceError('RECORD_INVALID', `the change ${shown(word)} is none of ${CHANGE_WORDS.join(', ')}`);
}
