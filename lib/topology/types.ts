/**
 * Types for authors: what can be a key, what a template may name, what an aggregate row looks like. Kept shallow, so
 * that what the compiler says about a mistake can be read.
 */
import type { Duration } from '../base/duration.ts';
import type { AggregateSpec, ProcessContext } from '../operator/spec.ts';
import type { NatsTarget, SinkMode } from '../outlet/nats/destination.ts';
import type { SinkSpec } from '../outlet/sink-spec.ts';
import type { Key } from '../record/key.ts';

/** Shows `A & B & …` as one object in editors and errors. */
export type Flat<T> = { [F in keyof T]: T[F] } & unknown;

/**
 * Every operator can be given a name. Without one it is called by what it is, and where two come out alike each needs a
 * name, since state is kept by names.
 */
export interface Named {
  /** 1 to 64 letters, digits, '-' or '_'; unique in the pipeline. */
  readonly name?: string;
}

/**
 * The type of a key without its particular values, so that `'a' | 'b'` and `string` agree. A bigint that a number can be is
 * one, as a key.
 */
export type KeyType<V> = V extends null | undefined
  ? never
  : V extends string
    ? string
    : V extends number
      ? number
      : V extends bigint
        ? number | bigint
        : V extends boolean
          ? boolean
          : V extends readonly unknown[]
            ? number extends V['length']
              ? readonly Key[]
              : { readonly [I in keyof V]: KeyType<V[I]> }
            : never;

/** What compilers name where a stream without a key is joined, cut into windows, or the like. */
export interface CallKeyByFirst {
  readonly [CALL]: 'keyBy';
}
/** What compilers name where windows are used as if they were rows. */
export interface CallAggregateFirst {
  readonly [CALL]: 'aggregate';
}
declare const CALL: unique symbol;

/** Compilers show these texts in the place of a mistake; nothing has one of them for its value. */
export type NeedsRecordType = 'say what the records are: from<Order>(subject), or from(subject, { schema })';
export type NeverTaken = 'no record can take this branch: its predicate asks for what is none of the stream';

/**
 * Names of the fields of T that can be a key; of `any`, every name. (The conditions make compilers list them in errors.)
 */
export type KeyField<T> = 0 extends 1 & T
  ? string
  : unknown extends T
    ? NeedsRecordType
    : { [F in keyof T & string]-?: IsKey<NonNullable<T[F]>> extends true ? F : never }[keyof T & string];

type IsKey<V> = [V] extends [never] ? false : [V] extends [Key] ? true : false;

/** The fields among `keyBy`'s further arguments, which may end with a name. */
type FieldsOf<M> = M extends readonly [infer F, ...infer R]
  ? F extends string
    ? [F, ...FieldsOf<R>]
    : FieldsOf<R>
  : [];

/** The key's type. */
export type KeyOf<T, B, M> = B extends (value: never) => infer K
  ? KeyType<K>
  : B extends keyof T
    ? FieldsOf<M> extends []
      ? KeyType<T[B]>
      : readonly [KeyType<T[B]>, ...KeyTypes<T, FieldsOf<M>>]
    : never;

type KeyTypes<T, M extends readonly unknown[]> = {
  readonly [I in keyof M]: M[I] extends keyof T ? KeyType<T[M[I]]> : never;
};

/** The key's fields as they appear in an aggregate row. */
export type KeyFields<T, B, M> = B extends (value: never) => infer K
  ? { key: KeyType<K> }
  : { [F in Extract<B | FieldsOf<M>[number], keyof T>]: NonNullable<T[F]> };

/** Aggregates by the name of their result. */
export type Aggregates<T> = { readonly [name: string]: AggregateSpec<T, unknown, unknown, unknown> };

/** One row of a window: the key's fields, the window in ms since 1970 (`end` excluded), the results. */
export type AggregateRow<N, A, E> = Flat<
  N & { start: number; end: number } & { -readonly [R in keyof A]: ResultOf<A[R]> } & (E extends 'updates'
      ? { final: boolean }
      : unknown)
>;

type ResultOf<S> = S extends { result(accumulator: never): infer R } ? R : never;

/** A duration for both sides, or one for each; a side that is left out is 0. */
export type Within = Duration | { readonly before?: Duration; readonly after?: Duration };

/** How far apart, in event time, what is joined may be. */
export interface JoinOptions extends Named {
  /** How far the right record's event time may lie from the left one's, both ends included. */
  readonly within: Within;
  /** How long to wait, in event time, for records that come out of order. Default 0. */
  readonly grace?: Duration;
}

/** When windows give their rows. */
export interface WindowOptions<E extends 'final' | 'updates'> extends Named {
  /** How long after its end a window still takes records, in event time. Default 0. */
  readonly grace?: Duration;
  /** `final` (default): one row at close. `updates`: a row at every change, the last one marked `final`. */
  readonly emit?: E;
}

/** What makes a record a copy of another. */
export interface DedupeOptions<T> {
  /** What copies of one event have in common. */
  readonly id: (value: T) => string | number | bigint;
  /** A record is a copy if one of the same id lies this close to it in event time. */
  readonly within: Duration;
  /** How far behind event time a record may come and still be judged; one that comes later is late. Default 0. */
  readonly grace?: Duration;
  /** `last`: later copies pass too, as updates. Default `first`. */
  readonly keep?: 'first' | 'last';
  /** The operator's name. */
  readonly name?: string;
}

/** What a `process` operator's functions get: this key's state and timers. */
export interface KeyedContext<K, S, O> extends ProcessContext<S, O> {
  /** The key, as `keyBy` made it. */
  readonly key: K;
}

/** The functions of a `process` operator. They are synchronous; one that throws changes nothing. */
export interface ProcessOptions<K, T, S, O> extends Named {
  /** Called for each record. `timeMs`: its event time, ms since 1970. */
  onRecord(value: T, context: KeyedContext<K, S, O>, timeMs: number): void;
  /** Called once for each timer, when event time has come to `timeMs`, which it was set to. */
  onTimer?(name: string, context: KeyedContext<K, S, O>, timeMs: number): void;
}

/** How results are published. */
export interface SinkOptions extends Named {
  /** Default: `owned` if the template ends in `{partition}`, else `shared`. */
  readonly mode?: SinkMode;
  /** Many records in one message? Default: `ndjson` for owned subjects, else `none`. */
  readonly frame?: NatsTarget['frame'];
  /** Default: `json`, or `msgpack` in a msgpack frame. */
  readonly format?: SinkSpec['format'];
  /** The stream that keeps the subjects. Default: the one that does; if none does, one is made. */
  readonly stream?: string;
}

export type Predicates<T> = { readonly [name: string]: (value: T) => boolean };

/** What passes a predicate: narrowed, if it is a type guard. */
export type Taken<P, T> = P extends Guard<T, infer U> ? U : T;
type Guard<T, U extends T> = (value: T) => value is U;

/** What no type guard among the predicates takes. */
export type Remaining<T, B> = Exclude<T, { [A in keyof B]: B[A] extends Guard<T, infer U> ? U : never }[keyof B]>;

/** Refuses, in its place, a predicate that is a type guard for nothing. */
export type Takeable<T, B> = { [A in keyof B]: [Taken<B[A], T>] extends [never] ? NeverTaken : unknown };

/** The names in a template's braces. */
type Placeholders<S extends string> = S extends `${string}{${infer F}}${infer Rest}` ? F | Placeholders<Rest> : never;

/** The value at a path like `site.city`; `undefined` where there is none. */
type At<T, P extends string> = unknown extends T
  ? unknown
  : P extends keyof T
    ? T[P]
    : P extends `${infer F}.${infer Rest}`
      ? F extends keyof T
        ? At<NonNullable<T[F]>, Rest>
        : undefined
      : undefined;

type IsToken<V> = unknown extends V
  ? true
  : [Extract<NonNullable<V>, string | number | boolean | bigint>] extends [never]
    ? false
    : true;

type Unfit<T, F> = F extends 'partition' | 'key'
  ? never
  : F extends string
    ? IsToken<At<T, F>> extends true
      ? never
      : F
    : never;

/** The template itself, or, where it names what the records lack, a text that says so in its place. */
export type SubjectTemplate<S extends string, T> = string extends S
  ? S
  : [Unfit<T, Placeholders<S>>] extends [never]
    ? S
    : `the records have no text or number '${Unfit<T, Placeholders<S>>}' to put into the subject`;
