/** What a pipeline writes while nothing comes: how far event time is, now and then, and none of it twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../../lib/base/random.ts';
import { Pipeline } from '../../../lib/engine/pipeline.ts';
import { pipeline } from '../../../lib/index.ts';
import { decodeCommit, decodeHead, HEAD_BYTES } from '../../../lib/journal/entry.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import { silent } from '../../../lib/observe/events.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';

const QUIET_MS = 60_000;

test('a pipeline to which nothing comes journals a step of event time once each, also where the broker is slow', async () => {
  const random = new Random(1);
  const clock = new SimClock({ random: random.fork() });
  const broker = new MemoryBroker({ clock, random: random.fork(), messageBytesMax: 1 << 20 });
  const log = broker.client('worker');
  broker.create({ name: 'in', subjects: ['in'] });
  const plan = await planOrThrow(
    pipeline(
      'p',
      ({ from }) => {
        from<{ id: string }>('in')
          .keyBy('id')
          .dedupe({ id: row => row.id, within: '1h' })
          .to('out.{partition}');
      },
      { partitions: 1 },
    ),
    log,
  );
  // An append takes 0.6 s, in which a task is woken several times.
  broker.faults = { delayMs: [300, 300] };
  const around = { log, clock: log.clock, random, observer: silent };
  const one = new Pipeline({
    plan,
    around: { ...around, stores: new MemoryStores({ clock }), blobs: new MemoryBlobs({ clock }) },
  });
  await clock.runThrough(one.start());
  broker.land([{ subject: 'in', data: Buffer.from('{"id":"a"}') }], false);
  await clock.run(clock.monotonic() + 30_000);
  const journal = broker.streams().find(({ settings }) => settings.name.endsWith('_journal'))!;
  const from = journal.lastSeq + 1;
  await clock.run(clock.monotonic() + QUIET_MS);
  const steps: number[] = [];
  for (let seq = from; seq <= journal.lastSeq; seq++) {
    const { data } = journal.at(seq)!;
    steps.push(decodeCommit(decodeHead(data), data.subarray(HEAD_BYTES)).watermarkMs);
  }
  assert.ok(steps.length >= 10 && steps.length <= QUIET_MS / 1_500, `${steps.length} commits`);
  assert.deepEqual(
    steps,
    [...new Set(steps)].sort((a, b) => a - b),
    'each says more than the one before',
  );
});
