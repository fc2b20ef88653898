/**
 * The broker is restored, one stream is an older copy, and it has grown again before anybody starts anew. A place
 * that was known by a number alone would be another message's then, and ids of results at least once would be given again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { pipeline } from '../../../lib/index.ts';
import { Cluster } from '../../sim/cluster.ts';

type Made = ReturnType<typeof pipeline>;

async function open(made: Made, streams: readonly { name: string; subjects: string[] }[]) {
  const cluster = await Cluster.of(made, streams);
  let ms = 0;
  const pass = (more: number) => cluster.clock.run((ms += more));
  const publish = (n: string) =>
    cluster.broker.land([{ subject: 'in', data: Buffer.from(JSON.stringify({ n })) }], false);
  const host = cluster.addHost();
  host.start();
  await pass(1_000);
  const rows = () => cluster.rows('out').map(row => (JSON.parse(row) as { n: string }).n);
  return { cluster, host, pass, publish, rows };
}

for (const kind of ['read directly', 'routed by key'] as const) {
  test(`a source that was put back and has grown again is noticed by who starts then: ${kind}`, async () => {
    const made = pipeline(
      'p',
      ({ from }) => {
        const source = from<{ n: string }>('in', { name: 'in' });
        if (kind === 'read directly') return source.to('out.{partition}');
        source
          .keyBy('n')
          .process<number, { n: string }>({ name: 'pass', onRecord: ({ n }, context) => context.emit({ n }) })
          .to('out.{partition}');
      },
      { partitions: 2 },
    );
    const { cluster, host, pass, publish, rows } = await open(made, [{ name: 'in', subjects: ['in'] }]);
    for (let i = 1; i <= 5; i++) publish(`before ${i}`);
    await pass(3_000);
    const stream = cluster.broker.stream('in')!;
    const copy = stream.copy();
    for (let i = 6; i <= 10; i++) publish(`lost ${i}`);
    await pass(5_000);
    assert.equal(rows().length, 10);
    host.crash({ losesDisk: false });
    await pass(100);
    stream.putBack(copy);
    for (let i = 6; i <= 13; i++) {
      publish(`after ${i}`);
      await pass(10);
    }
    host.start();
    await pass(20_000);
    if (cluster.failure !== null) {
      assert.ok(isMillraceError(cluster.failure, 'STREAM_CHANGED'), String(cluster.failure));
      return;
    }
    const after = rows().filter(row => row.startsWith('after'));
    assert.equal(after.length, 8, `of what was published since: ${after.join(', ')}`);
  });
}

test('results at least once are all there when the journal was put back within the duplicate window', async () => {
  const made = pipeline('p', ({ from }) =>
    from<{ n: string }>('in', { name: 'in' }).to('out.rows', { mode: 'at-least-once' }),
  );
  const streams = [
    { name: 'in', subjects: ['in'] },
    { name: 'out', subjects: ['out.>'] },
  ];
  const { cluster, host, pass, publish, rows } = await open(made, streams);
  publish('1');
  await pass(3_000);
  const journal = cluster.broker.stream('MR_p_0_journal')!;
  const copy = journal.copy();
  // A commit of one row, then one of many.
  publish('2');
  await pass(100);
  for (let i = 3; i <= 7; i++) publish(String(i));
  await pass(100);
  assert.equal(rows().length, 7);
  host.crash({ losesDisk: true });
  await pass(100);
  journal.putBack(copy);
  host.start();
  // All that is read again is one commit, and what is new the next.
  for (let i = 0; i < 200 && host.pipeline?.status().counts.out === 0; i++) await pass(5);
  for (let i = 8; i <= 12; i++) publish(String(i));
  await pass(20_000);
  if (cluster.failure !== null) return;
  const missing = Array.from({ length: 12 }, (_, i) => String(i + 1)).filter(n => !rows().includes(n));
  assert.deepEqual(missing, []);
});
