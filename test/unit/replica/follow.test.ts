/**
 * A replica that follows a task: as fresh as its journal, whatever its owner does meanwhile, and no less right than a cold
 * start when a task takes it over (*nothing missing*, *safe cut* and *trust*).
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import type { Blobs } from '../../../lib/port/blob.ts';
import { readPointer } from '../../../lib/replica/pointer.ts';
import type { Replica } from '../../../lib/replica/replica.ts';
import { withCalls } from '../outlet/rig.ts';
import { type Life, location, makeWorld } from './rig.ts';

type World = Awaited<ReturnType<typeof makeWorld>>;

const keys = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `k${(from + i) % 5}`);

const contentOf = ({ state }: Replica) =>
  [...state.entriesOf('op')].map(({ key, content }) => [key, content]).sort() as [string, number][];

/** Lets whoever waits go on, for a little while. */
const turn = ({ clock }: World) => clock.run(clock.monotonic() + 1_000);

/** A follower on a machine of its own. */
function followerOf(world: World, around: Parameters<World['replica']>[0] = {}) {
  const stores = new MemoryStores({ clock: world.clock });
  const replica = world.replica({ stores, ...around });
  const failures: unknown[] = [];
  replica.follow().catch(error => void failures.push(error));
  return { replica, stores, failures };
}

async function commits(life: Life, from: number, to: number, options: { checkpoint?: number; relayed?: boolean } = {}) {
  const { checkpoint, relayed } = options;
  for (const [i, key] of keys(from, to).entries()) {
    await life.commit(key, {
      checkpoint: from + i === checkpoint,
      ...(relayed === undefined ? {} : { relayed }),
    });
    await life.checkpoints.settle();
  }
}

/** The owner is gone, without a word. */
async function end(life: Life): Promise<void> {
  life.journal.stop();
  await life.checkpoints.stop();
}

describe('a replica', () => {
  test('is as fresh as the journal, from its beginning, a snapshot or later, through owners, checkpoints and cuts', async () => {
    const world = await makeWorld();
    const early = followerOf(world);
    const first = await world.live();
    await commits(first, 0, 10, { checkpoint: 4 });
    const middle = followerOf(world);
    await turn(world);
    await commits(first, 10, 20, { checkpoint: 12 });
    await first.journal.release();
    await end(first);
    await first.restored.store.close();
    const second = await world.live();
    await commits(second, 20, 40, { checkpoint: 25 });
    const late = followerOf(world);
    await commits(second, 40, 50);
    await turn(world);
    for (const { replica, failures } of [early, middle, late]) {
      assert.deepEqual(contentOf(replica), second.content);
      assert.deepEqual([replica.commit, replica.isFresh, failures], [50, true, []]);
      await replica.stop();
    }
  });

  test('is taken over whole, without its journal being read again, and what it checkpoints then has all of it', async () => {
    const world = await makeWorld();
    const first = await world.live();
    await commits(first, 0, 10, { checkpoint: 4 });
    let reads = 0;
    const log = withCalls(world.log, {
      read: options => {
        reads++;
        return world.log.read(options);
      },
    });
    const { replica, stores } = followerOf(world, { log });
    await commits(first, 10, 20, { checkpoint: 12 });
    await turn(world);
    await end(first);
    const second = await world.live({ stores }, replica);
    assert.equal(reads, 1);
    assert.deepEqual(second.content, first.content);
    assert.deepEqual(second.restored.place.toParts(), first.restored.place.toParts());
    assert.equal(second.journal.commit, 20);
    await commits(second, 20, 30, { checkpoint: 23 });
    await end(second);
    for (const disk of [stores, new MemoryStores({ clock: world.clock })]) {
      disk.crash();
      const third = await world.live({ stores: disk });
      assert.deepEqual(third.content, second.content);
      await end(third);
    }
  });

  test('that has followed for long cuts only what is there to be cut', async () => {
    const world = await makeWorld();
    const first = await world.live();
    const { replica, stores } = followerOf(world);
    for (let at = 0; at < 1_000; at++) {
      await first.commit(`k${at % 5}`, { checkpoint: at % 100 === 50 });
      if (at % 10 === 0) await world.clock.run(world.clock.monotonic() + 1);
      if (at % 100 === 50) await world.clock.runThrough(first.checkpoints.settle());
    }
    await turn(world);
    await end(first);
    let trims = 0;
    const log = withCalls(world.log, {
      trim: options => {
        trims++;
        return world.log.trim(options);
      },
    });
    const second = await world.live({ stores, log }, replica);
    assert.ok(second.restored.journal.commits < 300, `${second.restored.journal.commits} commits`);
    for (let at = 0; at < 3; at++) {
      await second.commit('a', { checkpoint: at === 0 });
      await world.clock.runThrough(second.checkpoints.settle());
    }
    assert.ok(trims >= 1 && trims <= 3, `${trims} trims`);
  });

  test('whose owner has cut what it had not read begins anew from the snapshot, by itself (*safe cut*)', async () => {
    const world = await makeWorld();
    const first = await world.live();
    await commits(first, 0, 6);
    // It hears of a few messages, and then for long of nothing.
    let left = 4;
    const log = withCalls(world.log, {
      read: options => {
        const reader = world.log.read(options);
        if (left <= 0) return reader;
        const take = reader.take.bind(reader);
        reader.take = limits => {
          const taken = left > 0 || isOpen ? take({ ...limits, messagesMax: isOpen ? 1000 : 1 }) : [];
          left -= taken.length;
          return taken;
        };
        waiting.push(() => reader.onReady?.());
        return reader;
      },
    });
    const waiting: (() => void)[] = [];
    let isOpen = false;
    const { replica, failures } = followerOf(world, { log });
    await turn(world);
    assert.equal(replica.commit, 3);
    await commits(first, 6, 20, { checkpoint: 12 });
    isOpen = true;
    for (const wake of waiting) wake();
    await turn(world);
    assert.deepEqual(contentOf(replica), first.content);
    assert.deepEqual(failures, []);
    await end(first);
    assert.deepEqual((await world.live({}, replica)).content, first.content);
  });

  test('waits, alarming nobody, while what it finds does not fit, and begins again when it does', async () => {
    const world = await makeWorld();
    const first = await world.live();
    await commits(first, 0, 10, { checkpoint: 4 });
    // The list of snapshots is as it was before there was one, and the journal has been cut.
    let isStale = true;
    const { blobs } = world;
    const stale: Blobs = {
      put: (name, content) => blobs.put(name, content),
      get: name => blobs.get(name),
      delete: () => assert.fail('whoever follows deletes nothing'),
      list: async prefix => (isStale ? [] : blobs.list(prefix)),
    };
    const { replica, failures } = followerOf(world, { blobs: stale });
    await world.rest();
    assert.deepEqual([replica.commit, failures], [0, []]);
    isStale = false;
    await world.rest();
    assert.deepEqual(contentOf(replica), first.content);
    await replica.stop();
  });

  test('has its store as of a snapshot, when a commit has named it, and keeps to its memory then', async () => {
    const world = await makeWorld();
    const first = await world.live();
    const { replica, stores } = followerOf(world, { stateBytesMax: 0 });
    const pointer = async () => {
      const store = await stores.open(location, { fresh: false }).catch(() => null);
      return store === null ? null : readPointer(store);
    };
    for (let i = 0; i < 40; i++) first.table.set(0, `many ${i}`, i);
    await first.commit('a', { checkpoint: true, relayed: false });
    await first.checkpoints.settle();
    await first.commit('b', { relayed: false });
    await turn(world);
    assert.equal(replica.state.resident, true, 'nothing can go that the store does not have');
    await first.commit('c');
    await turn(world);
    assert.equal(replica.state.resident, false);
    assert.equal(replica.state.entries, first.state.entries);
    // It is changed on disk, too.
    first.table.drop(0);
    await first.commit('d', { checkpoint: true });
    await first.checkpoints.settle();
    await first.commit('e');
    await turn(world);
    await replica.stop();
    assert.equal((await pointer())?.commit, 4);
    stores.crash();
    const again = followerOf(world, { stores }).replica;
    await turn(world);
    await end(first);
    const second = await world.live({ stores }, again);
    assert.equal(second.restored.from, 'store');
    assert.deepEqual(second.content, first.content);
  });

  test('that is taken over while its owner was at a checkpoint finishes that, or has it in the next', async () => {
    for (const reached of ['nothing', 'segments', 'snapshot'] as const) {
      for (const more of [true, false]) {
        const world = await makeWorld();
        const first = await world.live();
        await commits(first, 0, 10, { checkpoint: 4 });
        const { replica, stores } = followerOf(world);
        await end(first);
        await first.restored.store.close();
        // The next owner gets so far with its checkpoint, and no further.
        const { blobs } = world;
        const put: Blobs['put'] = (name, content) =>
          reached === 'nothing' || (reached === 'segments' && name.includes('/manifest/'))
            ? new Promise(() => {})
            : blobs.put(name, content);
        const dying: Blobs = {
          ...{ put, get: name => blobs.get(name), list: prefix => blobs.list(prefix) },
          delete: name => blobs.delete(name),
        };
        const second = await world.live({ blobs: dying });
        await second.commit('at', { checkpoint: true, relayed: false });
        await second.commit('after', { relayed: false });
        await turn(world);
        await end(second);
        if (more) {
          // Another one, between them, that takes a checkpoint and comes to nothing with it, either.
          const between = await world.live({ blobs: dying, stores: new MemoryStores({ clock: world.clock }) });
          await between.commit('between', { checkpoint: true, relayed: false });
          await turn(world);
          await end(between);
        }
        const third = await world.clock.runThrough(world.live({ stores }, replica));
        const where = `${reached} ${more}`;
        const counts = new Map(third.content);
        assert.deepEqual([counts.get('at'), counts.get('after'), counts.get('k0')], [1, 1, 2], where);
        await turn(world);
        await third.checkpoints.settle();
        await commits(third, 30, 34, { checkpoint: 31 });
        await end(third);
        for (const disk of [stores, new MemoryStores({ clock: world.clock })]) {
          disk.crash();
          const fourth = await world.live({ stores: disk });
          assert.deepEqual(fourth.content, third.content, where);
          await end(fourth);
        }
      }
    }
  });

  test('has a store that counts for nothing while it has changes of no snapshot', async () => {
    const world = await makeWorld();
    const { replica, stores } = followerOf(world);
    const first = await world.live();
    await commits(first, 0, 6, { checkpoint: 2 });
    await end(first);
    for (let owner = 0; owner < 2; owner++) {
      // Each takes a checkpoint and comes to nothing with it.
      const put = () => new Promise<never>(() => {});
      const { blobs } = world;
      const dying: Blobs = { ...{ put, get: name => blobs.get(name) }, ...{ list: at => blobs.list(at), delete: put } };
      const stores = new MemoryStores({ clock: world.clock });
      const life = await world.live({ blobs: dying, stores });
      await life.commit(`owner ${owner}`, { checkpoint: true });
      await turn(world);
      await end(life);
    }
    await replica.stop();
    const store = (await stores.open(location, { fresh: false }))!;
    assert.equal(await readPointer(store), null);
    await store.close();
    const second = await world.live({ stores });
    assert.deepEqual(new Map(second.content).get('owner 1'), 1);
  });

  test('tells of owners that begin and end', async () => {
    const world = await makeWorld();
    const first = await world.live();
    const said: string[] = [];
    const { replica } = followerOf(world, { onOwner: ({ kind, epoch }) => void said.push(`${kind} ${epoch}`) });
    await first.commit('a');
    await first.journal.release();
    await turn(world);
    assert.deepEqual(said, ['claim 1', 'release 1']);
    await replica.stop();
  });

  test('ends when it is stopped, whatever it waits for, and with what cannot pass', async () => {
    const world = await makeWorld();
    for (const blobs of [world.blobs, { ...never(), get: async () => null }]) {
      const { replica, failures } = followerOf(world, { blobs });
      await replica.stop();
      await turn(world);
      assert.deepEqual(failures, []);
    }
    const first = await world.live();
    await first.commit('a');
    const { failures } = followerOf(world, { tables: {} });
    await turn(world);
    assert.ok(isMillraceError(failures[0], 'PLAN_INCOMPATIBLE'), String(failures[0]));
  });
});

/** Blobs that have no manifest yet. */
function never(): Blobs {
  return { put: async () => true, get: async () => null, delete: async () => {}, list: async () => [] };
}
