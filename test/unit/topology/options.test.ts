/**
 * What an author gives with a wrong type is a mistake of the plan, with its line, and says what to write instead. A
 * compiler refuses most of it; plain JavaScript, casts and spreads do not, so the tables below are untyped on purpose.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as millrace from 'millrace';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { mistakesOf } from './broker.ts';

/** A pipeline's beginnings, or a stream, to whoever writes no types. */
type Untyped = { readonly [call: string]: (...given: unknown[]) => Untyped };

const { count, ndjson, pipeline, tumbling } = millrace;
const once = { id: () => 1, within: '1h' };
const sized = { size: '1h', advance: '5m' };

/** What is given to the call, and what is said of it; null: nothing, it is right. */
type Row = readonly [given: readonly unknown[], said: RegExp | null];

interface Call {
  readonly name: string;
  /** Makes the call in a pipeline that is right but for it. */
  readonly make: (beginnings: Untyped, given: readonly unknown[]) => unknown;
  readonly rows: readonly Row[];
}

const events = (b: Untyped) => b.from!('in.e') as Untyped;
const keyed = (b: Untyped) => events(b).keyBy!('id');
const other = (b: Untyped) => b.from!('in.f').keyBy!('id');
const onto = (stream: Untyped) => stream.to!('out.all');

/** The options that every call has: a name that is a text, and none that nobody reads. */
const named = (call: string, before: readonly unknown[], with_: object = {}): Row[] => [
  [[...before, { ...with_, name: 5 }], /^name is 5: it must be a text$/],
  [[...before, { ...with_, naem: 'x' }], new RegExp(`^${call} has no option 'naem'; did you mean name\\?$`)],
  [[...before, { ...with_, name: 'right' }], null],
  ...(Object.keys(with_).length > 0 || call === 'keyBy'
    ? []
    : ([[[...before, 'text'], new RegExp(`^the options of ${call} are an object with name.*, not "text"$`)]] as Row[])),
];

const SCHEMA = /must be a Standard Schema: of zod 3\.24 or later/;
const POISON = /^onPoison is "deadletter": it must be 'deadLetter' or 'skip' or 'stop'; did you mean deadLetter\?$/;
const DECODED: Row[] = [
  ['ndjson', /^format is "ndjson": it must be a format, e\.g\. ndjson\(\) of 'millrace'; write format: ndjson\(\)$/],
  [ndjson, /^format is a value of type function: it must be a format, .*; write format: ndjson\(\)$/],
  ['xml', /^format is "xml": it must be a format, e\.g\. ndjson\(\) of 'millrace'$/],
  [{ name: 'mine' }, /^format is a value of type object: it must be a format/],
  [{ name: 'mine', decode: () => {} }, null],
].map(([format, said]) => [['subject or bucket', { format }], said] as Row);
const LISTED: Row[] = [
  [
    { formats: 'json' },
    /^formats is "json": it must be a list of 'json', 'ndjson', 'msgpack', 'cloudevents'; write formats: \['json'\]$/,
  ],
  [
    { formats: ['json', 'xml'] },
    /^formats is .*: it must be a list of .*, and "xml" is none; any other is read by format, alone$/,
  ],
  [{ formats: [] }, /^formats is .*: it must be a list of/],
  [
    { formats: ['json'], format: ndjson() },
    /^format is how all is read, and formats what .*: leave one of the two out$/,
  ],
  [{ formats: ['ndjson', 'json'] }, null],
].map(([options, said]) => [['subject or bucket', options], said] as Row);
const join = (call: string): Call => ({
  name: call,
  make: (b, [options, combine]) => onto(keyed(b)[call]!(other(b), options, combine)),
  rows: [
    ...named(call, [], { within: '1h' }).map(([given, said]) => [[...given, () => 1], said] as Row),
    [[undefined, () => 1], new RegExp(`^${call} needs within: a duration`)],
    [[{}, () => 1], new RegExp(`^${call} needs within: a duration`)],
    [[{ within: 'soon' }, () => 1], /^within\.before 'soon' cannot be read[\s\S]*within\.after 'soon'/],
    [[{ within: { befor: '1h' } }, () => 1], /^within has no option 'befor'; did you mean before\?$/],
    [[{ within: { after: -1 } }, () => 1], /^within\.after -1 is not a whole number/],
    [[{ within: '1h', grace: null }, () => 1], /^grace is null: it must be a duration, e\.g\. '30s'$/],
    ...(call === 'semiJoin' || call === 'antiJoin'
      ? []
      : ([[[{ within: '1h' }, 'both'], new RegExp(`^${call} takes a function, not "both"$`)]] as Row[])),
  ],
});
const tableJoin = (call: string): Call => ({
  name: `${call} with a table`,
  make: (b, given) => onto(events(b).keyBy!('site')[call]!(b.table!('sites'), ...given)),
  rows: [...named('join', [() => 1]), [[undefined], /^join with a table takes a function, not undefined$/]],
});
const stateless = (call: string): Call => ({
  name: call,
  make: (b, given) => onto(events(b)[call]!(...given)),
  rows: [...named(call, [() => []]), [['field'], new RegExp(`^${call} takes a function, not "field"$`)]],
});
const windowed =
  (shape: unknown): Call['make'] =>
  (b, [options]) =>
    onto(keyed(b).window!(shape, options).aggregate!({ n: count() }));

const calls: readonly Call[] = [
  {
    name: 'from',
    make: (b, [subject, options]) => onto(b.from!(subject === 'subject or bucket' ? 'in.e' : subject, options)),
    rows: [
      ...named('from', ['in.e']),
      ...DECODED,
      ...LISTED,
      [[5], /^'' is no subject: write tokens joined by dots/],
      [['in.e', null], /^the options of from are an object with name, schema, format.*, not null$/],
      [['in.e', { schema: {} }], SCHEMA],
      [['in.e', { schema: 'Order' }], SCHEMA],
      [['in.e', { time: 5 }], /^time is 5: it must be the name of a field, or a function$/],
      [['in.e', { time: 'at' }], null],
      [['in.e', { change: 'op' }], /^change is "op": it must be a function$/],
      [['in.e', { change: () => 'insert' }], null],
      [['in.e', { maxOutOfOrder: -5 }], /^maxOutOfOrder -5 is not a whole number/],
      [['in.e', { maxOutOfOrder: null }], /^maxOutOfOrder is null: it must be a duration/],
      [['in.e', { idle: 'skp' }], /^idle is "skp": it must be 'follow' or 'skip'; did you mean skip\?$/],
      [['in.e', { maxDelay: 'soon' }], /^maxDelay 'soon' cannot be read/],
      [['in.e', { maxFuture: () => 1 }], /^maxFuture .* is neither text nor a number/],
      [['in.e', { capture: 'yes' }], /^capture is "yes": it must be true, or an object with maxAge and maxBytes$/],
      [['in.e', { capture: false }], /^capture is false: it must be true/],
      [['in.e', { capture: { maxByte: 1 } }], /^capture has no option 'maxByte'; did you mean maxBytes\?$/],
      [['in.e', { capture: { maxBytes: '1GB' } }], /^maxBytes is "1GB": it must be a number of bytes$/],
      [['in.e', { capture: { maxBytes: -1 } }], /^capture\.maxBytes -1 is no number of bytes$/],
      [['in.e', { start: 'last' }], /^start is "last": it must be 'first' or 'new'/],
      [['in.e', { with: {} }], /^with is a value of type object: it must be a function$/],
      [['in.e', { onPoison: 'deadletter' }], POISON],
    ],
  },
  {
    name: 'table',
    make: (b, [bucket, options]) =>
      onto(
        events(b).keyBy!('site').join!(b.table!(bucket === 'subject or bucket' ? 'sites' : bucket, options), () => 1),
      ),
    rows: [
      ...named('table', ['sites']),
      ...DECODED,
      [[5], /^'' cannot be a KV bucket/],
      [['sites', { schema: 7 }], SCHEMA],
      [['sites', { onPoison: 'deadletter' }], POISON],
      [['sites', { time: 'at' }], /^table has no option 'time'/],
    ],
  },
  {
    name: 'keyBy',
    make: (b, given) => onto(events(b).keyBy!(...given)),
    rows: [
      ...named('keyBy', ['id']),
      ...named('keyBy', [() => 1]),
      [[5], /^keyBy takes names of fields, or one function, not 5$/],
      [[undefined], /^keyBy takes names of fields, or one function, not undefined$/],
      [[() => 1, 'id'], /^keyBy takes names of fields, or one function, not a value of type function$/],
      [[['id', 'site']], /^keyBy takes names of fields, or one function, not a list$/],
    ],
  },
  {
    name: 'to',
    make: (b, given) => events(b).to!(...given),
    rows: [
      ...named('to', ['out']),
      [[5], /^the subject template is 5: it must be a text, e\.g\. 'hires\.\{site\}'$/],
      [['out', { mode: 'exactly' }], /^mode is "exactly": it must be 'owned' or 'shared' or 'at-least-once'$/],
      [['out', { mode: 'owend' }], /^mode is "owend": .*; did you mean owned\?$/],
      [['out', { frame: 'json' }], /^frame is "json": it must be 'none' or 'ndjson' or 'msgpack'/],
      [['out', { format: ndjson() }], /^format is a value of type object: it must be 'json' or 'msgpack'$/],
      [['out', { stream: 5 }], /^stream is 5: it must be a text$/],
    ],
  },
  stateless('map'),
  stateless('filter'),
  stateless('flatMap'),
  {
    name: 'evolve',
    make: (b, given) => onto(events(b).evolve!(...given)),
    rows: [[[{}], SCHEMA], [['schema'], SCHEMA], ...named('evolve', [millrace.versions(anything())])],
  },
  {
    name: 'dedupe',
    make: (b, given) => onto(events(b).dedupe!(...given)),
    rows: [
      ...named('dedupe', [], once),
      [[undefined], /^dedupe needs id: a function\ndedupe needs within: a duration/],
      [[{ ...once, id: 'id' }], /^id is "id": it must be a function$/],
      [[{ id: once.id }], /^dedupe needs within/],
      [[{ ...once, within: 0 }], /^within 0 must be more than nothing/],
      [[{ ...once, grace: [] }], /^grace .* is neither text nor a number/],
      [[{ ...once, keep: 'latest' }], /^keep is "latest": it must be 'first' or 'last'/],
      [[{ ...once, across: true }], /^across is true: it must be 'keys'$/],
    ],
  },
  {
    name: 'dedupe of a keyed stream',
    make: (b, given) => onto(keyed(b).dedupe!(...given)),
    rows: [[[{ ...once, across: 'keys' }], /^dedupe has no option 'across'/]],
  },
  {
    name: 'merge',
    make: (b, given) => onto(events(b).merge!(...given)),
    rows: [
      [[{}], /^the other side is no stream of this pipeline$/],
      [[null], /^the other side is no stream of this pipeline$/],
    ],
  },
  {
    name: 'branch',
    make: (b, [branches, options]) => {
      const arms = events(b).branch!(branches, options) as unknown as Record<string, Untyped>;
      for (const [name, arm] of Object.entries(arms)) arm.to!('out.all', { name: `to-${name}` });
    },
    rows: [
      ...named('branch', [{ large: () => true }]),
      [[{ large: 'n > 5' }], /^branch 'large' of branch is "n > 5": it must be a function$/],
      [[[() => true]], /^branch takes an object with a function for each branch, not a list$/],
    ],
  },
  ...'join leftJoin rightJoin outerJoin semiJoin antiJoin'.split(' ').map(join),
  ...['join', 'leftJoin'].map(tableJoin),
  {
    name: 'window',
    make: windowed(tumbling('1h')),
    rows: [
      ...named('window', []),
      [[{ grace: 'later' }], /^grace 'later' cannot be read/],
      [[{ emit: 'update' }], /^emit is "update": it must be 'final' or 'updates'; did you mean updates\?$/],
    ],
  },
  {
    name: 'the shape of a window',
    make: (b, [shape]) => windowed(shape)(b, []),
    rows: [
      [['1h'], /^window takes tumbling\(…\), hopping\(…\) or session\(…\), not "1h"$/],
      [[undefined], /^window takes tumbling/],
      [[tumbling('1h', { ofset: '5m' } as never)], /^tumbling has no option 'ofset'; did you mean offset\?$/],
      [[tumbling('1h', '5m' as never)], /^the options of tumbling are an object with offset, not "5m"$/],
      [[tumbling({} as never)], /^window size .* is neither text nor a number/],
      [[millrace.hopping({ ...sized, every: 1 } as never)], /^hopping has no option 'every'/],
      [[millrace.hopping({ size: '1h' } as never)], /^hopping needs advance: a duration/],
      [[millrace.hopping(undefined as never)], /^hopping needs size: a duration[\s\S]*hopping needs advance/],
      [[millrace.session(null as never)], /^session gap null is neither text nor a number/],
    ],
  },
  {
    name: 'aggregate',
    make: (b, given) => onto(keyed(b).window!(tumbling('1h')).aggregate!(...given)),
    rows: [
      [[undefined], /^aggregate takes results by their names, e\.g\. \{ n: count\(\) \}, not undefined$/],
      [[[count()]], /^aggregate takes results by their names, .* not a list$/],
      [
        [{ n: count }],
        /^result 'n' is a value of type function: it must be an aggregate, e\.g\. count\(\) or sum\(…\)$/,
      ],
      [[{ n: 'count' }], /^result 'n' is "count": it must be an aggregate/],
      [[{}], /^aggregate was given nothing to compute/],
    ],
  },
  {
    name: 'process',
    make: (b, given) => onto(keyed(b).process!(...given)),
    rows: [
      ...named('process', [], { onRecord: () => {} }),
      [[undefined], /^process needs onRecord: a function$/],
      [[() => {}], /^the options of process are an object with name, onRecord, onTimer, not a value of type function$/],
      [[{ onRecord: 'count' }], /^onRecord is "count": it must be a function$/],
      [[{ onRecord: () => {}, onTimer: 5 }], /^onTimer is 5: it must be a function$/],
    ],
  },
];

function anything() {
  return { '~standard': { version: 1, vendor: 'mine', validate: (value: unknown) => ({ value }) } } as const;
}

describe('what is given with a wrong type is a mistake with its line:', () => {
  for (const { name, make, rows } of calls) {
    test(name, async () => {
      for (const [given, said] of rows) {
        const mistakes = await mistakesOf(pipeline('p', b => void make(b as unknown as Untyped, given)));
        const messages = mistakes.map(({ message }) => message).join('\n');
        if (said === null) assert.equal(messages, '');
        else assert.match(messages, said);
        for (const { place } of mistakes)
          assert.match(place ?? 'no place', /^test\/unit\/topology\/options\.test\.ts:\d+/);
      }
    });
  }

  test('pipeline', async () => {
    const make = pipeline as unknown as (...given: unknown[]) => millrace.Pipeline;
    const build = (b: millrace.Beginnings) => b.from('in.e').to('out.all');
    const rows: Row[] = [
      [['p', 'build'], /^pipeline takes a function, not "build"\nnothing leaves the pipeline/],
      [['p', build, { partition: 4 }], /^pipeline has no option 'partition'; did you mean partitions\?$/],
      [['p', build, { partitions: '4' }], /^partitions is "4": it must be a number$/],
      [['p', build, 4], /^the options of pipeline are an object with partitions, env, not 4$/],
      [
        ['p', build, { env: 'HOME' }],
        /^env is "HOME": it must be a list of names of variables, e\.g\. \['STRIPE_URL'\]$/,
      ],
      [['p', build, { env: ['A B'] }], /^env is .*: it must be a list of names/],
      [['p', async (b: millrace.Beginnings) => build(b)], /^the function that describes it is asynchronous/],
      [[7, build], /^the pipeline's name 7 cannot be used/],
    ];
    for (const [given, said] of rows) {
      assert.match((await mistakesOf(make(...given))).map(({ message }) => message).join('\n'), said as RegExp);
    }
  });
});

describe('the plain functions refuse at once, and say what to write:', () => {
  const call = millrace as unknown as Record<string, (...given: unknown[]) => unknown>;
  const of = () => 1;
  const rows: [name: string, given: readonly unknown[], said: RegExp][] = [
    ...'sum min max avg first last collect countDistinct quantile topN'
      .split(' ')
      .map(
        name =>
          [
            name,
            ['field', name === 'topN' ? { n: 1, by: of } : undefined],
            new RegExp(`^${name} takes a function, not 'field': write ${name}\\(`),
          ] as [string, unknown[], RegExp],
      ),
    ['sum', [of, { scal: 2 }], /^sum has no option 'scal'; did you mean scale\?$/],
    ['sum', [of, 2], /^the options of sum are an object with scale, not 2$/],
    ['sum', [of, { scale: '2' }], /^sum: scale is a whole number from 0/],
    ['collect', [of, { max: -1 }], /^collect: max is a whole number from 1 on, not -1$/],
    ['countDistinct', [of, { max: 'all' }], /^countDistinct: max is a whole number from 1 on, not 'all'$/],
    ['countDistinct', [of, { aproximate: true }], /did you mean approximate\?$/],
    ['quantile', [of, 'p95'], /^quantile: q is from 0 to 1, not p95$/],
    ['quantile', [of, 0.5, { precision: 1 }], /^quantile has no option 'precision'; it has accuracy$/],
    ['topN', [of], /^the options of topN are an object with n, by, not null$/],
    ['topN', [of, { n: 0, by: of }], /^topN: n is a whole number from 1 on, not 0$/],
    ['topN', [of, { n: 3, by: 'count' }], /^topN: by takes a function, not 'count'/],
    ['reduce', ['sum'], /^reduce takes a function, not 'sum'/],
    ['aggregate', [undefined], /^the options of aggregate are an object with init/],
    ['aggregate', [{ init: 0, add: of }], /^aggregate: init takes a function, not 0/],
    ['aggregate', [{ init: of }], /^aggregate: add takes a function, not undefined/],
    ['aggregate', [{ init: of, add: of, merg: of }], /did you mean merge\?$/],
    ['versions', [{}], /a schema must be a Standard Schema/],
    ['msgpack', [{ may: true }], /did you mean many\?$/],
    ['cloudEvents', ['json'], /^the options of cloudEvents are an object with data, not 'json'$/],
    ['cloudEvents', [{ data: 'json' }], /^cloudEvents: data is a format/],
    ['protobuf', ['Order'], /^the options of protobuf are an object with type, proto, file, root, not 'Order'$/],
  ];
  for (const [name, given, said] of rows) {
    test(`${name}(${given.map(one => (typeof one === 'object' ? JSON.stringify(one) : String(one))).join(', ')})`, () => {
      assert.throws(
        () => call[name]!(...given),
        error => {
          assert.ok(isMillraceError(error, 'INVALID_ARGUMENT'), String(error));
          assert.match(error.message, said);
          return true;
        },
      );
    });
  }
});
