/**
 * Blobs that take nothing for long. FAILS: the journal, which a restore holds in memory, grows without a bound, and no status says
 * more than that a write waits.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MillraceError } from '../../../lib/base/errors.ts';
import { pipeline } from '../../../lib/index.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';
import { Cluster } from '../../sim/cluster.ts';

const CHECKPOINT_BYTES = 2_000;
/** Far more than four times late. */
const TIMES_MAX = 50;

test('a task whose checkpoints cannot be written reads no more than a restart can hold', async () => {
  const made = pipeline(
    'p',
    ({ from }) =>
      from<{ k: string; pad: string }>('in', { name: 'in' })
        .keyBy('k')
        .process<string, { n: number }>({
          name: 'kept',
          onRecord({ pad }, context) {
            context.state = pad;
          },
        })
        .to('out.{partition}'),
    { partitions: 1 },
  );
  const setup = new Cluster({ seed: 1, plan: null as never, limits: {}, messageBytesMax: 1 });
  await setup.client().ensureStream({ name: 'in', subjects: ['in'] });
  const plan = await planOrThrow(made, setup.client());
  const limits = { checkpointBytes: CHECKPOINT_BYTES, batchRecordsMax: 10 };
  const cluster = new Cluster({ seed: 1, plan, limits, messageBytesMax: 1 << 20 });
  cluster.broker.create({ name: 'in', subjects: ['in'] });
  cluster.broker.faults = { delayMs: [0.1, 1] };
  const { put } = MemoryBlobs.prototype;
  MemoryBlobs.prototype.put = function (name, content) {
    if (!name.includes('/segment/')) return put.call(this, name, content);
    return Promise.reject(new MillraceError('BROKER_UNAVAILABLE', 'the stream of blobs is full'));
  };
  try {
    const host = cluster.addHost();
    host.start();
    const pad = 'x'.repeat(400);
    for (let second = 1; second <= 30; second++) {
      for (let i = 0; i < 50; i++) {
        const data = Buffer.from(JSON.stringify({ k: `k${i}`, pad: pad + second }));
        cluster.broker.land([{ subject: 'in', data }], false);
      }
      await cluster.clock.run(second * 1_000);
    }
    const { journalBytes } = host.pipeline!.status().tasks[0]!;
    assert.ok(journalBytes <= TIMES_MAX * CHECKPOINT_BYTES, `${journalBytes} bytes of journal`);
  } finally {
    MemoryBlobs.prototype.put = put;
  }
});
