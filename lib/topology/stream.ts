/**
 * Streams as authors hold them: each method adds a node to the pipeline's graph and returns what comes out of it.
 * `Stream` has no key; `KeyedStream` has one and adds what needs it; both are here since each returns the other.
 * Nothing runs, and mistakes are noted in the graph instead of thrown.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import type { JoinKind } from '../operator/spec.ts';
import type { Key } from '../record/key.ts';
import { type GraphPlace, grow } from './graph.ts';
import {
  aggregateSpec,
  branchArms,
  dedupeBody,
  joinSpec,
  keyBody,
  processBody,
  schemaBody,
  sinkBody,
  statelessBody,
} from './specs.ts';
import type {
  AggregateRow,
  Aggregates,
  CallAggregateFirst,
  CallKeyByFirst,
  DedupeOptions,
  JoinOptions,
  KeyField,
  KeyFields,
  KeyOf,
  Named,
  Predicates,
  ProcessOptions,
  Remaining,
  SinkOptions,
  SubjectTemplate,
  Takeable,
  Taken,
  WindowOptions,
} from './types.ts';
import type { WindowShape } from './windows.ts';

/** A stream's node; a symbol, since it is no business of authors. */
export const NODE: unique symbol = Symbol('node');
declare const VALUE: unique symbol;
declare const KEY: unique symbol;
declare const ROW: unique symbol;

/** Any stream of T, as an argument. */
export interface StreamOf<T> {
  readonly [NODE]: GraphPlace;
  readonly [VALUE]: T;
}

/** Any stream of T keyed by K, as an argument. */
export interface KeyedOf<K, T> extends StreamOf<T> {
  readonly [KEY]: K;
}

type ValueOf<S> = S extends StreamOf<infer T> ? T : never;

export type Branches<T, B> = { readonly [A in keyof B]: Stream<Taken<B[A], T>> } & {
  readonly rest: Stream<Remaining<T, B>>;
};
export type KeyedBranches<K, T, N, B> = { readonly [A in keyof B]: KeyedStream<K, Taken<B[A], T>, N> } & {
  readonly rest: KeyedStream<K, Remaining<T, B>, N>;
};

/**
 * What streams with and without a key have in common. Functions that authors give are synchronous and pure; a record for
 * which one throws becomes a dead letter (USER_CODE) that names the line.
 */
abstract class Flow<T> {
  readonly [NODE]: GraphPlace;
  declare readonly [VALUE]: T;

  constructor(place: GraphPlace) {
    this[NODE] = place;
  }

  /**
   * Groups by a field, by several (a tuple), or by what a function returns: texts, numbers, booleans, bigints, or lists
   * of these; anything else makes the record a dead letter (RECORD_KEY). Null or undefined: the record has no key; nothing
   * joins it, and windows and `process` refuse it. From here on, the records of a key are handled in one place, in order. A
   * name may follow: `keyBy(fn, { name: 'by-hour' })`; fields name themselves.
   *
   *   orders.keyBy('shop', 'day')
   *   orders.keyBy(order => order.buyer.id, { name: 'buyer' })
   */
  keyBy<
    const B extends KeyField<T> | ((value: T) => Key | readonly []),
    const M extends readonly (KeyField<T> | Named)[],
  >(by: B, ...more: M): KeyedStream<KeyOf<T, B, M>, T, KeyFields<T, B, M>> {
    const keyed: GraphPlace = { ...this[NODE], keyed: true };
    const { body, options } = keyBody(keyed.graph, [by, ...more]);
    return new KeyedStream(grow(keyed, 'keyBy', body, options), body.fields);
  }

  /**
   * Publishes each record, exactly once, on the subject that the template makes of it: literal tokens, `{field}`,
   * `{a.field}`, `{key}`, `{partition}`. Subjects that end in `{partition}` have one writer each and are by far the
   * fastest; all others are shared between the pipeline's tasks. A value that is missing, or cannot be in a subject, makes
   * the record a dead letter (RECORD_SUBJECT). A stream that takes the subjects is made if there is none.
   *
   *   rows.to('analytics.hires.{site}');
   *   rows.to('analytics.rows.{partition}', { format: 'msgpack' });
   */
  to<const S extends string>(template: SubjectTemplate<S, T>, options?: SinkOptions): void {
    grow(this[NODE], 'to', sinkBody(this[NODE].graph, template, options), options);
  }

  protected stateless(kind: 'map' | 'filter' | 'flatMap', fn: unknown, options: Named): GraphPlace {
    return grow(this[NODE], kind, statelessBody(this[NODE].graph, kind, fn, options), options);
  }

  protected evolved(schema: StandardSchemaV1, options: Named): GraphPlace {
    return grow(this[NODE], 'evolve', schemaBody(this[NODE].graph, schema, options), options);
  }

  protected deduped(options: DedupeOptions<T>): GraphPlace {
    return grow(this[NODE], 'dedupe', dedupeBody(this[NODE].graph, options, this[NODE].keyed), options);
  }
}

/** A stream of records of type T without a key. What needs one follows `keyBy`. */
export class Stream<T> extends Flow<T> {
  /** Only keyed streams have it: call `keyBy` first. */
  declare readonly join: CallKeyByFirst;
  /** Only keyed streams have it: call `keyBy` first. */
  declare readonly leftJoin: CallKeyByFirst;
  /** Only keyed streams have it: call `keyBy` first. */
  declare readonly rightJoin: CallKeyByFirst;
  /** Only keyed streams have it: call `keyBy` first. */
  declare readonly outerJoin: CallKeyByFirst;
  /** Only keyed streams have it: call `keyBy` first. */
  declare readonly semiJoin: CallKeyByFirst;
  /** Only keyed streams have it: call `keyBy` first. */
  declare readonly antiJoin: CallKeyByFirst;
  /** Only keyed streams have it: call `keyBy` first. */
  declare readonly window: CallKeyByFirst;
  /** Only keyed streams have it: call `keyBy` first. */
  declare readonly process: CallKeyByFirst;

  /**
   * Each record as another one.
   *
   *   orders.map(order => ({ total: order.price * order.count, ...order }))
   */
  map<U>(fn: (value: T) => U, options: Named = {}): Stream<U> {
    return new Stream(this.stateless('map', fn, options));
  }

  /** Only the records for which `fn` is true; a type guard narrows their type. The others are counted as dropped. */
  filter<U extends T>(fn: (value: T) => value is U, options?: Named): Stream<U>;
  filter(fn: (value: T) => boolean, options?: Named): Stream<T>;
  filter(fn: (value: T) => boolean, options: Named = {}): Stream<T> {
    return new Stream(this.stateless('filter', fn, options));
  }

  /**
   * Each record as any number of others, in order; an empty list for none.
   *
   *   orders.flatMap(order => order.lines)
   */
  flatMap<U>(fn: (value: T) => Iterable<U>, options: Named = {}): Stream<U> {
    return new Stream(this.stateless('flatMap', fn, options));
  }

  /**
   * Validates by a Standard Schema, or brings older shapes to the latest (`versions`); what fits none is a dead letter
   * (RECORD_INVALID) with the reasons.
   */
  evolve<U>(schema: StandardSchemaV1<unknown, U>, options: Named = {}): Stream<U> {
    return new Stream(this.evolved(schema, options));
  }

  /**
   * Drops copies of one event: records of the same `id`, at most `within` apart in event time. Copies must share the key of
   * whatever comes next; say `across: 'keys'` if they may not, which costs a stage of its own.
   *
   *   orders.dedupe({ id: order => order.eventId, within: '1d' })
   */
  dedupe(options: DedupeOptions<T> & { readonly across?: 'keys' }): Stream<T> {
    return new Stream(this.deduped(options));
  }

  /** All records of these streams as one stream; each stream's records stay in order among themselves. */
  merge<const O extends readonly StreamOf<unknown>[]>(...others: O): Stream<T | ValueOf<O[number]>> {
    const unkeyed: GraphPlace = { ...this[NODE], keyed: false };
    return new Stream(grow(unkeyed, 'merge', { kind: 'merge' }, {}, placesOf(others)));
  }

  /**
   * Sends each record into the first branch whose predicate is true; `rest` takes what is left. Type guards narrow their
   * branches, and `rest`.
   *
   *   const { large, rest } = orders.branch({ large: order => order.total > 1_000 });
   */
  branch<const B extends Predicates<T>>(branches: B & Takeable<T, B>, options: Named = {}): Branches<T, B> {
    const places = branchArms(this[NODE], branches as unknown as Predicates<never>, options);
    return mapValues(places, place => new Stream(place)) as unknown as Branches<T, B>;
  }
}

/**
 * A stream of records of type T that have a key of type K. N: the key's fields, as they show in aggregate rows. What `map`
 * and the like make of a record keeps the record's key.
 */
export class KeyedStream<K, T, N> extends Flow<T> {
  declare readonly [KEY]: K;
  readonly #fields: readonly string[] | null;

  constructor(place: GraphPlace, fields: readonly string[] | null) {
    super(place);
    this.#fields = fields;
  }

  #at<U>(place: GraphPlace): KeyedStream<K, U, N> {
    return new KeyedStream(place, this.#fields);
  }

  /** Each record as another one of the same key. */
  map<U>(fn: (value: T) => U, options: Named = {}): KeyedStream<K, U, N> {
    return this.#at(this.stateless('map', fn, options));
  }

  /** Only the records for which `fn` is true; a type guard narrows their type. The others are counted as dropped. */
  filter<U extends T>(fn: (value: T) => value is U, options?: Named): KeyedStream<K, U, N>;
  filter(fn: (value: T) => boolean, options?: Named): KeyedStream<K, T, N>;
  filter(fn: (value: T) => boolean, options: Named = {}): KeyedStream<K, T, N> {
    return this.#at(this.stateless('filter', fn, options));
  }

  /** Each record as any number of others of the same key, in order; an empty list for none. */
  flatMap<U>(fn: (value: T) => Iterable<U>, options: Named = {}): KeyedStream<K, U, N> {
    return this.#at(this.stateless('flatMap', fn, options));
  }

  /**
   * Validates by a Standard Schema, or brings older shapes to the latest (`versions`); what fits none is a dead letter
   * (RECORD_INVALID) with the reasons.
   */
  evolve<U>(schema: StandardSchemaV1<unknown, U>, options: Named = {}): KeyedStream<K, U, N> {
    return this.#at(this.evolved(schema, options));
  }

  /** Drops copies of one event among the records of a key: those of the same `id`, at most `within` apart in event time. */
  dedupe(options: DedupeOptions<T>): KeyedStream<K, T, N> {
    return this.#at(this.deduped(options));
  }

  /**
   * Sends each record into the first branch whose predicate is true; `rest` takes what is left. Type guards narrow their
   * branches, and `rest`.
   */
  branch<const B extends Predicates<T>>(branches: B & Takeable<T, B>, options: Named = {}): KeyedBranches<K, T, N, B> {
    const places = branchArms(this[NODE], branches as unknown as Predicates<never>, options);
    return mapValues(places, place => this.#at(place)) as unknown as KeyedBranches<K, T, N, B>;
  }

  /** All records of these streams, whose keys are of one type, as one keyed stream. */
  merge<const O extends readonly KeyedOf<K, unknown>[]>(...others: O): KeyedStream<K, T | ValueOf<O[number]>, N> {
    return this.#at(grow(this[NODE], 'merge', { kind: 'merge' }, {}, placesOf(others)));
  }

  /**
   * Each record with the table's row of the same key, the latest at that moment; records without one are dropped.
   *
   *   orders.keyBy('shop').join(shops, (order, shop) => ({ city: shop.city, ...order }))
   */
  join<U, R>(table: Table<K, U>, combine: (value: T, row: U) => R, options?: Named): KeyedStream<K, R, N>;
  /**
   * Every pair of records of the same key whose event times lie within reach of each other, as soon as both are there. The
   * pair's event time is the later of the two.
   *
   *   orders.join(payments, { within: { after: '2h' } }, (order, payment) => ({ paid: payment.cents, ...order }))
   */
  join<U, R>(other: KeyedOf<K, U>, options: JoinOptions, combine: (left: T, right: U) => R): KeyedStream<K, R, N>;
  join<R>(other: KeyedOf<K, unknown> | Table<K, unknown>, ...rest: JoinArguments): KeyedStream<K, R, N> {
    return this.#join('inner', other, rest);
  }

  /** Each record with the table's row of the same key, or null. */
  leftJoin<U, R>(table: Table<K, U>, combine: (value: T, row: U | null) => R, options?: Named): KeyedStream<K, R, N>;
  /** As `join`; a left record without a partner comes out once with null, when none can come any more. */
  leftJoin<U, R>(
    other: KeyedOf<K, U>,
    options: JoinOptions,
    combine: (left: T, right: U | null) => R,
  ): KeyedStream<K, R, N>;
  leftJoin<R>(other: KeyedOf<K, unknown> | Table<K, unknown>, ...rest: JoinArguments): KeyedStream<K, R, N> {
    return this.#join('left', other, rest);
  }

  /** As `join`; a right record without a partner comes out once with null. */
  rightJoin<U, R>(
    other: KeyedOf<K, U>,
    options: JoinOptions,
    combine: (left: T | null, right: U) => R,
  ): KeyedStream<K, R, N> {
    return this.#join('right', other, [options, combine as Combine]);
  }

  /** As `join`; any record without a partner comes out once with null. */
  outerJoin<U, R>(
    other: KeyedOf<K, U>,
    options: JoinOptions,
    combine: (left: T | null, right: U | null) => R,
  ): KeyedStream<K, R, N> {
    return this.#join('outer', other, [options, combine as Combine]);
  }

  /** Each left record that has a partner, once. */
  semiJoin<U>(other: KeyedOf<K, U>, options: JoinOptions): KeyedStream<K, T, N> {
    return this.#join('semi', other, [options, left]);
  }

  /** Each left record that has no partner, once, when none can come any more. */
  antiJoin<U>(other: KeyedOf<K, U>, options: JoinOptions): KeyedStream<K, T, N> {
    return this.#join('anti', other, [options, left]);
  }

  #join<R>(kind: JoinKind, other: KeyedOf<K, unknown> | Table<K, unknown>, rest: JoinArguments): KeyedStream<K, R, N> {
    const { body, options } = joinSpec(this[NODE].graph, kind, other instanceof Table, rest);
    return this.#at(grow(this[NODE], 'join', body, options, placesOf([other])));
  }

  /**
   * Cuts event time into windows, for each key; `aggregate` says what to compute in each. A window closes when event time has
   * passed its end and `grace`; a record for a closed window becomes a late record.
   *
   *   orders.keyBy('shop').window(tumbling('1h')).aggregate({ orders: count() })
   */
  window<const E extends 'final' | 'updates' = 'final'>(
    shape: WindowShape,
    options?: WindowOptions<E>,
  ): WindowedStream<K, T, N, E> {
    return new WindowedStream<K, T, N, E>(this[NODE], { shape, options, fields: this.#fields });
  }

  /**
   * Code of your own with state and timers for each key: `process<State, Output>({ onRecord, onTimer })`.
   *
   *   clicks.keyBy('user').process<number, { user: string; clicks: number }>({
   *     onRecord(_, context) {
   *       context.state = (context.state ?? 0) + 1;
   *       if (context.state % 100 === 0) context.emit({ user: context.key, clicks: context.state });
   *     },
   *   })
   */
  process<S, O>(options: ProcessOptions<K, T, S, O>): KeyedStream<K, O, N> {
    const body = processBody(this[NODE], options as ProcessOptions<never, never, never, never>);
    return this.#at(grow(this[NODE], 'process', body, options));
  }
}

type Combine = (left: unknown, right: unknown) => unknown;
/** Options and function of a stream join, or function and options of a table join. */
export type JoinArguments = readonly unknown[];

/** A keyed stream cut into windows; say what to compute in each. */
export class WindowedStream<K, T, N, E> {
  readonly [NODE]: GraphPlace;
  /** Only rows have it: call `aggregate` first. */
  declare readonly to: CallAggregateFirst;
  /** Only rows have it: call `aggregate` first. */
  declare readonly map: CallAggregateFirst;
  /** Only rows have it: call `aggregate` first. */
  declare readonly filter: CallAggregateFirst;
  readonly #window: {
    readonly shape: WindowShape;
    readonly options: WindowOptions<'final' | 'updates'> | undefined;
    readonly fields: readonly string[] | null;
  };

  constructor(
    place: GraphPlace,
    window: {
      shape: WindowShape;
      options: WindowOptions<'final' | 'updates'> | undefined;
      fields: readonly string[] | null;
    },
  ) {
    this[NODE] = place;
    this.#window = window;
  }

  /**
   * One row for each key and window that had a record: the key's fields (`key` where a function made it), `start` and `end`
   * in ms since 1970, and these results by their names. Its event time is that of the window's end.
   *
   *   windows.aggregate({ orders: count(), total: sum(order => order.amount) })
   */
  aggregate<const A extends Aggregates<T>>(aggregates: A): KeyedStream<K, AggregateRow<N, A, E>, N> {
    const { shape, options, fields } = this.#window;
    const spec = aggregateSpec(this[NODE], { shape, options, fields, aggregates });
    const place = grow(this[NODE], 'window', { kind: 'stateful', spec }, options);
    return new KeyedStream(place, fields);
  }
}

/** The latest row, of type V, for each key of a NATS KV bucket: what `join` and `leftJoin` of keyed streams take. */
export class Table<K, V> {
  readonly [NODE]: GraphPlace;
  declare readonly [ROW]: V;
  declare readonly [KEY]: K;

  constructor(place: GraphPlace) {
    this[NODE] = place;
  }
}

function left(value: unknown): unknown {
  return value;
}

function placesOf(streams: readonly { readonly [NODE]: GraphPlace }[]): (GraphPlace | undefined)[] {
  return streams.map(stream => stream?.[NODE]);
}

function mapValues<V, W>(record: Readonly<Record<string, V>>, fn: (value: V) => W): Record<string, W> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, fn(value)]));
}
