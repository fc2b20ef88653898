/** Which streams carry changes: what a plan says of them, and that nothing gets them that cannot take a record back. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Beginnings, count, type KeyedStream, pipeline, session, tumbling } from 'millrace';
import { describe as textOf } from '../../../lib/topology/describe.ts';
import { incompatibilities, summarize } from '../../../lib/topology/summary.ts';
import { mistakesOf, planned } from './broker.ts';

interface Event {
  readonly id: string;
  readonly site: string;
  readonly op: 'insert' | 'before' | 'after' | 'delete';
}

type Build = (beginnings: Beginnings) => void;

const change = (event: Event) => event.op;
const ownLines = readFileSync(fileURLToPath(import.meta.url), 'utf8').split('\n');

describe('a stream of changes', () => {
  test('goes through all that has no state, to sinks of every kind', async () => {
    const plan = await planned(
      pipeline('p', ({ from, table }) => {
        const events = from<Event>('in.e', { change });
        events.to('out.direct.{partition}');
        const { berlin, rest } = events.filter(e => e.id !== '').branch({ berlin: e => e.site === 'berlin' });
        berlin
          .merge(rest.map(e => e))
          .keyBy('site', { name: 'first' })
          .flatMap(e => [e])
          .keyBy('id')
          .to('out.ids.{id}', { stream: 'OUT' });
        const others = from<Event>('in.other').keyBy('site');
        others.join(table('sites'), e => e).to('out.others.{partition}');
        others.merge(events.keyBy('site', { name: 'changed' })).to('out.all.{partition}', { name: 'all' });
      }),
    );
    assert.deepEqual(plan.changing, ['to-out-direct-partition', 'to-out-ids-id', 'all']);
  });

  const stateful: readonly (readonly [string, (events: KeyedStream<string, Event, ['site']>) => void])[] = [
    ['dedupe-in-e', events => events.dedupe({ id: e => e.id, within: '1h' }).to('out.{partition}')],
    ['window-1m-by-site', events => events.window(tumbling('1m')).aggregate({ n: count() }).to('out.{partition}')],
    ['session-1m-by-site', events => events.window(session('1m')).aggregate({ n: count() }).to('out.{partition}')],
    ['process-by-site', events => events.process({ onRecord: () => {} }).to('out.{partition}')],
  ];
  for (const [operator, build] of stateful) {
    test(`is refused where it would be kept or counted: ${operator}`, async () => {
      const mistakes = await mistakesOf(
        pipeline('p', ({ from }) =>
          build(
            from<Event>('in.e', { change })
              .map(e => e)
              .keyBy('site'),
          ),
        ),
      );
      assert.deepEqual(
        mistakes.map(mistake => mistake.operator),
        [operator],
      );
      assert.match(
        mistakes[0]!.message,
        /^records of in-e \(test\/unit\/topology\/changes\.test\.ts:\d+:\d+\) may take back others, as its option change says, and this cannot .*: lead them past it, or leave out change there and let a filter keep the records that count$/,
      );
      const line = Number(/ts:(\d+)/.exec(mistakes[0]!.place ?? '')?.[1]);
      assert.match(ownLines[line - 1]!, new RegExp(`'${operator}'`));
      const plain = pipeline('p', ({ from }) =>
        build(
          from<Event>('in.e')
            .map(e => e)
            .keyBy('site'),
        ),
      );
      assert.deepEqual(await mistakesOf(plain), []);
    });
  }

  test('is refused on either side of a join, before a keyBy too, and all of it is said at once', async () => {
    const mistakes = await mistakesOf(
      pipeline('p', ({ from, table }) => {
        const events = from<Event>('in.e', { change });
        const changed = events.keyBy('site');
        const plain = from<Event>('in.plain').keyBy('site');
        const options = { within: '1m' } as const;
        changed.join(plain, { ...options, name: 'left' }, e => e).to('out.1.{partition}');
        plain.join(changed, { ...options, name: 'right' }, e => e).to('out.2.{partition}');
        plain.semiJoin(plain.merge(changed), { ...options, name: 'merged' }).to('out.3.{partition}');
        changed.leftJoin(table('sites'), e => e, { name: 'with-table' }).to('out.4.{partition}');
        events.dedupe({ id: e => e.id, within: '1h', across: 'keys', name: 'unkeyed' }).to('out.5.{partition}');
      }),
    );
    assert.deepEqual(
      mistakes.map(({ operator }) => operator),
      ['left', 'right', 'merged', 'with-table', 'unkeyed'],
    );
  });

  test('is told of once, where it comes first: behind an operator with state there are inserts', async () => {
    const mistakes = await mistakesOf(
      pipeline('p', ({ from }) => {
        const rows = from<Event>('in.e', { change })
          .keyBy('site')
          .process<number, Event>({ onRecord: () => {} });
        rows.window(tumbling('1m')).aggregate({ n: count() }).to('out.{partition}');
      }),
    );
    assert.deepEqual(
      mistakes.map(({ operator }) => operator),
      ['process-by-site'],
    );
  });
});

describe('the plan', () => {
  const built = (options: object): Build => {
    return ({ from }) => {
      const rows = from<Event>('in.e', options).keyBy('site');
      rows.to('out.{partition}');
      from<Event>('in.f').keyBy('id').window(tumbling('1m')).aggregate({ n: count() }).to('out.counts.{partition}');
    };
  };
  const summaryOf = async (options: object) => summarize(await planned(pipeline('p', built(options))));

  test('shows which source and which sinks have changes', async () => {
    const summary = await summaryOf({ change });
    assert.deepEqual(
      summary.readers.map(({ source }) => [source.name, source.changes]),
      [
        ['in-e', true],
        ['in-f', false],
      ],
    );
    const text = textOf(summary);
    assert.match(text, /reads +subject in\.e .*changes of a table/);
    assert.doesNotMatch(text, /reads +subject in\.f .*changes/);
    assert.match(text, /to-out-partition .*; rows may take back others/);
    assert.doesNotMatch(text, /to-out-counts-partition .*take back/);
    assert.doesNotMatch(textOf(await summaryOf({})), /changes|take back/);
  });

  test('may begin or cease to have them and keep its state', async () => {
    const [without, having] = [await summaryOf({}), await summaryOf({ change })];
    assert.equal(without.fingerprint, having.fingerprint);
    assert.deepEqual([incompatibilities(without, having), incompatibilities(having, without)], [[], []]);
  });
});
