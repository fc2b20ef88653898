/**
 * `start: 'new'`: where a source begins is decided once, before the pipeline says that it runs. Were it decided anew by each
 * owner until the first commit has landed, what came meanwhile would be nobody's.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pipeline } from '../../../lib/index.ts';
import { Cluster } from '../../sim/cluster.ts';

for (const kind of ['read directly', 'routed by key'] as const) {
  test(`a source from now on, ${kind}, has the same beginning for whoever takes over`, async () => {
    const made = pipeline(
      'p',
      ({ from }) => {
        const source = from<{ n: number }>('in', { name: 'in', start: 'new' });
        if (kind === 'read directly') return source.to('out.{partition}');
        source
          .keyBy('n')
          .process<number, { n: number }>({ name: 'pass', onRecord: ({ n }, context) => context.emit({ n }) })
          .to('out.{partition}');
      },
      { partitions: 2 },
    );
    const cluster = await Cluster.of(made, [{ name: 'in', subjects: ['in'] }]);
    const publish = (n: number) => cluster.broker.land([{ subject: 'in', data: Buffer.from(`{"n":${n}}`) }], false);
    publish(0);
    const host = cluster.addHost();
    host.start();
    await cluster.clock.run(1_000);
    assert.equal(host.pipeline?.status().state, 'running');
    host.cutOff();
    for (let n = 1; n <= 3; n++) publish(n);
    await cluster.clock.run(5_000);
    host.crash({ losesDisk: false });
    host.reconnect();
    host.start();
    await cluster.clock.run(10_000);
    publish(4);
    await cluster.clock.run(20_000);
    const rows = cluster.rows('out').map(row => (JSON.parse(row) as { n: number }).n);
    assert.deepEqual(rows.sort(), [1, 2, 3, 4]);
  });
}
