/**
 * A pipeline goes on from its snapshots alone: positions, time, state and what was still to be sent are in them, so that
 * nothing is lost or doubled where the journals are gone and the destinations are as they were.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pipeline } from '../../../lib/index.ts';
import { Cluster } from '../../sim/cluster.ts';
import { planOn } from '../../sim/world.ts';

const counting = pipeline(
  'p',
  ({ from }) => {
    const source = from<{ k: string; n: number }>('in', { name: 'in' });
    source
      .keyBy('k')
      .process<number, { k: string; n: number; nth: number }>({
        name: 'count',
        onRecord({ k, n }, context) {
          context.state = (context.state ?? 0) + 1;
          context.emit({ k, n, nth: context.state });
        },
      })
      .to('out.{partition}');
    source.to('copy.{partition}');
  },
  { partitions: 2 },
);

test('tasks are restored from snapshots without journals, and rows are there exactly once', async () => {
  const streams = [{ name: 'in', subjects: ['in'] }];
  const plan = await planOn(counting, streams);
  const cluster = new Cluster({ seed: 5, plan, limits: { checkpointBytes: 1 }, messageBytesMax: 1 << 20 });
  for (const settings of streams) cluster.broker.create(settings);
  cluster.broker.faults = { delayMs: [0.1, 1] };
  let isBlocked = false;
  const client = cluster.client.bind(cluster);
  cluster.client = () => {
    const log = client();
    const append = log.append.bind(log);
    log.append = message =>
      isBlocked && /^(out|copy)\./.test(message.subject)
        ? Promise.resolve({ kind: 'unsure', cause: new Error('away') })
        : append(message);
    return log;
  };
  const host = cluster.addHost();
  host.start();
  const pass = (ms: number) => cluster.clock.run(cluster.clock.monotonic() + ms);
  const publish = (from: number, to: number) => {
    for (let n = from; n < to; n++) {
      cluster.broker.land([{ subject: 'in', data: Buffer.from(JSON.stringify({ k: `k${n % 7}`, n })) }], false);
    }
  };
  await pass(1_000);
  publish(0, 40);
  await pass(20_000);
  assert.equal(cluster.rows('out').length, 40);
  // What comes now is committed and in snapshots, and cannot be sent.
  isBlocked = true;
  publish(40, 80);
  await pass(20_000);
  assert.equal(cluster.rows('out').length, 40);
  host.crash({ losesDisk: true });
  const { settings } = cluster.broker.stream('MR_p_0_journal')!;
  await cluster.clock.runThrough(client().deleteStream(settings.name));
  cluster.broker.create(settings);
  isBlocked = false;
  cluster.standsAlone = true;
  host.start();
  await pass(5_000);
  publish(80, 100);
  await pass(30_000);
  assert.equal(cluster.failure, null);
  const seen = (stream: string) => cluster.rows(stream).map(row => JSON.parse(row) as { n: number; nth?: number });
  assert.deepEqual(
    seen('out')
      .sort((a, b) => a.n - b.n)
      .map(({ n, nth }) => [n, nth]),
    Array.from({ length: 100 }, (_, n) => [n, Math.floor(n / 7) + 1]),
  );
  assert.deepEqual(
    seen('copy').map(({ n }) => n),
    Array.from({ length: 100 }, (_, n) => n),
  );
});
