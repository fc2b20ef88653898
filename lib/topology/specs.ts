/**
 * Specs: from what an author wrote at one call to what the operator is told. Durations become ms, keys are encoded,
 * rows are shaped; what is wrong is noted in the graph.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec';
import { MillraceError } from '../base/errors.ts';
import type { AggregateSpec, JoinKind, ProcessSpec, StatefulSpec, StatelessSpec } from '../operator/spec.ts';
import { refusePromise, shown } from '../operator/user-code.ts';
import { decodeKey, encodeKey } from '../record/key.ts';
import { validator } from '../record/schema.ts';
import { type Graph, type GraphPlace, grow } from './graph.ts';
import type { NodeBody } from './node.ts';
import {
  DURATION,
  type Fit,
  FUNCTION,
  isObject,
  judged,
  judgedFunction,
  judgedFunctions,
  NAMED,
  needed,
  oneOf,
  TEXT,
} from './options.ts';
import type {
  DedupeOptions,
  JoinOptions,
  Named,
  Predicates,
  ProcessOptions,
  SinkOptions,
  WindowOptions,
} from './types.ts';
import { type WindowShape, windowSpec } from './windows.ts';

type Fn = (value: unknown) => unknown;
type Fields = Readonly<Record<string, unknown>>;
type KeyByBody = Extract<NodeBody, { kind: 'keyBy' }>;
type StatefulBody = Extract<NodeBody, { kind: 'stateful' }>;

/** `keyBy` by one field, several (a tuple) or a function. */
export function keyFunction(by: readonly string[] | Fn): (value: unknown) => string | null {
  if (typeof by === 'function') return value => encodeKey(by(value));
  const [only] = by;
  if (by.length === 1 && only !== undefined) return value => encodeKey((value as Fields)[only]);
  return value => encodeKey(by.map(field => (value as Fields)[field]));
}

/** The fields or function of `keyBy`, and the options that may stand last. */
export function keyBody(graph: Graph, given: readonly unknown[]): { body: KeyByBody; options: Named } {
  const last = given.length > 1 && !TEXT.is(given.at(-1)) ? [given.at(-1) as Named] : [];
  const options = judged(graph, 'keyBy', last[0], NAMED);
  const by = given.slice(0, given.length - last.length);
  const [first] = by;
  if (typeof first === 'function' && by.length === 1) {
    return { body: { kind: 'keyBy', fn: keyFunction(first as Fn), fields: null }, options };
  }
  for (const field of by) {
    if (typeof field !== 'string') graph.note(`keyBy takes names of fields, or one function, not ${shown(field)}`);
  }
  const fields = by.filter(field => typeof field === 'string');
  return { body: { kind: 'keyBy', fn: keyFunction(fields), fields }, options };
}

/** The field that the keys of a stream are of; null: a function makes some, or several fields do. */
function keyFieldOf({ graph, id }: GraphPlace): string | null {
  const found = new Set<string | null>();
  const seen = new Set<number>();
  const look = (at: number): void => {
    const node = graph.nodes[at];
    if (node === undefined || seen.has(at)) return;
    seen.add(at);
    if (node.kind === 'keyBy') found.add(node.fields?.length === 1 ? node.fields[0]! : null);
    else for (const input of node.inputs) look(input);
  };
  look(id);
  return found.size === 1 ? [...found][0]! : null;
}

export function statelessBody(
  graph: Graph,
  kind: 'map' | 'filter' | 'flatMap',
  fn: unknown,
  options: unknown,
): NodeBody {
  judged(graph, kind, options as Named | undefined, NAMED);
  return { kind: 'stateless', spec: { kind, fn: judgedFunction(graph, kind, fn) } as StatelessSpec, arm: false };
}

export function schemaBody(graph: Graph, schema: StandardSchemaV1, options: unknown): NodeBody {
  judged(graph, 'evolve', options as Named | undefined, NAMED);
  const fn = graph.attempt<Fn>(
    () => validator(schema),
    value => value,
  );
  return { kind: 'stateless', spec: { kind: 'map', fn }, arm: false };
}

const SINK = {
  ...NAMED,
  mode: oneOf('owned', 'shared', 'at-least-once'),
  frame: oneOf('none', 'ndjson', 'msgpack'),
  format: oneOf('json', 'msgpack'),
  stream: TEXT,
} satisfies Record<string, Fit>;

export function sinkBody(graph: Graph, template: string, options: SinkOptions | undefined): NodeBody {
  const { mode = null, frame = null, format = null, stream = null } = judged(graph, 'to', options, SINK);
  return { kind: 'sink', sink: { template, mode, frame, format, stream } };
}

const DEDUPE = {
  ...NAMED,
  id: needed(FUNCTION),
  within: needed(DURATION),
  grace: DURATION,
  keep: oneOf('first', 'last'),
} satisfies Record<string, Fit>;
const DEDUPE_UNKEYED = { ...DEDUPE, across: oneOf('keys') } satisfies Record<string, Fit>;

export function dedupeBody<T>(
  graph: Graph,
  all: DedupeOptions<T> & { readonly across?: 'keys' },
  keyed: boolean,
): NodeBody {
  const options: Partial<typeof all> = judged<typeof all>(
    graph,
    'dedupe',
    all,
    // Behind keyBy copies share their key already.
    keyed ? (DEDUPE as unknown as typeof DEDUPE_UNKEYED) : DEDUPE_UNKEYED,
  );
  const given = options.id as Fn;
  const idOf = (value: unknown) => {
    const text = encodeKey(given(value));
    if (text === null) throw new MillraceError('RECORD_KEY', 'the id to find copies by is missing');
    return text;
  };
  const withinMs = options.within === undefined ? 1 : graph.length(options.within, 'within');
  const graceMs = graph.duration(options.grace ?? 0, 'grace');
  const spec = { kind: 'dedupe', id: idOf, withinMs, graceMs, keep: options.keep ?? 'first' } as const;
  return { kind: 'dedupe', spec, idOf, across: options.across === 'keys' };
}

const JOIN = { ...NAMED, within: needed(DURATION), grace: DURATION } satisfies Record<string, Fit>;
const SIDES = { before: DURATION, after: DURATION };

/** A join with a stream (options, function) or with a table (function, options). */
export function joinSpec(
  graph: Graph,
  join: JoinKind,
  table: boolean,
  rest: readonly unknown[],
): { body: StatefulBody; options: Named } {
  if (table) {
    const [given, options = {}] = rest as [(value: unknown, row: unknown) => unknown, Named?];
    judged(graph, 'join', options, NAMED);
    const combine = judgedFunction(graph, 'join with a table', given);
    const spec = { kind: 'tableJoin', inner: join === 'inner', combine } as const;
    return { body: { kind: 'stateful', spec }, options };
  }
  const [given, combine] = rest as [JoinOptions, (left: unknown, right: unknown) => unknown];
  const call = join === 'inner' ? 'join' : `${join}Join`;
  const options = judged(graph, call, given ?? {}, JOIN);
  const within = options.within ?? 0;
  const sides = isObject(within) ? judged(graph, 'within', within, SIDES) : { before: within, after: within };
  const spec: StatefulSpec = {
    kind: 'join',
    join,
    beforeMs: graph.duration(sides.before ?? 0, 'within.before'),
    afterMs: graph.duration(sides.after ?? 0, 'within.after'),
    graceMs: graph.duration(options.grace ?? 0, 'grace'),
    combine: judgedFunction(graph, call, combine),
  };
  return { body: { kind: 'stateful', spec }, options };
}

const WINDOW = { ...NAMED, grace: DURATION, emit: oneOf('final', 'updates') } satisfies Record<string, Fit>;

export function aggregateSpec(
  place: GraphPlace,
  given: {
    shape: WindowShape;
    options: WindowOptions<'final' | 'updates'> | undefined;
    fields: readonly string[] | null;
    aggregates: Readonly<Record<string, AggregateSpec<never, unknown, unknown, unknown>>>;
  },
): StatefulSpec {
  const { shape, fields } = given;
  const { graph } = place;
  const options = judged(graph, 'window', given.options, WINDOW);
  const emit = options.emit ?? 'final';
  const all = judgedAggregates(graph, given.aggregates);
  const names = Object.keys(all);
  // Accumulators lie in the order of their results' names: then a row of state says the same however the author orders
  // the results. Rows that come out have the author's order.
  const sorted = names.toSorted();
  const keyNames = fields ?? ['key'];
  const taken = new Set([...keyNames, 'start', 'end', ...(emit === 'updates' ? ['final'] : [])]);
  if (isObject(given.aggregates) && Object.keys(given.aggregates).length === 0)
    graph.note('aggregate was given nothing to compute: e.g. aggregate({ count: count() })');
  for (const name of names) {
    if (taken.has(name)) graph.note(`a result cannot be called '${name}': every row has a field of that name already`);
    if (name === '__proto__') graph.note(`a result cannot be called '__proto__'`);
  }
  const aggregates = sorted.map(name => all[name] as AggregateSpec);
  const window = windowSpec(graph, shape);
  if (window.kind === 'session') {
    for (const [i, aggregate] of aggregates.entries()) {
      if (aggregate.merge !== undefined) continue;
      graph.note(`'${sorted[i]}' cannot be computed for sessions, which merge: give its aggregate a merge function`);
    }
  }
  const graceMs = graph.duration(options.grace ?? 0, 'grace');
  return {
    kind: 'window',
    window,
    graceMs,
    keyField: keyFieldOf(place),
    emit,
    results: sorted,
    aggregates,
    shape: rowShape({ fields, names, places: names.map(name => sorted.indexOf(name)), final: emit === 'updates' }),
  };
}

function judgedAggregates(graph: Graph, given: unknown): Record<string, AggregateSpec> {
  if (!isObject(given)) {
    graph.note(`aggregate takes results by their names, e.g. { n: count() }, not ${shown(given)}`);
    return {};
  }
  const fitting: Record<string, AggregateSpec> = {};
  for (const [name, value] of Object.entries(given)) {
    const parts = (isObject(value) ? value : {}) as Partial<AggregateSpec>;
    const isWhole = TEXT.is(parts.kind) && [parts.extract, parts.init, parts.add, parts.result].every(FUNCTION.is);
    if (isWhole) fitting[name] = value as AggregateSpec;
    else graph.note(`result '${name}' is ${shown(value)}: it must be an aggregate, e.g. count() or sum(…)`);
  }
  return fitting;
}

const PROCESS = { ...NAMED, onRecord: needed(FUNCTION), onTimer: FUNCTION } satisfies Record<string, Fit>;

/** The author's own object is called, so that its functions may use what else it has. */
export function processBody(place: GraphPlace, options: ProcessOptions<never, never, never, never>): StatefulBody {
  judged(place.graph, 'process', options, PROCESS);
  const own = options as unknown as ProcessSpec;
  const process: ProcessSpec = {
    onRecord: (value, context, timeMs) => own.onRecord(value, context, timeMs),
    ...(own?.onTimer === undefined ? {} : { onTimer: (name, context, timeMs) => own.onTimer?.(name, context, timeMs) }),
  };
  return { kind: 'stateful', spec: { kind: 'process', process, keyField: keyFieldOf(place) } };
}

type RowShape = Extract<StatefulSpec, { kind: 'window' }>['shape'];

/** Key fields first, then the window, then the results. */
function rowShape(options: {
  fields: readonly string[] | null;
  names: readonly string[];
  /** Where the result of each name lies. */
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
  judged(place.graph, 'branch', options, NAMED);
  const fitting = judgedFunctions(place.graph, 'branch', 'branch', branches);
  const names = Object.keys(fitting);
  const predicates = Object.values(fitting) as readonly ((value: unknown) => boolean)[];
  if (names.includes('rest')) place.graph.note(`a branch cannot be called 'rest': that is where what is left goes`);
  let latest: unknown = branches;
  let arm = 0;
  const judge = (value: unknown) => {
    const index = predicates.findIndex(predicate => {
      const taken: unknown = predicate(value);
      refusePromise(taken, 'a predicate of branch');
      return taken;
    });
    arm = index < 0 ? predicates.length : index;
    latest = value;
    return true;
  };
  const spec: StatelessSpec = { kind: 'filter', fn: judge };
  const trunk = grow(place, 'branch', { kind: 'stateless', spec, arm: false }, options);
  const title = place.graph.nodes[trunk.id]?.name ?? 'branch';
  const arms: Record<string, GraphPlace> = {};
  for (const [i, name] of [...names, 'rest'].entries()) {
    const fn = (value: unknown) => {
      if (!Object.is(value, latest)) judge(value);
      return arm === i;
    };
    const safe = name.replace(/[^A-Za-z0-9_-]/g, '_');
    arms[name] = grow(trunk, `${title}-${safe}`, { kind: 'stateless', spec: { kind: 'filter', fn }, arm: true }, {});
  }
  return arms;
}
