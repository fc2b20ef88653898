/** Checkpoints: whatever step a process dies after, state is restored whole, into an empty folder too (*safe cut*). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import type { Blobs } from '../../../lib/port/blob.ts';
import type { Store, Stores } from '../../../lib/port/store.ts';
import { Turns } from '../../../lib/replica/turns.ts';
import { type Life, location, makeWorld, never } from './rig.ts';

type World = Awaited<ReturnType<typeof makeWorld>>;

/** Blobs and stores of a process that dies with its `left`-th write to them; `then`: it dies after that write is done. */
function mortal({ blobs, stores }: World, left: number, then: 'done' | 'undone') {
  const steps: string[] = [];
  const step = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    if (left < 0) return never;
    if (left-- > 0) {
      steps.push(name);
      return work();
    }
    if (then === 'done') await work();
    return never;
  };
  const dying: Blobs = {
    put: (name, content) => step(name.includes('/manifest/') ? 'manifest' : 'segment', () => blobs.put(name, content)),
    get: name => blobs.get(name),
    list: prefix => blobs.list(prefix),
    delete: name => step('delete', () => blobs.delete(name)),
  };
  const dyingStores: Stores = {
    open: async (place, options) => {
      const store = await stores.open(place, options);
      if (store === null) return null;
      const wrapped: Store = {
        getMany: keys => store.getMany(keys),
        range: options => store.range(options),
        clear: options => store.clear(options),
        close: () => store.close(),
        write: batch => step('store', () => store.write(batch)),
      };
      return wrapped;
    },
    discard: place => stores.discard(place),
    list: () => stores.list(),
  };
  return { blobs: dying, stores: dyingStores, steps };
}

/** Two rounds of checkpoint and announcement, so that old blobs are deleted too. Hangs where the process dies. */
async function work(world: World, around: { blobs: Blobs; stores: Stores }): Promise<number> {
  let commits = 0;
  const run = async () => {
    const life = await world.live(around);
    for (let i = 0; i < 9; i++) {
      await life.commit(`k${i % 4}`, { checkpoint: i % 3 === 0 });
      commits++;
      if (i % 3 === 0) await life.checkpoints.settle();
    }
  };
  void run();
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve));
  return commits;
}

function counted(commits: number): [string, number][] {
  const counts = new Map<string, number>();
  for (let i = 0; i < commits; i++) counts.set(`k${i % 4}`, (counts.get(`k${i % 4}`) ?? 0) + 1);
  return [...counts].sort();
}

describe('a checkpoint', () => {
  test('is written in order: segments, manifest, store; and old blobs go only after a commit has named it', async () => {
    const world = await makeWorld();
    const around = mortal(world, 1_000, 'done');
    assert.equal(await work(world, around), 9);
    const rounds = around.steps.join(' ').replaceAll(/(segment|delete)( \1)+/g, '$1');
    assert.equal(rounds, 'segment manifest store segment manifest store delete segment manifest store delete');
  });

  test('can be interrupted after any step, and state is whole with the disk or without it', async () => {
    const probe = await makeWorld();
    const around = mortal(probe, 1_000, 'done');
    await work(probe, around);
    assert.ok(around.steps.length > 8);
    for (let left = 0; left < around.steps.length; left++) {
      for (const then of ['done', 'undone'] as const) {
        for (const losesDisk of [false, true]) {
          const world = await makeWorld();
          await work(world, mortal(world, left, then));
          if (losesDisk) world.stores.loseEverything();
          else world.stores.crash();
          const next = await world.live();
          const where = `step ${left} ${around.steps[left]} ${then}, disk ${losesDisk ? 'lost' : 'kept'}`;
          assert.deepEqual(next.content, counted(next.journal.commit), where);
          // And the life after: what it checkpoints has all of it.
          await next.commit('k9', { checkpoint: true });
          await next.checkpoints.settle();
          await next.commit('k9');
          world.stores.loseEverything();
          const third = await world.live();
          assert.equal(third.restored.from, 'snapshot', where);
          assert.deepEqual(third.content, [...counted(next.journal.commit - 2), ['k9', 2]], where);
        }
      }
    }
  });

  test('that is large reaches the store in several writes, and may be interrupted between any two', async () => {
    const entries = 10_000;
    const run = async (world: World, around: { blobs: Blobs; stores: Stores }) => {
      const life = await world.live(around);
      for (let round = 1; round <= 2; round++) {
        // The second has other keys, too: the store does not only get newer values.
        for (let i = 0; i < entries; i++) life.table.set(0, `key ${i * round}`, round);
        // Not relayed, so that the journal is not cut and the first store is still known in the second round.
        await life.commit('a', { checkpoint: true, relayed: false });
        await life.checkpoints.settle();
      }
    };
    const probe = await makeWorld();
    const { steps, ...around } = mortal(probe, 1_000, 'done');
    void run(probe, around);
    await probe.rest();
    const writes = steps.flatMap((name, step) => (name === 'store' ? [step] : []));
    assert.equal(writes.length, 6, steps.join(' '));
    for (const left of writes) {
      const world = await makeWorld();
      void run(world, mortal(world, left, 'undone'));
      await world.rest();
      world.stores.crash();
      const next = await world.live();
      const round = left < writes[3]! ? 1 : 2;
      const expected = new Map<string, number>([['a', round]]);
      for (let at = 1; at <= round; at++) for (let i = 0; i < entries; i++) expected.set(`key ${i * at}`, at);
      assert.deepEqual(new Map(next.content), expected, `the ${left}th step`);
      // Before the first of the writes the store counts as what it was; between two of them it does not count.
      assert.equal(next.restored.from, left === writes[3] ? 'store' : 'snapshot');
    }
  });

  test('is not in the store before it is in the blobs', async () => {
    const world = await makeWorld();
    let reachable = false;
    const blobs: Blobs = {
      put: async (name, content) => {
        if (!reachable) throw new MillraceError('BROKER_UNAVAILABLE', 'away');
        return world.blobs.put(name, content);
      },
      get: name => world.blobs.get(name),
      list: prefix => world.blobs.list(prefix),
      delete: name => world.blobs.delete(name),
    };
    const life = await world.live({ blobs });
    await life.commit('a', { checkpoint: true });
    await world.rest();
    const pointer = async () => {
      const { readPointer } = await import('../../../lib/replica/pointer.ts');
      return readPointer(life.restored.store);
    };
    assert.equal(await pointer(), null);
    assert.equal(life.checkpoints.announce(99), null);
    // It is tried again for as long as it takes, since what it holds is marked as told.
    reachable = true;
    await world.rest();
    assert.equal((await pointer())?.commit, 1);
    assert.deepEqual(life.errors, []);
  });

  test('ends the task when the blobs refuse for good', async () => {
    const world = await makeWorld();
    const refuse = () => Promise.reject(new MillraceError('BROKER_REFUSED', 'no'));
    const blobs: Blobs = { put: refuse, get: refuse, delete: refuse, list: prefix => world.blobs.list(prefix) };
    const life = await world.live({ blobs });
    await life.commit('a', { checkpoint: true });
    await world.rest();
    assert.ok(isMillraceError(life.errors[0], 'BROKER_REFUSED'));
  });

  test('is named only when all of its commits are relayed, and once', async () => {
    const { live } = await makeWorld();
    const life = await live();
    await life.commit('a');
    await life.commit('a', { checkpoint: true });
    await life.checkpoints.settle();
    assert.equal(life.checkpoints.announce(1), null);
    assert.equal(life.checkpoints.announce(2)?.manifest.commitSeq, 2);
    assert.equal(life.checkpoints.announce(9), null);
  });

  test('waits for the one before it', async () => {
    const { live } = await makeWorld();
    const { checkpoints, state, table } = await live();
    table.set(0, 'a', 1);
    state.takeDelta();
    const begin = (commitBytes: number) =>
      checkpoints.begin({
        state,
        commitBytes,
        limits: { checkpointBytes: 10, checkpointSliceEntries: 1, stateBytesMax: 1 << 30 },
      });
    assert.equal(begin(9), null);
    assert.notEqual(begin(1), null);
    assert.equal(begin(1_000), null);
  });

  test('that is merged with others is written in steps, between which others have their turn', async () => {
    const world = await makeWorld();
    const life = await world.live();
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 2_000; i++) life.table.set(0, `key ${i}`, round);
      await life.commit('a', { checkpoint: true });
      let settled = false;
      void life.checkpoints.settle().then(() => {
        settled = true;
      });
      for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve));
      // The first has nothing to merge, and its segments are made already.
      assert.equal(settled, round === 0, 'whether it went on without asking the clock for a turn');
      await world.rest();
      assert.equal(settled, true);
      await life.commit('a');
    }
    world.stores.loseEverything();
    assert.deepEqual((await world.live()).content, life.content);
  });

  test('waits for its turn, unless it is late, and leaves it when it is written or the task ends', async () => {
    const turns = new Turns(1);
    const task = async () => (await makeWorld()).live({ turns });
    const [first, second, third] = await Promise.all([task(), task(), task()]);
    await first.commit('a', { checkpoint: true });
    const begin = ({ checkpoints, state, table }: Life, commitBytes: number) => {
      table.set(0, 'a', 1);
      state.takeDelta();
      const limits = { checkpointBytes: 10, checkpointSliceEntries: 100, stateBytesMax: 1 << 30 };
      return checkpoints.begin({ state, commitBytes, limits });
    };
    assert.equal(begin(second, 10), null);
    await first.checkpoints.settle();
    assert.notEqual(begin(second, 1), null);
    assert.equal(begin(third, 10), null);
    assert.notEqual(begin(third, 31), null, 'late ones do not wait');
    assert.equal(turns.take(), null);
    await second.checkpoints.stop();
    assert.notEqual(turns.take(), null);
  });

  test('keeps journal and blobs bounded, however long the task runs', async () => {
    const { live, broker, blobs, clock } = await makeWorld();
    const life = await live();
    for (let i = 0; i < 300; i++) {
      await life.commit(`k${i % 4}`, { checkpoint: i % 5 === 0 });
      await clock.runThrough(life.checkpoints.settle());
      assert.ok(broker.stream('J')!.info().messages <= 13, `${broker.stream('J')!.info().messages} messages`);
    }
    assert.ok((await blobs.list(location)).length < 20);
    assert.deepEqual(life.content, counted(300));
  });
});
