/** What operators are told: the functions that the builder makes of what authors wrote. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Beginnings, count, hopping, type MessageMeta, max, pipeline, session, tumbling } from 'millrace';
import { isMillraceError } from '../../../lib/base/errors.ts';
import type { OperatorSpec, StatefulSpec } from '../../../lib/operator/spec.ts';
import { decodeKey, encodeKey } from '../../../lib/record/key.ts';
import type { NodeBody } from '../../../lib/topology/node.ts';
import { toMs } from '../../../lib/topology/sources.ts';

interface Event {
  readonly id: number;
  readonly site: string | null;
  readonly n: number;
  readonly at: string;
}

const event: Event = { id: 7, site: 'berlin', n: 2, at: '2026-03-01T12:00:00Z' };
const meta: MessageMeta = { subject: 'in.e', headers: null, timeMs: 1, seq: 1 };

function nodesOf(build: (beginnings: Beginnings) => void) {
  const { graph } = pipeline('p', build);
  assert.deepEqual(graph.mistakes, []);
  return graph.nodes;
}

/** The body of the only node of its kind. */
function only<K extends NodeBody['kind']>(kind: K, build: (beginnings: Beginnings) => void) {
  const found = nodesOf(build).filter(node => node.kind === kind);
  assert.equal(found.length, 1);
  return found[0] as unknown as Extract<NodeBody, { kind: K }>;
}

function windowOf(build: (beginnings: Beginnings) => void): Extract<StatefulSpec, { kind: 'window' }> {
  const { spec } = only('stateful', build);
  assert.ok(spec.kind === 'window');
  return spec;
}

describe('event time', () => {
  test('is ms, a Date or ISO text, which is UTC if it says no zone', () => {
    const noon = Date.UTC(2026, 2, 1, 12);
    for (const time of [
      noon,
      new Date(noon),
      '2026-03-01T12:00:00Z',
      '2026-03-01T12:00:00.000Z',
      '2026-03-01T12:00',
      '2026-03-01T12:00:00',
      '2026-03-01 12:00:00',
      '2026-03-01T13:00:00+01:00',
      '2026-03-01T11:30:00-0030',
    ]) {
      assert.equal(toMs(time), noon, String(time));
    }
    assert.equal(toMs('2026-03-01'), Date.UTC(2026, 2, 1));
    assert.equal(toMs('2026-03-01T12:00:00.123456789Z'), noon + 123);
  });

  test('is nothing else', () => {
    for (const time of ['', 'noon', '1767225600000', '01/03/2026', '2026-13-01', null, undefined, {}, 5n]) {
      assert.throws(
        () => toMs(time),
        error => isMillraceError(error, 'RECORD_TIME'),
        String(time),
      );
    }
  });

  test('is taken from a field, from a function that sees the message too, or from the broker', () => {
    const field = only('source', ({ from }) => void from<Event>('in.e', { time: 'at' })).source.time;
    assert.equal(field?.(event, meta), Date.UTC(2026, 2, 1, 12));
    const fn = only('source', ({ from }) => void from<Event>('in.e', { time: (e, m) => e.id + m.seq })).source.time;
    assert.equal(fn?.(event, meta), 8);
    assert.equal(only('source', ({ from }) => void from('in.e')).source.time, null);
  });
});

describe('keys', () => {
  const keyOf = (build: (beginnings: Beginnings) => void) => only('keyBy', build).fn;

  test('are encoded from a field, several fields, or a function', () => {
    assert.equal(keyOf(({ from }) => void from<Event>('in.e').keyBy('site'))(event), encodeKey('berlin'));
    assert.equal(keyOf(({ from }) => void from<Event>('in.e').keyBy('site', 'id'))(event), encodeKey(['berlin', 7]));
    assert.equal(keyOf(({ from }) => void from<Event>('in.e').keyBy(e => e.n * 2))(event), encodeKey(4));
  });

  test('that are missing are none, and objects are refused', () => {
    assert.equal(keyOf(({ from }) => void from<Event>('in.e').keyBy('site'))({ ...event, site: null }), null);
    assert.equal(keyOf(({ from }) => void from<Event>('in.e').keyBy('site'))({}), null);
    const wrong = keyOf(({ from }) => void from<Event>('in.e').keyBy('site'));
    assert.throws(
      () => wrong({ site: {} }),
      error => isMillraceError(error, 'RECORD_KEY'),
    );
  });
});

describe('a dedupe', () => {
  test('encodes ids of any type and refuses a missing one', () => {
    const { idOf } = only('dedupe', ({ from }) => void from<Event>('in.e').dedupe({ id: e => e.id, within: '1h' }));
    assert.equal(idOf(event), encodeKey(7));
    assert.notEqual(idOf({ id: '7' }), idOf({ id: 7 }));
    assert.throws(
      () => idOf({}),
      error => isMillraceError(error, 'RECORD_KEY'),
    );
  });
});

describe('a window', () => {
  const row = { startMs: 0, endMs: 60_000, results: [3, 9], final: false };

  test('makes rows of the key, the window and the results in order', () => {
    const results = { n: count(), top: max((e: Event) => e.n) };
    const one = windowOf(
      ({ from }) => void from<Event>('in.e').keyBy('site').window(tumbling('1m')).aggregate(results),
    );
    const shaped = one.shape({ ...row, key: encodeKey('berlin') as string });
    assert.equal(JSON.stringify(shaped), '{"site":"berlin","start":0,"end":60000,"n":3,"top":9}');
    const two = windowOf(
      ({ from }) => void from<Event>('in.e').keyBy('site', 'id').window(tumbling('1m')).aggregate(results),
    );
    const key = encodeKey(['berlin', 7]) as string;
    assert.deepEqual(two.shape({ ...row, key }), { site: 'berlin', id: 7, start: 0, end: 60_000, n: 3, top: 9 });
    const fn = windowOf(
      ({ from }) =>
        void from<Event>('in.e')
          .keyBy(e => [e.n, true])
          .window(tumbling('1m'), { emit: 'updates' })
          .aggregate(results),
    );
    const tuple = encodeKey([2, true]) as string;
    const updates = { key: decodeKey(tuple), start: 0, end: 60_000, n: 3, top: 9, final: false };
    assert.deepEqual(fn.shape({ ...row, key: tuple }), updates);
    assert.equal(fn.emit, 'updates');
  });

  test('is told its shape in ms, aligned within one advance', () => {
    const shapes = [
      tumbling('1h', { offset: '90m' }),
      hopping({ size: '10s', advance: '2s', offset: '3s' }),
      session('5m'),
    ];
    const specs = shapes.map(shape =>
      windowOf(
        ({ from }) => void from<Event>('in.e').keyBy('id').window(shape, { grace: '1s' }).aggregate({ n: count() }),
      ),
    );
    assert.deepEqual(
      specs.map(({ window }) => window),
      [
        { kind: 'tumbling', sizeMs: 3_600_000, offsetMs: 1_800_000 },
        { kind: 'hopping', sizeMs: 10_000, advanceMs: 2_000, offsetMs: 1_000 },
        { kind: 'session', gapMs: 300_000 },
      ],
    );
    assert.deepEqual(
      specs.map(({ graceMs, emit }) => [graceMs, emit]),
      Array(3).fill([1_000, 'final']),
    );
  });
});

describe('a join', () => {
  test('reaches to both sides, or as far as each is told', () => {
    const spec = (within: Parameters<typeof build>[0]) => only('stateful', build(within)).spec;
    function build(within: '1h' | { before?: '1h'; after?: '2h' }) {
      return ({ from }: Beginnings) => {
        const keyed = from<Event>('in.e').keyBy('id');
        keyed.outerJoin(keyed, { within, grace: '1m' }, (left, right) => [left, right]);
      };
    }
    const reach = (within: Parameters<typeof build>[0]) => {
      const join = spec(within);
      assert.ok(join.kind === 'join');
      assert.deepEqual([join.join, join.graceMs, join.combine(1, null)], ['outer', 60_000, [1, null]]);
      return [join.beforeMs, join.afterMs];
    };
    assert.deepEqual(reach('1h'), [3_600_000, 3_600_000]);
    assert.deepEqual(reach({ after: '2h' }), [0, 7_200_000]);
    assert.deepEqual(reach({ before: '1h' }), [3_600_000, 0]);
  });

  test('of kind semi or anti keeps the left record as it is', () => {
    for (const kind of ['semiJoin', 'antiJoin'] as const) {
      const { spec } = only('stateful', ({ from }) => {
        const keyed = from<Event>('in.e').keyBy('id');
        keyed[kind](keyed, { within: '1h' });
      });
      assert.ok(spec.kind === 'join' && `${spec.join}Join` === kind);
      assert.equal(spec.combine(event, null), event);
    }
  });
});

describe('a branch', () => {
  /** Runs a value through the judge, then through each arm, as a program does. */
  function run(filters: readonly OperatorSpec[], value: unknown): boolean[] {
    const [judge, ...arms] = filters.map(spec => {
      assert.ok(spec.kind === 'filter');
      return spec.fn;
    });
    return judge?.(value) === true ? arms.map(arm => arm(value)) : [];
  }

  function filtersOf(build: (beginnings: Beginnings) => void): OperatorSpec[] {
    return nodesOf(build).flatMap(node => (node.kind === 'stateless' ? [node.spec] : []));
  }

  test('sends each record into the first arm that takes it, or into the rest', () => {
    const filters = filtersOf(
      ({ from }) => void from<number>('in.e').branch({ small: n => n < 5, even: n => n % 2 === 0 }),
    );
    assert.deepEqual(run(filters, 2), [true, false, false]);
    assert.deepEqual(run(filters, 8), [false, true, false]);
    assert.deepEqual(run(filters, 9), [false, false, true]);
  });

  test('asks each predicate once, also when it throws', () => {
    let asked = 0;
    const filters = filtersOf(({ from }) => {
      from<{ ok: boolean }>('in.e').branch({
        first: e => {
          asked++;
          if (!e.ok) throw new Error('no');
          return false;
        },
      });
    });
    assert.deepEqual(run(filters, { ok: true }), [false, true]);
    assert.equal(asked, 1);
    assert.throws(() => run(filters, { ok: false }), /no/);
    assert.equal(asked, 2);
  });

  test('judges anew what its arms are handed out of turn', () => {
    const filters = filtersOf(({ from }) => void from<{ n: number }>('in.e').branch({ small: e => e.n < 5 }));
    const [judge, small, rest] = filters.map(spec => (spec.kind === 'filter' ? spec.fn : assert.fail()));
    const [a, b] = [{ n: 1 }, { n: 9 }];
    for (const value of [a, b]) judge?.(value);
    assert.deepEqual(
      [a, b].map(value => [small?.(value), rest?.(value)]),
      [
        [true, false],
        [false, true],
      ],
    );
  });
});

describe('schemas', () => {
  test('that are none are a mistake of the call they were given to', () => {
    const { graph } = pipeline('p', ({ from }) => {
      from('in.e')
        .evolve({ parse: () => 1 } as never)
        .to('out.x');
    });
    assert.deepEqual(
      graph.mistakes.map(({ operator }) => operator),
      ['evolve-1'],
    );
    assert.match(graph.mistakes[0]?.message ?? '', /must be a Standard Schema/);
  });
});
