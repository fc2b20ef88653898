/** Mistakes: all at once, each with the operator, the place in the author's file, and what to do. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  aggregate,
  type Beginnings,
  count,
  hopping,
  isPipeline,
  pipeline,
  session,
  type Table,
  tumbling,
} from 'millrace';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';
import { brokerOf, INPUTS, type KnownStream, mistakesOf } from './broker.ts';

interface Event {
  readonly id: number;
  readonly site: string;
  readonly n: number;
}

type Build = (beginnings: Beginnings) => void;

async function messages(
  build: Build,
  options: { name?: string; partitions?: number; streams?: readonly KnownStream[] } = {},
) {
  const { name = 'p', partitions = 4, streams = INPUTS } = options;
  const mistakes = await mistakesOf(pipeline(name, build, { partitions }), streams);
  return mistakes.map(({ operator, message }) => (operator === null ? message : `${operator}: ${message}`));
}

/** A row of a table of tests: what is built, and what must be said of it. */
async function says(build: Build, pattern: RegExp, streams: readonly KnownStream[] = INPUTS): Promise<void> {
  const said = await messages(build, { streams });
  assert.equal(said.length, 1, said.join('\n') || 'nothing was said');
  assert.match(said[0] as string, pattern);
}

const fine: Build = ({ from }) => from<Event>('in.e').keyBy('id').to('out.{site}');

const ownLines = readFileSync(fileURLToPath(import.meta.url), 'utf8').split('\n');

describe('mistakes', () => {
  test('are told all at once, each with its operator and the line of the call', async () => {
    const described = pipeline(
      'Wrong Name',
      ({ from }) => {
        const events = from<Event>('elsewhere', { maxOutOfOrder: 'soon' });
        events
          .keyBy('site')
          .window(tumbling('0s'))
          .aggregate({ start: count() })
          .to('out.{site}.*', { name: 'bad name' });
      },
      { partitions: 0 },
    );
    const mistakes = await mistakesOf(described);
    const said = mistakes.map(({ operator, place, message }) => `${operator} at ${place}: ${message}`).join('\n');
    assert.match(said, /^null at null: the pipeline's name "Wrong Name" cannot be used: /m);
    assert.match(said, /^null at null: partitions is 0: take a whole number from 1 to 1024$/m);
    assert.match(said, /^elsewhere at test\/unit\/topology\/mistakes.test.ts:(\d+):\d+: maxOutOfOrder 'soon' /m);
    const line = Number(/^elsewhere at .*?:(\d+):/m.exec(said)?.[1]);
    assert.match(ownLines[line - 1] ?? '', /from<Event>\('elsewhere'/);
    assert.match(said, /^elsewhere at .*: no stream keeps 'elsewhere': make one .* or say capture: true/m);
    assert.match(
      said,
      /^window-1ms-by-site at test\/unit\/topology\/mistakes.test.ts:\d+:\d+: window size '0s' must be more than nothing/m,
    );
    assert.match(said, /^window-1ms-by-site at .*: a result cannot be called 'start'/m);
    assert.match(said, /^bad name at .*: the name "bad name" cannot be used/m);
    assert.match(said, /^bad name at .*has the wildcard/m);
    assert.equal(mistakes.length, 8, said);
  });

  test('make planOrThrow throw PLAN_INVALID with a line for each', async () => {
    const described = pipeline('p', ({ from }) => from<Event>('gone').to('out.{site}'));
    await assert.rejects(planOrThrow(described, brokerOf([])), error => {
      assert.ok(isMillraceError(error, 'PLAN_INVALID'));
      assert.match(
        error.message,
        /^pipeline 'p' has a mistake:\n {2}test\/unit\/topology\/mistakes\.test\.ts:\d+:\d+ gone: no stream/,
      );
      return true;
    });
  });

  test('are none in a pipeline without them', async () => {
    assert.deepEqual(await messages(fine), []);
  });
});

describe('the pipeline', () => {
  test('is known by its brand, whoever made it', () => {
    assert.ok(isPipeline(pipeline('p', fine)));
    assert.ok(!isPipeline({ name: 'p' }));
    assert.ok(!isPipeline(null));
  });

  test('takes 1 to 1024 partitions and a name of lower-case letters, digits and dashes', async () => {
    for (const partitions of [1, 1024]) assert.deepEqual(await messages(fine, { partitions }), []);
    for (const partitions of [0, 1025, 1.5, Number.NaN]) {
      assert.match(
        (await messages(fine, { partitions }))[0] as string,
        /^partitions is .*: take a whole number from 1 to 1024/,
      );
    }
    assert.deepEqual(await messages(fine, { name: 'a-1' }), []);
    for (const name of ['', 'A', 'a.b', 'a b', 'x'.repeat(41)]) {
      assert.match((await messages(fine, { name }))[0] as string, /name .* cannot be used/);
    }
  });

  test('must send something somewhere, and use every source', async () => {
    await says(({ from }) => void from<Event>('in.e').map(e => e), /^nothing leaves the pipeline/);
    await says(b => {
      fine(b);
      b.from('in.unused').map(value => value);
    }, /^in-unused: it is never used/);
  });

  test('has names that are used once', async () => {
    await says(({ from }) => {
      const events = from<Event>('in.e', { name: 'events' });
      events.to('out.a.{site}', { name: 'out' });
      events.to('out.b.{site}', { name: 'out' });
    }, /^out: the name 'out' is taken \(test\/unit\/topology\/mistakes\.test\.ts:\d+:\d+\)/);
    await says(({ from }) => {
      from<Event>('in.e', { name: 'x' })
        .map(e => e, { name: 'x' })
        .to('out.{site}');
    }, /^x: the name 'x' is taken/);
  });

  test('has no operator called like what Millrace makes up itself', async () => {
    await says(({ from }) => {
      const events = from<Event>('in.e');
      events.to('out.a.{site}');
      events.keyBy(e => e.n, { name: 'in-e-direct' }).to('out.b.{site}');
    }, /^in-e-direct: Millrace itself calls something 'in-e-direct' here/);
    await says(({ from }) => {
      const once = from<Event>('in.e').dedupe({ id: e => e.id, within: '1h' });
      const left = once.keyBy('id').dedupe({ id: e => e.n, within: '1h', name: 'dedupe-in-e-by-id' });
      left.join(once.keyBy('n'), { within: '1h' }, a => a).to('out.{site}');
    }, /^dedupe-in-e-by-id: Millrace itself calls something 'dedupe-in-e-by-id' here/);
  });

  test('calls what the author did not name after what it is, and numbers what keeps nothing', () => {
    const { graph } = pipeline('p', ({ from }) => {
      const events = from<Event>('in.e');
      events
        .map(e => e)
        .filter(() => true)
        .map(e => e)
        .keyBy('id')
        .to('a');
      events.keyBy('id', 'site').to('b');
      events.keyBy(e => e.n).to('c');
      events.keyBy(e => e.n, { name: 'mine' }).to('d');
    });
    const names = 'in-e map-1 filter-1 map-2 by-id to-a by-id-site to-b by-key-in-e to-c mine to-d';
    assert.equal(graph.nodes.map(node => node.name).join(' '), names);
  });
});

describe('sources', () => {
  test('are of subjects that exist', async () => {
    for (const subject of ['', 'in..e', 'in.e ', 'in.>.e', 'in.e*x', '.in']) {
      await says(({ from }) => from<Event>(subject, { name: 's' }).to('out.{site}'), /^s: '.*' is no subject/);
    }
    for (const subject of ['in.*', 'in.e.>', 'in.*.x']) {
      assert.deepEqual(await messages(({ from }) => from<Event>(subject).to('out.{site}')), []);
    }
  });

  test('need a stream, and say how to get one', async () => {
    await says(
      ({ from }) => from<Event>('hr.employee.*').to('out.{site}'),
      /no stream keeps 'hr\.employee\.\*': make one \(nats stream add hr_employee --subjects='hr\.employee\.\*'\), or say capture: true/,
    );
    await says(({ table, from }) => {
      from<Event>('in.e')
        .keyBy('site')
        .join(table('places'), a => a)
        .to('out.{site}');
    }, /^places: there is no KV bucket 'places': make it with nats kv add places/);
  });

  test('are quiet in one of two ways, and publish within a time that is one', async () => {
    const options = (more: object) => ({ name: 's', ...more }) as { name: string };
    await says(
      ({ from }) => from<Event>('in.e', options({ idle: 'wait' })).to('out.{site}'),
      /^s: idle is "wait": it must be 'follow' or 'skip'/,
    );
    await says(({ from }) => from<Event>('in.e', options({ maxDelay: 'soon' })).to('out.{site}'), /^s: .*maxDelay/);
    assert.deepEqual(
      await messages(({ from }) => from<Event>('in.e', { idle: 'skip', maxDelay: '5m' }).to('out.{site}')),
      [],
    );
  });

  test('are not fed by their own pipeline', async () => {
    await says(
      ({ from }) => from<Event>('in.*').to('in.{site}'),
      /^to-in-site: 'in\.\{site\}' is read again by in-any .*for ever/,
    );
  });
});

describe('operators', () => {
  test('take durations that can be read', async () => {
    const events = ({ from }: Beginnings) => from<Event>('in.e');
    await says(
      b => events(b).keyBy('id').window(session('1 hour')).aggregate({ n: count() }).to('out.{id}'),
      /session gap '1 hour'/,
    );
    await says(
      b =>
        events(b)
          .dedupe({ id: e => e.id, within: '' })
          .keyBy('id')
          .to('out.{id}'),
      /^dedupe-in-e: within ''/,
    );
    await says(b => {
      const keyed = events(b).keyBy('id');
      keyed.join(keyed, { within: { after: '-1s' } }, a => a).to('out.{id}');
    }, /^join-in-e: within\.after '-1s'/);
  });

  test('leave no gaps between windows, and merge what sessions merge', async () => {
    const keyed = ({ from }: Beginnings) => from<Event>('in.e').keyBy('id');
    await says(
      b =>
        keyed(b)
          .window(hopping({ size: '1m', advance: '2m' }))
          .aggregate({ n: count() })
          .to('out.{id}'),
      /^window-1m-every-2m-by-id: a window of 1m that advances by 2m leaves out/,
    );
    const half = (advance: string) => (b: Beginnings) =>
      keyed(b)
        .window(hopping({ size: '12h', advance }))
        .aggregate({ n: count() })
        .to('out.{id}');
    await says(
      half('100ms'),
      /^window-12h-every-100ms-by-id: .*432000 results, more than HOPS_MAX \(100000\); let advance be at least 432ms/,
    );
    assert.deepEqual(await messages(half('1s')), []);
    const total = aggregate<Event, number>({ init: () => 0, add: (sum, e) => sum + e.n });
    await says(
      b => keyed(b).window(session('1m')).aggregate({ total }).to('out.{id}'),
      /^session-1m-by-id: 'total' cannot be computed for sessions, which merge/,
    );
    assert.deepEqual(await messages(b => keyed(b).window(tumbling('1m')).aggregate({ total }).to('out.{id}')), []);
    await says(b => keyed(b).window(tumbling('1m')).aggregate({}).to('out.{id}'), /given nothing to compute/);
  });

  test('know their own pipeline only, and join tables only', async () => {
    let other: Parameters<Build>[0] | null = null;
    pipeline('other', b => {
      other = b;
    });
    const stranger = (other as unknown as Beginnings).from<Event>('in.o').keyBy('id');
    await says(
      ({ from }) =>
        from<Event>('in.e')
          .keyBy('id')
          .join(stranger, { within: '1h' }, a => a)
          .to('out.{id}'),
      /^join: the other side is no stream of this pipeline/,
    );
    await says(({ from, table }) => {
      const sites = table('sites') as Table<string, Event> & ReturnType<typeof merged>;
      function merged() {
        return from<Event>('in.x').keyBy('site');
      }
      from<Event>('in.e').keyBy('site').merge(sites).to('out.{site}');
    }, /a table can only be the right side/);
    await says(({ from }) => {
      const events = from<Event>('in.e');
      events.branch({ rest: e => e.n > 1 }).rest.to('out.{site}');
    }, /^branch-1: a branch cannot be called 'rest'/);
  });

  test('do not wait for their own results', async () => {
    await says(({ from }) => {
      const events = from<Event>('in.e').keyBy('id');
      const results = events.dedupe({ id: e => e.n, within: '1h' }).keyBy('n');
      events.join(results, { within: '1h' }, a => a).to('out.{id}');
    }, /^by-id: records would go in a circle between stages \(by-id → by-id\).*Call keyBy again, with a name,/);
    await says(({ from }) => {
      const events = from<Event>('in.e').keyBy('id');
      const second = events.keyBy('n').dedupe({ id: e => e.n, within: '1h' });
      events.join(second.keyBy('id'), { within: '1h' }, a => a).to('out.{id}');
    }, /in a circle between stages \(by-id → by-n → by-id\)/);
    assert.deepEqual(
      await messages(({ from }) => {
        const events = from<Event>('in.e');
        const results = events
          .keyBy('id')
          .dedupe({ id: e => e.n, within: '1h' })
          .keyBy('n');
        events
          .keyBy('id', { name: 'second' })
          .join(results, { within: '1h' }, a => a)
          .to('out.{id}');
      }),
      [],
    );
  });
});
