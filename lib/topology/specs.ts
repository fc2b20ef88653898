/**
 * Specs: from what an author wrote at one call to what the operator is told. Durations become ms, keys are encoded,
 * rows are shaped; what is wrong is noted in the graph.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { MillraceError } from '../base/errors.ts';
import type { AggregateSpec, JoinKind, StatefulSpec, StatelessSpec } from '../operator/spec.ts';
import { refusePromise } from '../operator/user-code.ts';
import { decodeKey, encodeKey } from '../record/key.ts';
import { validator } from '../record/schema.ts';
import { type Graph, type GraphPlace, grow } from './graph.ts';
import type { NodeBody } from './node.ts';
import type { DedupeOptions, JoinOptions, Named, Predicates, WindowOptions } from './types.ts';
import { type WindowShape, windowSpec } from './windows.ts';

type Fn = (value: unknown) => unknown;
type Fields = Readonly<Record<string, unknown>>;
type StatefulBody = Extract<NodeBody, { kind: 'stateful' }>;

/** `keyBy` by one field, several (a tuple) or a function. */
export function keyFunction(by: readonly string[] | Fn): (value: unknown) => string | null {
  if (typeof by === 'function') return value => encodeKey(by(value));
  const [only] = by;
  if (by.length === 1 && only !== undefined) return value => encodeKey((value as Fields)[only]);
  return value => encodeKey(by.map(field => (value as Fields)[field]));
}

export function schemaSpec(graph: Graph, schema: StandardSchemaV1): StatelessSpec {
  return {
    kind: 'map',
    fn: graph.attempt<Fn>(
      () => validator(schema),
      value => value,
    ),
  };
}

export function dedupeBody<T>(graph: Graph, options: DedupeOptions<T> & { readonly across?: 'keys' }): NodeBody {
  const given = options.id as Fn;
  const idOf = (value: unknown) => {
    const text = encodeKey(given(value));
    if (text === null) throw new MillraceError('RECORD_KEY', 'the id to find copies by is missing');
    return text;
  };
  const withinMs = graph.length(options.within, 'within');
  const graceMs = graph.duration(options.grace ?? 0, 'grace');
  const spec = { kind: 'dedupe', id: idOf, withinMs, graceMs, keep: options.keep ?? 'first' } as const;
  return { kind: 'dedupe', spec, idOf, across: options.across === 'keys' };
}

/** A join with a stream (options, function) or with a table (function, options). */
export function joinSpec(
  graph: Graph,
  join: JoinKind,
  table: boolean,
  rest: readonly unknown[],
): { body: StatefulBody; options: Named } {
  if (table) {
    const [combine, options = {}] = rest as [(value: unknown, row: unknown) => unknown, Named?];
    const spec = { kind: 'tableJoin', inner: join === 'inner', combine } as const;
    return { body: { kind: 'stateful', spec }, options };
  }
  const [options, combine] = rest as [JoinOptions, (left: unknown, right: unknown) => unknown];
  const { within } = options;
  const sides = typeof within === 'object' && within !== null ? within : { before: within, after: within };
  const spec: StatefulSpec = {
    kind: 'join',
    join,
    beforeMs: graph.duration(sides.before ?? 0, 'within.before'),
    afterMs: graph.duration(sides.after ?? 0, 'within.after'),
    graceMs: graph.duration(options.grace ?? 0, 'grace'),
    combine,
  };
  return { body: { kind: 'stateful', spec }, options };
}

export function aggregateSpec(
  graph: Graph,
  options: {
    shape: WindowShape;
    options: WindowOptions<'final' | 'updates'>;
    fields: readonly string[] | null;
    aggregates: Readonly<Record<string, AggregateSpec<never, unknown, unknown, unknown>>>;
  },
): StatefulSpec {
  const { shape, fields } = options;
  const emit = options.options.emit ?? 'final';
  const names = Object.keys(options.aggregates);
  // Accumulators lie in the order of their results' names: then a row of state says the same however the author orders
  // the results. Rows that come out have the author's order.
  const sorted = names.toSorted();
  const keyNames = fields ?? ['key'];
  const taken = new Set([...keyNames, 'start', 'end', ...(emit === 'updates' ? ['final'] : [])]);
  if (names.length === 0) graph.note('aggregate was given nothing to compute: e.g. aggregate({ count: count() })');
  for (const name of names) {
    if (taken.has(name)) graph.note(`a result cannot be called '${name}': every row has a field of that name already`);
    if (name === '__proto__') graph.note(`a result cannot be called '__proto__'`);
  }
  const aggregates = sorted.map(name => options.aggregates[name] as unknown as AggregateSpec);
  const window = windowSpec(graph, shape);
  if (window.kind === 'session') {
    for (const [i, aggregate] of aggregates.entries()) {
      if (aggregate.merge !== undefined) continue;
      graph.note(`'${sorted[i]}' cannot be computed for sessions, which merge: give its aggregate a merge function`);
    }
  }
  const graceMs = graph.duration(options.options.grace ?? 0, 'grace');
  return {
    kind: 'window',
    window,
    graceMs,
    emit,
    results: sorted,
    aggregates,
    shape: rowShape({ fields, names, places: names.map(name => sorted.indexOf(name)), final: emit === 'updates' }),
  };
}

type RowShape = Extract<StatefulSpec, { kind: 'window' }>['shape'];

/** Key fields first, then the window, then the results. */
function rowShape(options: {
  fields: readonly string[] | null;
  names: readonly string[];
  /** Of each name: where its result lies. */
  places: readonly number[];
  final: boolean;
}): RowShape {
  const { fields, names, places, final } = options;
  return ({ key, startMs, endMs, results, final: last }) => {
    const row: Record<string, unknown> = {};
    const decoded = decodeKey(key);
    if (fields === null) row.key = decoded;
    else if (fields.length === 1) row[fields[0] as string] = decoded;
    else for (let i = 0; i < fields.length; i++) row[fields[i] as string] = (decoded as readonly unknown[])[i];
    row.start = startMs;
    row.end = endMs;
    for (let i = 0; i < names.length; i++) row[names[i] as string] = results[places[i] as number];
    if (final) row.final = last;
    return row;
  };
}

/**
 * A branch is one node that judges each record and a filter for each arm. The judgement is kept with the record's
 * identity, so predicates run once, and a throwing one makes one dead letter and not one an arm.
 */
export function branchArms(
  place: GraphPlace,
  branches: Predicates<never>,
  options: Named,
): Readonly<Record<string, GraphPlace>> {
  const names = Object.keys(branches);
  const predicates = Object.values(branches) as unknown as readonly ((value: unknown) => boolean)[];
  if (names.includes('rest')) place.graph.note(`a branch cannot be called 'rest': that is where what is left goes`);
  let judged: unknown = branches;
  let arm = 0;
  const judge = (value: unknown) => {
    const index = predicates.findIndex(predicate => {
      const taken: unknown = predicate(value);
      refusePromise(taken, 'a predicate of branch');
      return taken;
    });
    arm = index < 0 ? predicates.length : index;
    judged = value;
    return true;
  };
  const spec: StatelessSpec = { kind: 'filter', fn: judge };
  const trunk = grow(place, 'branch', { kind: 'stateless', spec, arm: false }, options);
  const title = place.graph.nodes[trunk.id]?.name ?? 'branch';
  const arms: Record<string, GraphPlace> = {};
  for (const [i, name] of [...names, 'rest'].entries()) {
    const fn = (value: unknown) => {
      if (!Object.is(value, judged)) judge(value);
      return arm === i;
    };
    const safe = name.replace(/[^A-Za-z0-9_-]/g, '_');
    arms[name] = grow(trunk, `${title}-${safe}`, { kind: 'stateless', spec: { kind: 'filter', fn }, arm: true }, {});
  }
  return arms;
}
