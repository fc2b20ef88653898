import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { pipeline } from '../../../lib/index.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { lineagesOf } from '../../../lib/topology/lineage.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';

interface Row {
  readonly id: string;
  readonly shop: string;
}

test('a lineage names the dedupes on the way to a place, and says whether values are still as they were read', async () => {
  const broker = new MemoryBroker({ clock: systemClock });
  for (const name of ['a', 'b']) broker.create({ name, subjects: [name] });
  const definition = pipeline('p', ({ from }) => {
    const id = (row: Row) => row.id;
    const a = from<Row>('a')
      .keyBy('shop')
      .dedupe({ id, within: '1d', name: 'first' })
      .filter(row => row.id !== '', { name: 'kept' });
    const b = from<Row>('b').keyBy('shop');
    a.map(row => row, { name: 'mapped' })
      .dedupe({ id, within: '1d', name: 'second' })
      .to('out.mapped.{shop}', { name: 'maps' });
    a.join(b, { within: '1h', name: 'pairs' }, left => left).to('out.pairs.{shop}', { name: 'joins' });
    b.to('out.plain.{shop}', { name: 'plain' });
  });
  const lineages = lineagesOf(await planOrThrow(definition, broker.client('x')));
  const of = (name: string) => lineages.get(name);
  assert.deepEqual(of('first'), { passed: [], unchanged: true });
  assert.deepEqual(of('kept'), { passed: ['first'], unchanged: true });
  assert.deepEqual(of('mapped'), { passed: ['first'], unchanged: true });
  assert.deepEqual(of('second'), { passed: ['first'], unchanged: false });
  assert.deepEqual(of('maps'), { passed: ['first', 'second'], unchanged: false });
  assert.deepEqual(of('pairs'), { passed: ['first'], unchanged: true });
  assert.deepEqual(of('joins'), { passed: ['first'], unchanged: false });
  assert.deepEqual(of('plain'), { passed: [], unchanged: true });
});
