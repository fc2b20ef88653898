/**
 * What an operator is told to do: plain values and user functions, as the builder collects them and the planner
 * places them. Durations are ms. Keys inside are encoded; user functions see decoded values.
 */
export type WindowSpec =
  | { readonly kind: 'tumbling'; readonly sizeMs: number; readonly offsetMs: number }
  | { readonly kind: 'hopping'; readonly sizeMs: number; readonly advanceMs: number; readonly offsetMs: number }
  | { readonly kind: 'session'; readonly gapMs: number };

/**
 * One aggregate: an accumulator and how records enter it. `extract` is the only user code that sees the record and
 * runs before anything changes; `add` and `merge` return the new accumulator (the old one may be reused).
 * `A` must be what msgpack carries.
 */
export interface AggregateSpec<V = unknown, X = unknown, A = unknown, R = unknown> {
  /** Names it in plans. State of one kind is never read as another's. */
  readonly kind: string;
  /** What of a record the accumulator needs. */
  extract(value: V): X;
  /** The accumulator of no records. */
  init(): A;
  /** @param timeMs the record's event time, ms since 1970. */
  add(accumulator: A, extracted: X, timeMs: number): A;
  /** Needed for sessions and for hopping windows by panes. */
  merge?(left: A, right: A): A;
  /** What the row gets. */
  result(accumulator: A): R;
}

export type JoinKind = 'inner' | 'left' | 'right' | 'outer' | 'semi' | 'anti';

/** State and timers of a `process` operator, for one key. Values are what msgpack carries. */
export interface ProcessContext<S, O> {
  /** The key, as `keyBy` made it. */
  readonly key: unknown;
  /** This key's state; undefined at first. Assign to change, undefined to delete. */
  state: S | undefined;
  /** A record of the same key for what follows. `timeMs`: its event time; default: that of the record or timer in hand. */
  emit(value: O, options?: { timeMs?: number }): void;
  /** Fires once when the watermark reaches `timeMs`; setting the same name again moves it. */
  setTimer(name: string, timeMs: number): void;
  /** Nothing happens if there is none of that name. */
  clearTimer(name: string): void;
  /** Up to here event time has come, ms since 1970; −Infinity at first. */
  readonly watermarkMs: number;
}

export interface ProcessSpec {
  onRecord(value: unknown, context: ProcessContext<unknown, unknown>, timeMs: number): void;
  onTimer?(name: string, context: ProcessContext<unknown, unknown>, timeMs: number): void;
}

export type StatelessSpec =
  | { readonly kind: 'map'; fn(value: unknown): unknown }
  | { readonly kind: 'filter'; fn(value: unknown): boolean }
  | { readonly kind: 'flatMap'; fn(value: unknown): Iterable<unknown> }
  /** Computes the key, already encoded. Throws MillraceError RECORD_KEY for what cannot be one. */
  | { readonly kind: 'keyBy'; fn(value: unknown): string | null }
  /** In the reader: computes the id that the dedupe of the next stage will judge. */
  | { readonly kind: 'carryId'; fn(value: unknown): string };

export type StatefulSpec =
  /** `id` null: the reader computed it (`carriedId`). */
  | {
      readonly kind: 'dedupe';
      readonly id: ((value: unknown) => string) | null;
      readonly withinMs: number;
      readonly graceMs: number;
      readonly keep: 'first' | 'last';
    }
  | {
      readonly kind: 'join';
      readonly join: JoinKind;
      readonly beforeMs: number;
      readonly afterMs: number;
      readonly graceMs: number;
      /** Right or left is null for unmatched rows. */
      combine(left: unknown, right: unknown): unknown;
    }
  | {
      readonly kind: 'window';
      readonly window: WindowSpec;
      readonly graceMs: number;
      /** The field that keys are of, for messages; null or absent: a function makes them, or not all are of one. */
      readonly keyField?: string | null;
      readonly emit: 'final' | 'updates';
      /** Names of the results, sorted: the order in which accumulators lie in state. */
      readonly results: readonly string[];
      /** By result. */
      readonly aggregates: readonly AggregateSpec[];
      /** Makes the output value from the encoded key, the window and the aggregates' results, in order. */
      shape(row: { key: string; startMs: number; endMs: number; results: unknown[]; final: boolean }): unknown;
    }
  /** Port 0: the stream, which triggers; port 1: the table (null value: tombstone). `inner` drops what has no row. */
  | { readonly kind: 'tableJoin'; readonly inner: boolean; combine(stream: unknown, row: unknown): unknown }
  /** `keyField`: as a window's. */
  | { readonly kind: 'process'; readonly process: ProcessSpec; readonly keyField?: string | null };

export type OperatorSpec = StatelessSpec | StatefulSpec;

/**
 * Which changes (`change/change.ts`) each kind of operator can take. The planner lets no others come to it.
 * - `passes`      all: it judges each record by itself, and what it makes of one is the same change
 * - `insertOnly`  inserts alone: it cannot take back what it has counted, kept or sent
 */
export const CHANGES: Readonly<Record<OperatorSpec['kind'], 'passes' | 'insertOnly'>> = {
  map: 'passes',
  filter: 'passes',
  flatMap: 'passes',
  keyBy: 'passes',
  carryId: 'passes',
  dedupe: 'insertOnly',
  join: 'insertOnly',
  window: 'insertOnly',
  tableJoin: 'insertOnly',
  process: 'insertOnly',
};
