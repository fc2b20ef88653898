/**
 * Streams whose limit to a message (`max_msg_size`) is lowered while a pipeline runs: it goes on in smaller messages, and
 * says what it waits for where nothing smaller can be made.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Random } from '../../../lib/base/random.ts';
import { Pipeline } from '../../../lib/engine/pipeline.ts';
import { pipeline } from '../../../lib/index.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';
import type { SinkOptions } from '../../../lib/topology/types.ts';
import { bytesOf, textOf, unsure, withCall } from '../outlet/rig.ts';

async function makeWorld(to: string, options: SinkOptions) {
  const random = new Random(3);
  const clock = new SimClock({ random: random.fork() });
  const broker = new MemoryBroker({ clock, random: random.fork(), messageBytesMax: 1 << 20 });
  const log = broker.client('worker');
  broker.create({ name: 'in', subjects: ['in'] });
  const plan = await planOrThrow(
    pipeline('p', ({ from }) => from<{ id: string }>('in', { name: 'in' }).keyBy('id').to(to, options), {
      partitions: 1,
    }),
    log,
  );
  /** Nothing gets to the results while it is set. */
  const held = { is: false };
  const isHeld = (subject: string) => held.is && subject.startsWith('out.');
  let by = withCall(log, 'append', really => async one => (isHeld(one.subject) ? unsure : really(one)));
  by = withCall(
    by,
    'appendBatch',
    really => async all => (all.some(({ subject }) => isHeld(subject)) ? unsure : really(all)),
  );
  const around = {
    ...{ log: by, clock, random: random.fork(), observer: { emit() {} } },
    blobs: new MemoryBlobs({ clock }),
    stores: new MemoryStores({ clock }),
  };
  const running = new Pipeline({ plan, around, life: 'l1', limits: {} });
  await running.start();
  const pass = (ms: number) => clock.run(clock.monotonic() + ms);
  await pass(2_000);
  let sent = 0;
  const send = async (count: number, bytes: number) => {
    const pad = 'x'.repeat(bytes);
    for (let i = 0; i < count; i++)
      await log.append({ subject: 'in', data: bytesOf(JSON.stringify({ id: `e${sent++}`, pad })) });
  };
  const messages = (name: string) => {
    const stream = broker.stream(name)!;
    const found = [];
    for (let seq = stream.firstSeq; seq <= stream.lastSeq; seq++) found.push(stream.at(seq));
    return found.filter(message => message !== null);
  };
  const ids = () =>
    messages('out')
      .filter(({ subject }) => subject.startsWith('out.'))
      .flatMap(message => textOf(message).split('\n').filter(Boolean))
      .map(row => (JSON.parse(row) as { id: string }).id);
  const wanted = () => Array.from({ length: sent }, (_, i) => `e${i}`);
  const narrow = (bytes: number | null, which: (name: string) => boolean) => {
    for (const stream of broker.streams()) if (which(stream.settings.name)) stream.messageBytesMax = bytes;
  };
  return { running, pass, send, ids, wanted, held, narrow, messages };
}

const WAYS: readonly (readonly [string, string, SinkOptions])[] = [
  ['owned', 'out.{partition}', { frame: 'ndjson' }],
  ['shared', 'out.{id}', { frame: 'ndjson' }],
];

for (const [mode, to, options] of WAYS) {
  describe(`a pipeline whose sink is ${mode}`, () => {
    test('goes on in smaller messages when all its streams take less', async () => {
      const world = await makeWorld(to, options);
      await world.send(100, 100);
      await world.pass(5_000);
      // Larger messages are on their way at this moment.
      world.held.is = true;
      await world.send(200, 100);
      await world.pass(500);
      world.narrow(1_100, name => name !== 'in');
      await world.send(200, 100);
      world.held.is = false;
      await world.pass(60_000);
      assert.deepEqual(world.ids().sort(), world.wanted().sort());
      assert.equal(world.running.status().state, 'running');
      const largest = Math.max(
        ...world
          .messages('out')
          .slice(-20)
          .map(({ data }) => data.length),
      );
      assert.ok(largest <= 1_100 && (mode === 'shared' || largest > 300), String(largest));
      await world.running.stop({ deadlineMs: 1_000 });
    });

    test('says what a row waits for that was small enough when it was made, and goes on when it is again', async () => {
      const world = await makeWorld(to, options);
      world.held.is = true;
      await world.send(5, 2_000);
      await world.pass(1_000);
      world.narrow(1_100, name => name === 'out');
      world.held.is = false;
      await world.pass(30_000);
      assert.deepEqual(world.ids(), []);
      const { state, reason } = world.running.status();
      assert.equal(state, 'waiting');
      assert.match(reason!, /1100 are taken/);
      // What is made from now on is a letter.
      world.narrow(null, name => name === 'out');
      await world.pass(60_000);
      assert.deepEqual(world.ids().sort(), world.wanted().sort());
      assert.equal(world.running.status().state, 'running');
      world.narrow(1_100, name => name === 'out');
      await world.pass(2_000);
      await world.send(1, 200);
      await world.pass(2_000);
      await world.send(1, 2_000);
      await world.pass(5_000);
      assert.deepEqual(world.ids().sort(), world.wanted().slice(0, -1).sort());
      const letters = world.messages('MR_p_letters').filter(({ subject }) => subject.startsWith('millrace.p.dead.'));
      assert.deepEqual(
        letters.map(({ headers }) => headers?.['Millrace-Error']),
        ['MESSAGE_TOO_LARGE'],
      );
      assert.equal(world.running.status().state, 'running');
      await world.running.stop({ deadlineMs: 1_000 });
    });
  });
}
