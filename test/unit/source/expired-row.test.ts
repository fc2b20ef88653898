/**
 * A row of a bucket that has expired: the broker leaves a marker (ADR-43), as `lib/nats/registry.ts` knows. It is a
 * tombstone: the row is joined no more.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pipeline } from '../../../lib/index.ts';
import { Cluster } from '../../sim/cluster.ts';

for (const reason of ['MaxAge', 'Remove', 'Purge']) {
  test(`a marker with reason ${reason} takes the row away`, async () => {
    const made = pipeline(
      'p',
      ({ from, table }) =>
        from<{ k: string }>('in', { name: 'in' })
          .keyBy('k')
          .leftJoin(table<{ name: string }>('names'), (_click, row) => ({ name: row?.name ?? null }))
          .to('out.{partition}'),
      { partitions: 1 },
    );
    const inputs = [
      { name: 'in', subjects: ['in'] },
      { name: 'KV_names', subjects: ['$KV.names.>'], maxMessagesPerSubject: 1 },
    ];
    const cluster = await Cluster.of(made, inputs);
    const click = () => cluster.broker.land([{ subject: 'in', data: Buffer.from('{"k":"a"}') }], false);
    cluster.broker.land([{ subject: '$KV.names.a', data: Buffer.from('{"name":"Ada"}') }], false);
    const host = cluster.addHost();
    host.start();
    await cluster.clock.run(2_000);
    click();
    await cluster.clock.run(4_000);
    const headers = { 'Nats-Marker-Reason': reason, 'Nats-TTL': '1h0m0s' };
    cluster.broker.land([{ subject: '$KV.names.a', data: new Uint8Array(), headers }], false);
    await cluster.clock.run(6_000);
    click();
    await cluster.clock.run(20_000);
    assert.deepEqual(cluster.rows('out'), ['{"name":"Ada"}', '{"name":null}']);
    assert.equal(cluster.rows('MR_p_letters').length, 0, 'no letter');
  });
}
