/**
 * A registry that was lost knows no plan to judge a deploy by, and the life goes on from its journals. FAILS: state of windows of ten
 * seconds is read as that of windows of a minute, since tables are told apart by name alone.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { count, pipeline, tumbling } from '../../../lib/index.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { ensureStreams } from '../../../lib/partition/streams.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';

const made = (sizeMs: number) =>
  pipeline('p', ({ from }) =>
    from<{ k: string }>('in', { name: 'in' })
      .keyBy('k')
      .window(tumbling(sizeMs), { name: 'windows' })
      .aggregate({ clicks: count() })
      .to('out.{partition}'),
  );

test('a life that has begun is gone on with by plans of its own layout alone', async () => {
  const clock = new SimClock();
  const broker = new MemoryBroker({ clock });
  const log = broker.client('worker');
  broker.create({ name: 'in', subjects: ['in'] });
  const around = { log, blobs: new MemoryBlobs({ clock }), deployment: { pipeline: 'p', life: '0' } };
  const plan = await planOrThrow(made(10_000), log);
  await ensureStreams(plan, around);
  await ensureStreams(plan, around);
  const other = await planOrThrow(made(60_000), log);
  assert.notEqual(other.fingerprint, plan.fingerprint);
  await assert.rejects(ensureStreams(other, around), error => isMillraceError(error, 'PLAN_INCOMPATIBLE'));
});
