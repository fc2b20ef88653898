/**
 * A consumer on a replica that is behind says that nothing is left, as `lib/nats/reader.ts` knows (`look`): the leader, when it is
 * asked, says otherwise. A table that counted as read to its end by the word of the replica would have records miss their rows.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pipeline } from '../../../lib/index.ts';
import type { LogReader, ReadOptions } from '../../../lib/port/log.ts';
import { Cluster } from '../../sim/cluster.ts';

const BEHIND_MS = 3_000;

test('a table has been read to its end when the leader of its stream says so', async () => {
  const made = pipeline(
    'p',
    ({ from, table }) =>
      from<{ k: string }>('in', { name: 'in' })
        .keyBy('k')
        .leftJoin(table<{ name: string }>('names'), ({ k }, row) => ({ k, name: row?.name ?? null }))
        .to('out.{partition}'),
    { partitions: 2 },
  );
  const inputs = [
    { name: 'in', subjects: ['in'] },
    { name: 'KV_names', subjects: ['$KV.names.>'], maxMessagesPerSubject: 1 },
  ];
  const cluster = await Cluster.of(made, inputs);
  for (let i = 0; i < 10; i++) {
    cluster.broker.land([{ subject: `$KV.names.k${i}`, data: Buffer.from(`{"name":"n${i}"}`) }], false);
    cluster.broker.land([{ subject: 'in', data: Buffer.from(`{"k":"k${i}"}`) }], false);
  }
  const client = cluster.client.bind(cluster);
  cluster.client = () => {
    const log = client();
    const read = log.read.bind(log);
    log.read = (options: ReadOptions): LogReader => {
      const reader = read(options);
      if (options.stream !== 'KV_names') return reader;
      const isBehind = () => cluster.clock.monotonic() < BEHIND_MS;
      cluster.clock.after(BEHIND_MS, () => reader.onReady?.());
      return {
        take: limits => (isBehind() ? [] : reader.take(limits)),
        get caughtUp() {
          return isBehind() || reader.caughtUp;
        },
        get left() {
          return isBehind() ? 0 : reader.left;
        },
        get nextTimeMs() {
          return isBehind() ? null : reader.nextTimeMs;
        },
        get error() {
          return reader.error;
        },
        get onReady() {
          return reader.onReady;
        },
        set onReady(told) {
          reader.onReady = told;
        },
        look: () => (isBehind() ? Promise.resolve(null) : reader.look()),
        stop: () => reader.stop(),
      };
    };
    return log;
  };
  cluster.addHost().start();
  await cluster.clock.run(30_000);
  const rows = cluster.rows('out').map(row => JSON.parse(row) as { k: string; name: string | null });
  assert.equal(rows.length, 10);
  assert.deepEqual(
    rows.filter(({ name }) => name === null),
    [],
  );
});
