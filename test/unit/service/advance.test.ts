/** Heartbeats on behalf of a source's senders: where they go, and who can be spoken for. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { pipeline } from '../../../lib/index.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { advanceSource } from '../../../lib/service/advance.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';
import { summarize } from '../../../lib/topology/summary.ts';

const roads = pipeline('roads', ({ from, table }) => {
  const traffic = from<{ road: string }>('traffic.*.cars.>', { name: 'traffic' });
  traffic.to('roads.raw.{partition}');
  traffic
    .keyBy('road')
    .merge(from<{ road: string }>('weather', { name: 'weather' }).keyBy('road'))
    .join(table('signs'), car => car)
    .to('roads.all.{partition}');
});

async function world() {
  const broker = new MemoryBroker({ clock: systemClock });
  broker.create({ name: 'TRAFFIC', subjects: ['traffic.>'] });
  broker.create({ name: 'WEATHER', subjects: ['weather'] });
  broker.create({ name: 'KV_signs', subjects: ['$KV.signs.>'] });
  const log = broker.client('test');
  const spec = { name: 'roads', summary: summarize(await planOrThrow(roads, log)) as unknown };
  return { broker, log, spec };
}

describe('advancing a source', () => {
  test('publishes a message without content on a subject that the source reads', async () => {
    const { broker, log, spec } = await world();
    const to = '2026-03-01T18:00:00Z';
    assert.deepEqual(await advanceSource(log, spec, { source: 'traffic', to }), {
      stream: 'TRAFFIC',
      subject: 'traffic.complete.cars.complete',
      seq: 1,
    });
    const { data, headers } = broker.stream('TRAFFIC')!.at(1)!;
    assert.deepEqual([data.length, headers?.['Millrace-Complete']], [0, to]);
    assert.equal((await advanceSource(log, spec, { source: 'weather', to: 'end' })).subject, 'weather');
  });

  test('publishes where the stream of the source listens, or says that nobody can', async () => {
    const { broker, log } = await world();
    broker.create({ name: 'EU', subjects: ['orders.eu.>', 'else'] });
    broker.create({ name: 'US', subjects: ['orders.us.*.new'] });
    const orders = pipeline('orders', ({ from }) =>
      from<{ id: string }>('orders.*.*.>', { name: 'orders', streams: ['EU', 'US'] })
        .keyBy('id')
        .to('rows.{partition}'),
    );
    const spec = { name: 'orders', summary: summarize(await planOrThrow(orders, log)) as unknown };
    const advance = (source: string) => advanceSource(log, spec, { source, to: 'end' });
    assert.deepEqual(await advance('orders-EU'), { stream: 'EU', subject: 'orders.eu.complete.complete', seq: 1 });
    assert.deepEqual(await advance('orders-US'), { stream: 'US', subject: 'orders.us.complete.new', seq: 1 });
    broker.remove('US');
    broker.create({ name: 'US', subjects: ['else.where'] });
    await assert.rejects(advance('orders-US'), {
      code: 'INVALID_ARGUMENT',
      message: /stream US lists nothing of orders/,
    });
  });

  test('knows the sources of a pipeline, and that tables are none', async () => {
    const { log, spec } = await world();
    for (const source of ['signs', 'nobody']) {
      await assert.rejects(advanceSource(log, spec, { source, to: 'end' }), {
        code: 'NOT_FOUND',
        message: `pipeline roads has no source ${source}; there are: traffic, weather`,
      });
    }
  });

  test('says that the broker has not taken it, when it has not', async () => {
    const { broker, log, spec } = await world();
    broker.faults = { notLanded: 1, unsureMs: [1, 2] };
    await assert.rejects(advanceSource(log, spec, { source: 'weather', to: 'end' }), { code: 'BROKER_UNAVAILABLE' });
  });
});
