/**
 * The start of a pipeline while the broker is away or full: it is waited for in the background, so that the status can say
 * why, and a stop need not wait for the broker.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MillraceError } from '../../../lib/base/errors.ts';
import { Random } from '../../../lib/base/random.ts';
import { Pipeline } from '../../../lib/engine/pipeline.ts';
import { pipeline } from '../../../lib/index.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import { silent } from '../../../lib/observe/events.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';

/** A pipeline on virtual time whose broker answers `refusal` to whoever asks for a stream, until that is null. */
async function waiting() {
  const random = new Random(1);
  const clock = new SimClock({ random: random.fork() });
  const broker = new MemoryBroker({ clock, random: random.fork(), messageBytesMax: 1 << 20 });
  const log = broker.client('worker');
  broker.create({ name: 'in', subjects: ['in'] });
  const plan = await planOrThrow(
    pipeline('p', ({ from }) => from('in').to('out.{partition}')),
    log,
  );
  const state = { refusal: new MillraceError('BROKER_UNAVAILABLE', 'no room for a stream') as MillraceError | null };
  const ensureStream = log.ensureStream.bind(log);
  log.ensureStream = async settings => {
    if (state.refusal !== null) throw state.refusal;
    return ensureStream(settings);
  };
  const around = { log, clock: log.clock, random, observer: silent };
  const blobs = new MemoryBlobs({ clock });
  const stores = new MemoryStores({ clock });
  const one = new Pipeline({ plan, around: { ...around, stores, blobs } });
  return { one, clock, state };
}

test('a start that must wait says why at once, and goes on by itself', async () => {
  const { one, clock, state } = await waiting();
  await one.start();
  assert.equal(one.status().state, 'starting');
  assert.equal(one.status().reason, 'no room for a stream');
  await clock.run(5_000);
  assert.equal(one.status().state, 'starting');
  state.refusal = null;
  await clock.run(30_000);
  assert.equal(one.status().state, 'running');
  assert.equal(one.status().reason, null);
});

test('a stream that was made meanwhile under the name of one of ours, for something else, is told of and left as it is', async () => {
  const clock = new SimClock();
  const broker = new MemoryBroker({ clock });
  const log = broker.client('worker');
  const captured = pipeline('p', ({ from }) => from('a_b', { capture: true }).to('out.{partition}'));
  const plan = await planOrThrow(captured, log);
  broker.create({ name: 'a_b', subjects: ['a.b'] });
  const blobs = new MemoryBlobs({ clock });
  const stores = new MemoryStores({ clock });
  const one = new Pipeline({ plan, around: { log, clock, random: new Random(1), observer: silent, stores, blobs } });
  await assert.rejects(one.start(), {
    code: 'BROKER_REFUSED',
    message: "stream a_b is there and does not keep a_b: nats stream edit a_b --subjects='a.b,a_b', or remove it",
  });
  assert.deepEqual(broker.stream('a_b')?.settings.subjects, ['a.b']);
});

test('a start that waits can be stopped', async () => {
  const { one, clock } = await waiting();
  await one.start();
  await one.stop({ deadlineMs: 1_000 });
  await clock.run(30_000);
  assert.equal(one.status().state, 'stopped');
  assert.equal(one.status().tasks.length, 0);
});

test('what cannot pass while it waits ends the pipeline with its reason', async () => {
  const { one, clock, state } = await waiting();
  await one.start();
  state.refusal = new MillraceError('BROKER_REFUSED', 'not permitted');
  await clock.run(30_000);
  assert.equal((await one.failed).code, 'BROKER_REFUSED');
  assert.equal(one.status().state, 'failed');
});

test('what cannot pass is told to the caller at once', async () => {
  const { one, state } = await waiting();
  state.refusal = new MillraceError('BROKER_REFUSED', 'not permitted');
  await assert.rejects(one.start(), /not permitted/);
});
