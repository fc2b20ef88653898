/** What is called how without a name of its author's: by what it is, wherever it stands among the others. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Beginnings, count, hopping, pipeline, type Stream, session, sum, tumbling } from 'millrace';
import { OPERATOR_NAME } from '../../../lib/record/names.ts';
import { summarize } from '../../../lib/topology/summary.ts';
import { mistakesOf, planned } from './broker.ts';

interface Event {
  readonly id: number;
  readonly site: string;
  readonly n: number;
}

const within = { within: '1h' } as const;
const once = { id: (event: Event) => event.id, within: '1d' } as const;
const onRecord = () => {};

/** Each alone in a pipeline, and what the last but one of its nodes is called (the last is the sink). */
const rows: [title: string, build: (beginnings: Beginnings) => unknown][] = [
  ['shop-order', ({ from }) => from<Event>('shop.order')],
  ['shop-any-order', ({ from }) => from<Event>('shop.*.order')],
  ['by-site', ({ from }) => from<Event>('in.e').keyBy('site')],
  ['by-site-n', ({ from }) => from<Event>('in.e').keyBy('site', 'n')],
  ['by-key-in-e', ({ from }) => from<Event>('in.e').keyBy(event => event.id)],
  ['dedupe-in-e', ({ from }) => from<Event>('in.e').dedupe(once)],
  [
    'dedupe-in-e',
    ({ from }) =>
      from<Event>('in.e')
        .filter(event => event.n > 0)
        .keyBy('site')
        .dedupe(once),
  ],
  ['dedupe-in-e-in-f', ({ from }) => from<Event>('in.f').merge(from<Event>('in.e')).dedupe(once)],
  [
    'join-in-f',
    ({ from }) =>
      from<Event>('in.e')
        .keyBy('id')
        .join(from<Event>('in.f').keyBy('id'), within, a => a),
  ],
  ['anti-join-in-f', ({ from }) => from<Event>('in.e').keyBy('id').antiJoin(from<Event>('in.f').keyBy('id'), within)],
  [
    'join-sites',
    ({ from, table }) =>
      from<Event>('in.e')
        .keyBy('site')
        .join(table('sites'), a => a),
  ],
  // Inner or left leaves no trace in a table's state.
  [
    'join-sites',
    ({ from, table }) =>
      from<Event>('in.e')
        .keyBy('site')
        .leftJoin(table('sites'), a => a),
  ],
  [
    'window-1h-by-site',
    ({ from }) => from<Event>('in.e').keyBy('site').window(tumbling('60m')).aggregate({ n: count() }),
  ],
  [
    'window-1d-moved-6h-mine',
    ({ from }) =>
      from<Event>('in.e')
        .keyBy('site', { name: 'mine' })
        .window(tumbling('1d', { offset: '6h' }))
        .aggregate({ n: count() }),
  ],
  [
    'window-1h-every-10m-by-site',
    ({ from }) =>
      from<Event>('in.e')
        .keyBy('site')
        .window(hopping({ size: '1h', advance: '10m' }))
        .aggregate({ n: count() }),
  ],
  [
    'session-5m-by-site',
    ({ from }) => from<Event>('in.e').keyBy('site').window(session('5m')).aggregate({ n: count() }),
  ],
  ['process-by-site', ({ from }) => from<Event>('in.e').keyBy('site').process({ onRecord })],
];

describe('a title', () => {
  for (const [title, build] of rows) {
    test(`is ${title} for ${build
      .toString()
      .replace(/^.*?=>\s*/s, '')
      .replace(/\s+/g, ' ')}`, () => {
      const { graph } = pipeline('p', beginnings => (build(beginnings) as Stream<unknown>).to('out.all'));
      assert.equal(graph.nodes.at(-2)?.name, title);
      assert.deepEqual(graph.mistakes, []);
    });
  }

  test('of a sink is its template, without the braces', () => {
    const { graph } = pipeline('p', ({ from }) => {
      from<Event>('in.e').to('out.{site}.by.{id}');
    });
    assert.equal(graph.nodes.at(-1)?.name, 'to-out-site-by-id');
  });

  test('fits where names go, however long and strange the words, and long ones that begin alike differ', () => {
    const long = 'x'.repeat(80);
    const { graph } = pipeline('p', ({ from }) => {
      for (const end of ['a', 'b'])
        from<Record<string, string>>(`in.${long}.${end}`).keyBy(`größe.${long}.${end}`).to('out');
    });
    const names = graph.nodes.filter(({ kind }) => kind !== 'sink').map(({ name }) => name);
    assert.equal(new Set(names).size, 4);
    for (const name of names) assert.match(name, OPERATOR_NAME);
  });

  test('is the same wherever its call stands, and whatever else there is', async () => {
    const parts: ((beginnings: Beginnings) => void)[] = [
      ({ from }) =>
        from<Event>('in.a').keyBy('site').window(tumbling('1h')).aggregate({ n: count() }).to('out.a.{site}'),
      ({ from }) => from<Event>('in.b').keyBy('n').dedupe(once).to('out.b.{site}'),
      ({ from, table }) =>
        from<Event>('in.c')
          .keyBy('site', { name: 'placed' })
          .join(table('sites'), a => a)
          .window(session('1h'))
          .aggregate({ n: sum(() => 1) })
          .to('out.c.{site}'),
      ({ from }) => {
        const right = from<Event>('in.e').keyBy('id');
        from<Event>('in.d')
          .keyBy('id')
          .leftJoin(right, within, a => a)
          .to('out.d.{partition}');
      },
    ];
    const layoutOf = async (order: readonly number[]) => {
      const plan = await planned(pipeline('p', b => order.forEach(i => void parts[i]?.(b))));
      return {
        layout: summarize(plan).layout,
        sinks: plan.sinks.map(({ name, target }) => `${name} ${target.template}`).sort(),
      };
    };
    const forth = await layoutOf([0, 1, 2, 3]);
    assert.deepEqual(await layoutOf([3, 2, 1, 0]), forth);
    assert.deepEqual(await layoutOf([2, 0, 3, 1]), forth);
    const fewer = await layoutOf([3, 1]);
    assert.deepEqual(fewer.layout.stages['by-n'], forth.layout.stages['by-n']);
    assert.deepEqual(fewer.layout.stages['by-id'], forth.layout.stages['by-id']);
    assert.deepEqual(fewer.sinks, ['to-out-b-site out.b.{site}', 'to-out-d-partition out.d.{partition}']);
  });

  test('of a stage is the same whichever of its keyBys is called first', async () => {
    const stageOf = async (isLeftFirst: boolean) => {
      const plan = await planned(
        pipeline('p', ({ from }) => {
          const makers = [() => from<Event>('in.a').keyBy('site'), () => from<Event>('in.b').keyBy(e => `${e.id}`)];
          const [left, right] = isLeftFirst
            ? makers.map(make => make())
            : makers
                .reverse()
                .map(make => make())
                .reverse();
          left?.join(right as never, within, a => a).to('out.{site}');
        }),
      );
      return plan.stages.map(({ name }) => name);
    };
    assert.deepEqual(await stageOf(true), ['by-key-in-b']);
    assert.deepEqual(await stageOf(false), ['by-key-in-b']);
  });
});

describe('two that come out alike', () => {
  type Named = { name?: string };
  const at = (b: Beginnings, name: string) => b.from<Event>('in.e', { name });
  const twins: [what: string, name: string, build: (b: Beginnings, one: Named, other: Named) => void][] = [
    [
      'sources',
      'in-e',
      (b, one, other) => {
        b.from<Event>('in.e', one).to('out.a');
        b.from<Event>('in.e', other).to('out.b');
      },
    ],
    [
      'tables',
      'sites',
      (b, one, other) => {
        const events = at(b, 's').keyBy('site');
        events.join(b.table('sites', one), a => a, { name: 'j' }).to('out.a');
        events.join(b.table('sites', other), a => a, { name: 'k' }).to('out.b');
      },
    ],
    [
      'keyBys of two stages',
      'by-site',
      (b, one, other) => {
        at(b, 's').keyBy('site', one).to('out.a');
        at(b, 't').keyBy('site', other).to('out.b');
      },
    ],
    [
      'keyBys of one stage whose records come from one reader',
      'by-site',
      (b, one, other) => {
        const events = at(b, 's');
        const left = events.filter(event => event.n > 0).keyBy('site', one);
        left.join(events.keyBy('site', other), within, a => a).to('out.a');
      },
    ],
    [
      'dedupes',
      'dedupe-s',
      (b, one, other) => {
        const events = at(b, 's');
        events
          .filter(event => event.n > 0)
          .dedupe({ ...once, ...one })
          .to('out.a');
        events.dedupe({ ...once, ...other }).to('out.b');
      },
    ],
    [
      'joins',
      'join-t',
      (b, one, other) => {
        const left = at(b, 's').keyBy('site');
        const right = at(b, 't').keyBy('site');
        left.join(right, { ...within, ...one }, a => a).to('out.a');
        left.join(right, { ...within, ...other }, a => a).to('out.b');
      },
    ],
    [
      'joins with a table',
      'join-sites',
      (b, one, other) => {
        const left = at(b, 's').keyBy('site');
        const sites = b.table('sites');
        left.join(sites, a => a, one).to('out.a');
        left.leftJoin(sites, a => a, other).to('out.b');
      },
    ],
    [
      'windows',
      'window-1h-by-site',
      (b, one, other) => {
        const keyed = at(b, 's').keyBy('site');
        keyed.window(tumbling('1h'), one).aggregate({ n: count() }).to('out.a');
        keyed
          .window(tumbling('1h'), other)
          .aggregate({ total: sum(event => event.n) })
          .to('out.b');
      },
    ],
    [
      'processes',
      'process-by-site',
      (b, one, other) => {
        const keyed = at(b, 's').keyBy('site');
        keyed.process({ onRecord, ...one }).to('out.a');
        keyed.process({ onRecord, ...other }).to('out.b');
      },
    ],
    [
      'sinks',
      'to-out-site',
      (b, one, other) => {
        at(b, 's').to('out.{site}', one);
        at(b, 't').to('out.{site}', other);
      },
    ],
  ];
  for (const [what, name, build] of twins) {
    test(`are refused, each with a name to add: ${what}`, async () => {
      const mistakes = await mistakesOf(pipeline('p', b => build(b, {}, {})));
      const said = mistakes.map(({ operator, message }) => `${operator}: ${message}`);
      assert.equal(said.length, 2, said.join('\n'));
      for (const [i, letter] of ['a', 'b'].entries()) {
        assert.match(
          said[i] as string,
          new RegExp(`^${name}: nothing tells it from the one at test/unit/topology/titles`),
        );
        assert.ok(said[i]?.endsWith(`e.g. { name: '${name}-${letter}' }`), said[i]);
      }
      assert.deepEqual(await mistakesOf(pipeline('p', b => build(b, { name: 'x' }, {}))), []);
      assert.deepEqual(await mistakesOf(pipeline('p', b => build(b, {}, { name: 'x' }))), []);
    });
  }

  test('are no matter where nothing is kept: stateless operators, what leads to no sink, keyBys that meet', async () => {
    const described = pipeline('p', b => {
      const events = at(b, 's');
      for (let i = 0; i < 2; i++)
        events
          .map(event => event)
          .filter(() => true)
          .to('out', { name: `t${i}` });
      for (let i = 0; i < 2; i++) events.keyBy('site').dedupe(once);
      events
        .keyBy('id')
        .join(at(b, 't').keyBy('id'), within, a => a)
        .to('out.{site}');
    });
    assert.deepEqual(await mistakesOf(described), []);
  });
});
