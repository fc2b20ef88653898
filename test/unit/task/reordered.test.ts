/** A revision that is written in another order finds the state of the one before it: by what things are, not by turns. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Beginnings, count, type Pipeline, pipeline, sum, tumbling } from '../../../lib/index.ts';
import { Rig } from './processor-rig.ts';

interface Value {
  readonly id: string;
  readonly n: number;
  readonly m: number;
}

/** Rows that come out when a first revision has taken two records, and a second one closes the windows. */
async function rowsOver(before: Pipeline, after: Pipeline): Promise<string[]> {
  const [first, second] = [await Rig.of(before), await Rig.of(after)];
  first.feed({ id: 'k', n: 1, m: 10 });
  first.feed({ id: 'k', n: 2, m: 20 });
  await first.run();
  second.processor.state.applyDelta(first.deltas[0]!);
  second.processor.resume(1_000);
  return (await second.run(9e15)).rows.sort();
}

const keyed = ({ from }: Beginnings) => from<Value>('in.a').keyBy('id');

test('sums keep to their names when the author exchanges their places', async () => {
  const of = (results: 'n first' | 'm first') =>
    pipeline('p', b => {
      const [n, m] = [sum((value: Value) => value.n), sum((value: Value) => value.m)];
      const windows = keyed(b).window(tumbling('1m'));
      if (results === 'n first') windows.aggregate({ n, m }).to('out.{partition}');
      else windows.aggregate({ m, n }).to('out.{partition}');
    });
  assert.deepEqual(await rowsOver(of('n first'), of('m first')), ['{"id":"k","start":0,"end":60000,"m":30,"n":3}']);
  assert.deepEqual(await rowsOver(of('m first'), of('n first')), ['{"id":"k","start":0,"end":60000,"n":3,"m":30}']);
});

test('windows without names keep to themselves when one is put before the other, or a sink is taken out', async () => {
  const before = pipeline('p', b => {
    const key = keyed(b);
    key.to('first.{partition}');
    key
      .window(tumbling('1m'))
      .aggregate({ total: sum(value => value.n) })
      .to('minutes.{partition}');
    key.window(tumbling('1h')).aggregate({ total: count() }).to('hours.{partition}');
  });
  const after = pipeline('p', b => {
    const key = keyed(b);
    key.window(tumbling('1h')).aggregate({ total: count() }).to('hours.{partition}');
    key
      .window(tumbling('1m'))
      .aggregate({ total: sum(value => value.n) })
      .to('minutes.{partition}');
  });
  assert.deepEqual(await rowsOver(before, after), [
    '{"id":"k","start":0,"end":3600000,"total":2}',
    '{"id":"k","start":0,"end":60000,"total":3}',
  ]);
});
