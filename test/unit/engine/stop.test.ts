/**
 * A stop waits for what was promised and for nothing else: what of a checkpoint or a cut is under way is left to whoever
 * follows (*left as it is*), and a task that does not run yet is left as it was found. Here, what is not to be waited
 * for never ends.
 *
 *   task   claim ─ commits ─ checkpoint ·················· never ends
 *   stop                         ├─ rows out ─ release ─┤
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Random } from '../../../lib/base/random.ts';
import { Pipeline } from '../../../lib/engine/pipeline.ts';
import { pipeline } from '../../../lib/index.ts';
import { decodeHead } from '../../../lib/journal/entry.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import type { Event } from '../../../lib/observe/events.ts';
import type { Blobs } from '../../../lib/port/blob.ts';
import type { Log } from '../../../lib/port/log.ts';
import type { Store, Stores } from '../../../lib/port/store.ts';
import { journalStream, journalSubject } from '../../../lib/record/names.ts';
import type { TaskLimits } from '../../../lib/task/surroundings.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';
import { bytesOf, textOf, unsure, withCall, withCalls } from '../outlet/rig.ts';
import { never } from '../replica/rig.ts';

const LIFE = 'l1';
const PLACE = { pipeline: 'p', life: LIFE };
const DEADLINE_MS = 3_600_000;

async function makeWorld() {
  const random = new Random(1);
  const clock = new SimClock({ random: random.fork() });
  const broker = new MemoryBroker({ clock, random: random.fork(), messageBytesMax: 1 << 20 });
  const log = broker.client('worker');
  broker.create({ name: 'in', subjects: ['in'] });
  const plan = await planOrThrow(
    pipeline(
      'p',
      ({ from }) => {
        const ids = from<{ id: string }>('in', { name: 'in' }).keyBy('id');
        ids.dedupe({ id: row => row.id, within: '1h' }).to('out.{partition}', { name: 'out' });
      },
      { partitions: 1 },
    ),
    log,
  );
  const blobs: Blobs = new MemoryBlobs({ clock });
  const stores: Stores = new MemoryStores({ clock });
  const events: Event[] = [];
  const run = async (
    around: { log?: Log; blobs?: Blobs; stores?: Stores; limits?: Partial<TaskLimits> } = {},
  ): Promise<Pipeline> => {
    const { limits = {}, ...ports } = around;
    const observer = { emit: (event: Event) => void events.push(event) };
    const own = { log, clock, random: random.fork(), observer, stores, blobs, ...ports };
    const one = new Pipeline({ plan, around: own, life: LIFE, limits });
    await one.start();
    return one;
  };
  const pass = (ms: number) => clock.run(clock.monotonic() + ms);
  /** Stops with a deadline that nobody waits for. True: it is stopped long before. */
  const stopped = async (one: Pipeline): Promise<boolean> => {
    let isOver = false;
    void one.stop({ deadlineMs: DEADLINE_MS }).then(() => {
      isOver = true;
    });
    await pass(60_000);
    return isOver;
  };
  let sent = 0;
  const send = async (count: number, options: { apartMs: number }) => {
    for (let i = 0; i < count; i++) {
      await log.append({ subject: 'in', data: bytesOf(JSON.stringify({ id: `e${sent++}` })) });
      await pass(options.apartMs);
    }
  };
  const rows = () => {
    const stream = broker.stream('out')!;
    const found: string[] = [];
    for (let seq = stream.firstSeq; seq <= stream.lastSeq; seq++) {
      const message = stream.at(seq);
      if (message?.subject.startsWith('out.') === true) found.push(...textOf(message).split('\n').filter(Boolean));
    }
    return found;
  };
  const wanted = () => Array.from({ length: sent }, (_, i) => JSON.stringify({ id: `e${i}` }));
  const lastEntry = async () => {
    const stage = plan.stages[0]!.name;
    const subject = journalSubject(PLACE, { stage, partition: 0 });
    return decodeHead((await log.last({ stream: journalStream(PLACE), subject }))!.data).kind;
  };
  return { clock, broker, log, blobs, stores, events, run, pass, stopped, send, rows, wanted, lastEntry };
}

type World = Awaited<ReturnType<typeof makeWorld>>;

/** Whoever follows has all of it, and what comes then. */
async function followed(world: World): Promise<void> {
  const next = await world.run();
  await world.pass(5_000);
  await world.send(3, { apartMs: 50 });
  await world.pass(5_000);
  assert.deepEqual(world.rows(), world.wanted());
  assert.equal(next.status().state, 'running');
  assert.ok(await world.stopped(next));
}

const OFTEN = { checkpointBytes: 1 };

describe('a stop', () => {
  for (const kind of ['segment', 'manifest']) {
    test(`does not wait for the ${kind} of a checkpoint, and the task is released`, async () => {
      const world = await makeWorld();
      const put: Blobs['put'] = (name, content) =>
        name.includes(`/${kind}/`) ? never : world.blobs.put(name, content);
      const blobs = { ...bound(world.blobs), put };
      const one = await world.run({ blobs, limits: OFTEN });
      await world.pass(1_000);
      await world.send(5, { apartMs: 50 });
      assert.ok(await world.stopped(one));
      assert.equal(await world.lastEntry(), 'release');
      assert.deepEqual(world.rows(), world.wanted());
      await followed(world);
    });
  }

  test('does not wait for a step of a cut, and none is begun after it', async () => {
    const world = await makeWorld();
    let trims = 0;
    const log = withCall(world.log, 'trim', really => options => {
      if (!isJournal(options)) return really(options);
      trims++;
      return never;
    });
    const one = await world.run({ log, limits: OFTEN });
    await world.pass(1_000);
    await world.send(6, { apartMs: 200 });
    assert.ok(trims > 0, 'a cut is under way');
    const before = trims;
    assert.ok(await world.stopped(one));
    assert.equal(trims, before);
    assert.equal(await world.lastEntry(), 'release');
    await followed(world);
  });

  test('ends a cut after the step in hand', async () => {
    const world = await makeWorld();
    let trims = 0;
    let isHeld = true;
    let goOn: () => void = () => {};
    const log = withCall(world.log, 'trim', really => async options => {
      if (!isJournal(options)) return really(options);
      trims++;
      if (isHeld) await new Promise<void>(resolve => (goOn = resolve));
      return really(options);
    });
    // Steps are of 128 messages: a checkpoint once after several of them.
    const one = await world.run({ log, limits: { checkpointBytes: 50_000 } });
    await world.pass(1_000);
    await world.send(600, { apartMs: 10 });
    assert.equal(trims, 1, 'the first of several steps is under way');
    void one.stop({ deadlineMs: DEADLINE_MS });
    await world.pass(1_000);
    isHeld = false;
    goOn();
    await world.pass(60_000);
    assert.equal(trims, 1);
    await followed(world);
  });

  test('waits for the write that the store has in hand, after the task is released', async () => {
    const world = await makeWorld();
    let finish: () => void = () => {};
    const order: string[] = [];
    const stores: Stores = {
      open: async (location, options) => {
        const store = await world.stores.open(location, options);
        if (store === null) return null;
        const write: Store['write'] = async batch => {
          order.push('begun');
          await new Promise<void>(resolve => (finish = resolve));
          await store.write(batch);
          order.push('written');
        };
        const close = async () => {
          order.push('closed');
          await store.close();
        };
        return { ...boundStore(store), write, close };
      },
      discard: location => world.stores.discard(location),
      list: () => world.stores.list(),
    };
    const one = await world.run({ stores, limits: OFTEN });
    await world.pass(1_000);
    await world.send(3, { apartMs: 50 });
    assert.deepEqual(order, ['begun']);
    assert.equal(await world.stopped(one), false);
    assert.equal(await world.lastEntry(), 'release');
    finish();
    await world.pass(1_000);
    assert.deepEqual(order, ['begun', 'written', 'closed']);
    await followed(world);
  });

  test('at its deadline gives up what it had to wait for, and says so', async () => {
    const world = await makeWorld();
    let isDeaf = false;
    const log = withCall(world.log, 'append', really => async message => {
      if (isDeaf && message.subject.startsWith('out.')) return unsure;
      return really(message);
    });
    const one = await world.run({ log });
    await world.pass(1_000);
    isDeaf = true;
    await world.send(2, { apartMs: 50 });
    let isOver = false;
    void one.stop({ deadlineMs: 5_000 }).then(() => {
      isOver = true;
    });
    await world.pass(4_900);
    assert.equal(isOver, false, 'rows that were promised are waited for');
    await world.pass(2_000);
    assert.equal(isOver, true);
    assert.match(String(world.events.at(-1)?.message), /was stopped before it was done/);
    await followed(world);
  });
});

describe('a stop of a task that does not run yet', () => {
  const claims = ['claim', 'commit'];
  const holes: Readonly<Record<string, (world: World) => { log?: Log; blobs?: Blobs }>> = {
    'while its journal is claimed': ({ log }) => ({ log: withCall(log, 'append', () => async () => unsure) }),
    'while its journal is read': ({ log }) => ({
      log: withCalls(log, {
        read: options => (options.stream.endsWith('_journal') ? silence(log.read(options)) : log.read(options)),
      }),
    }),
    'while what is left to send is sent': ({ log }) => ({
      log: withCall(
        log,
        'append',
        really => async message => (message.subject.startsWith('out.') ? unsure : really(message)),
      ),
    }),
  };
  for (const [when, hole] of Object.entries(holes)) {
    test(`${when} leaves it as it was found, and nobody is alarmed`, async () => {
      const world = await makeWorld();
      // The owner before has committed rows that are not out, and has ended without a word.
      let isDeaf = false;
      const deaf = withCall(
        world.log,
        'append',
        really => async message => (isDeaf && message.subject.startsWith('out.') ? unsure : really(message)),
      );
      const before = await world.run({ log: deaf, limits: OFTEN });
      await world.pass(1_000);
      await world.send(4, { apartMs: 300 });
      isDeaf = true;
      await world.send(2, { apartMs: 50 });
      void before.stop({ deadlineMs: 0 });
      await world.pass(5_000);
      world.events.length = 0;
      const one = await world.run(hole(world));
      await world.pass(3_000);
      assert.notEqual(one.status().tasks[0]!.state, 'running');
      assert.ok(await world.stopped(one), 'it is stopped long before the deadline');
      assert.deepEqual(
        world.events.filter(({ event }) => event.startsWith('task.')),
        [],
      );
      assert.ok(claims.includes(await world.lastEntry()), 'nothing was handed over, for nothing was done');
      await followed(world);
    });
  }
});

test('a stop while state is restored ends that after the blob in hand', async () => {
  const world = await makeWorld();
  const before = await world.run({ limits: OFTEN });
  await world.pass(1_000);
  await world.send(4, { apartMs: 300 });
  assert.ok(await world.stopped(before));
  const gets: string[] = [];
  let goOn: () => void = () => {};
  const get: Blobs['get'] = async name => {
    if (!name.includes('/manifest/') && !name.includes('/segment/')) return world.blobs.get(name);
    gets.push(name);
    await new Promise<void>(resolve => (goOn = resolve));
    return world.blobs.get(name);
  };
  const stores = new MemoryStores({ clock: world.clock });
  const one = await world.run({ blobs: { ...bound(world.blobs), get }, stores });
  await world.pass(1_000);
  assert.equal(one.status().tasks[0]!.state, 'restoring');
  void one.stop({ deadlineMs: DEADLINE_MS });
  await world.pass(1_000);
  goOn();
  await world.pass(60_000);
  assert.equal(one.status().state, 'stopped');
  assert.equal(gets.length, 1, 'the segments that the manifest names are left to the next owner');
  await followed(world);
});

function isJournal({ stream }: { stream: string }): boolean {
  return stream === journalStream(PLACE);
}

function bound(blobs: Blobs): Blobs {
  return {
    get: name => blobs.get(name),
    put: (name, content) => blobs.put(name, content),
    list: prefix => blobs.list(prefix),
    delete: name => blobs.delete(name),
  };
}

function boundStore(store: Store): Store {
  return {
    getMany: keys => store.getMany(keys),
    range: options => store.range(options),
    clear: options => store.clear(options),
    write: batch => store.write(batch),
    close: () => store.close(),
  };
}

/** A reader that nothing comes to. */
function silence(reader: ReturnType<Log['read']>): ReturnType<Log['read']> {
  return {
    take: () => [],
    onReady: null,
    caughtUp: false,
    look: () => reader.look(),
    left: null,
    nextTimeMs: null,
    error: null,
    stop: () => reader.stop(),
  };
}
