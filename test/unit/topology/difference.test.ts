/** What a deploy would change, in lines for people. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Beginnings, count, pipeline, tumbling } from 'millrace';
import { differenceOf } from '../../../lib/topology/difference.ts';
import { type PlanSummary, summarize } from '../../../lib/topology/summary.ts';
import { planned } from './broker.ts';

interface Event {
  readonly id: number;
  readonly site: string;
  readonly at: number;
}

type Build = (beginnings: Beginnings) => void;

async function stored(build: Build, options: { partitions?: number } = {}): Promise<PlanSummary> {
  const plan = await planned(pipeline('p', build, { partitions: 2, ...options }));
  return JSON.parse(JSON.stringify(summarize(plan))) as PlanSummary;
}

const base: Build = ({ from }) => {
  const events = from<Event>('in.e', { time: 'at' }).dedupe({ id: e => e.id, within: '1h' });
  events.keyBy('site').window(tumbling('1m')).aggregate({ n: count() }).to('out.{site}');
};

const readable = { readsState: true };

describe('the difference', () => {
  test('of the same plan is its code at most, and all state goes on', async () => {
    const summary = await stored(base);
    assert.deepEqual(differenceOf(summary, summary, readable), [
      '~ code alone, or nothing: sources, operators and sinks are the same',
      '= state goes on: dedupe-in-e, window-1m-by-site',
    ]);
  });

  const cases: [string, Build, RegExp[]][] = [
    [
      'an operator that comes',
      ({ from }) => {
        const events = from<Event>('in.e', { time: 'at' }).dedupe({ id: e => e.id, within: '1h' });
        events
          .filter(e => e.id > 3)
          .keyBy('site')
          .window(tumbling('1m'))
          .aggregate({ n: count() })
          .to('out.{site}');
      },
      [/^\+ operator filter-1: filter, in reader in-e$/, /^= state goes on: dedupe-in-e, window/],
    ],
    [
      'a sink that is another, and one that comes',
      ({ from }) => {
        const events = from<Event>('in.e', { time: 'at' }).dedupe({ id: e => e.id, within: '1h' });
        const rows = events.keyBy('site').window(tumbling('1m')).aggregate({ n: count() });
        rows.to('out.{site}', { mode: 'at-least-once' });
        rows.to('copy.{partition}');
      },
      [
        /^~ sink to-out-site: 'out\.\{site\}'.*exactly once, in atomic.* → .*at least once/,
        /^\+ sink to-copy-partition: 'copy\.\{partition\}', json in ndjson frames, stream copy, /,
        /^= state goes on/,
      ],
    ],
    [
      'a source that is read another way',
      ({ from }) => {
        const events = from<Event>('in.e', { time: 'at', maxOutOfOrder: '5m', idle: 'skip' });
        const once = events.dedupe({ id: e => e.id, within: '1h' });
        once.keyBy('site').window(tumbling('1m')).aggregate({ n: count() }).to('out.{site}');
      },
      [/^~ source in-e: .*followed when quiet for 10s → .*up to 5m out of order, skipped when quiet for 10s$/, /^= /],
    ],
  ];
  for (const [what, build, lines] of cases) {
    test(`says ${what}`, async () => {
      const difference = differenceOf(await stored(base), await stored(build), readable);
      assert.equal(difference.length, lines.length, difference.join('\n'));
      for (const [i, line] of lines.entries()) assert.match(difference[i] ?? '', line);
    });
  }

  test('of state that cannot be read says what goes and comes, and nothing that goes on', async () => {
    const wider: Build = ({ from }) => {
      const events = from<Event>('in.e', { time: 'at' }).dedupe({ id: e => e.id, within: '1h' });
      events.keyBy('site').window(tumbling('2m')).aggregate({ n: count() }).to('out.{site}');
    };
    const before = await stored(base);
    assert.deepEqual(differenceOf(before, await stored(wider), { readsState: false }), [
      '- operator window-1m-by-site: windows of 1m: n (count), in stage by-site',
      '+ operator window-2m-by-site: windows of 2m: n (count), in stage by-site',
    ]);
    assert.deepEqual(differenceOf(before, await stored(base, { partitions: 3 }), { readsState: false }), [
      '~ stage by-site: 2 tasks → 3 tasks',
    ]);
  });

  test('of what another version has stored is not known', async () => {
    for (const before of [null, {}, { version: 1 }])
      assert.deepEqual(differenceOf(before, await stored(base), readable), []);
  });
});
