/**
 * Snapshots that are not what the owner before has left: put back to an older copy, as a leader shows that was just deposed,
 * or damaged before any commit named them.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import type { Blobs } from '../../../lib/port/blob.ts';
import { type Life, makeWorld } from './rig.ts';

async function end({ journal, checkpoints, restored }: Life): Promise<void> {
  journal.stop();
  await checkpoints.stop();
  await restored.store.close();
}

/** A first life that has made a snapshot, which a commit names. */
async function withSnapshot() {
  const world = await makeWorld();
  const first = await world.live();
  await first.commit('a', { checkpoint: true });
  await first.checkpoints.settle();
  await first.commit('b');
  await first.checkpoints.settle();
  return { world, first };
}

/** It writes a second one, to the store, too; results wait to be sent, so no commit names it yet. */
async function endUnnamed(first: Life): Promise<void> {
  await first.commit('c', { checkpoint: true, relayed: false });
  await first.checkpoints.settle();
  await first.commit('d', { relayed: false });
  await end(first);
}

test('what a store has and the snapshot has not is in the next snapshot, or nobody goes on', async () => {
  const { world, first } = await withSnapshot();
  const { blobs } = world;
  const old = new Set(await blobs.list(''));
  await endUnnamed(first);

  // Whatever came to the blobs since is not seen any more.
  for (const name of await blobs.list('')) if (!old.has(name)) await blobs.delete(name);

  let second: Life;
  try {
    second = await world.live();
  } catch (error) {
    assert.ok(isMillraceError(error, 'JOURNAL_CORRUPT'), String(error));
    return;
  }
  const all: [string, number][] = ['a', 'b', 'c', 'd'].map(key => [key, 1]);
  assert.deepEqual(second.content, all, 'now');
  await second.commit('e', { checkpoint: true });
  await second.checkpoints.settle();
  await second.commit('f');
  await second.checkpoints.settle();
  await end(second);

  const third = await world.live({ stores: new MemoryStores({ clock: world.clock }) });
  assert.deepEqual(third.content, [...all, ['e', 1], ['f', 1]], 'on another machine');
});

test('a list of snapshots that is a moment old ends nothing for good', async () => {
  const { world, first } = await withSnapshot();
  const { blobs } = world;
  const old = await blobs.list('');
  const contents = new Map(await Promise.all(old.map(async name => [name, await blobs.get(name)] as const)));
  await first.commit('c', { checkpoint: true });
  await first.checkpoints.settle();
  await first.commit('d');
  await first.checkpoints.settle();
  await end(first);

  let stale = 2;
  const deposed: Blobs = {
    put: (name, content) => blobs.put(name, content),
    delete: name => blobs.delete(name),
    get: async name => (stale > 0 ? (contents.get(name) ?? null) : blobs.get(name)),
    list: async prefix => (stale-- > 0 ? old.filter(name => name.startsWith(prefix)) : blobs.list(prefix)),
  };
  let passing: unknown = null;
  const living = world
    .live({ blobs: deposed, stores: new MemoryStores({ clock: world.clock }) })
    .catch(error => void (passing = error));
  for (let i = 0; i < 10; i++) await world.rest();
  const second = await living;
  if (passing !== null) assert.ok(isMillraceError(passing) && passing.fate === 'retry', String(passing));
  else assert.equal(second!.content.length, 4);
});

test('a snapshot that no commit names and nobody can read is passed over', async () => {
  const { world, first } = await withSnapshot();
  const { blobs } = world;
  const old = new Set(await blobs.list(''));
  await endUnnamed(first);

  // The sweep has taken its chunks for an upload that was given up: its writer was frozen for more than an hour.
  for (const name of await blobs.list('')) if (!old.has(name) && name.includes('/segment/')) blobs.corrupt(name);
  const stores = new MemoryStores({ clock: world.clock });
  await assert.rejects(world.clock.runThrough(world.live({ stores })), { code: 'CONFLICT' });
  const second = await world.clock.runThrough(world.live({ stores }));
  assert.deepEqual(
    second.content,
    [...'abcd'].map(key => [key, 1]),
  );
});

test('a snapshot of a history that was put back is noticed, also by who has a store of its own', async () => {
  const world = await makeWorld();
  const own = new MemoryStores({ clock: world.clock });
  const first = await world.live({ stores: own });
  await first.commit('a', { checkpoint: true, relayed: false });
  await first.checkpoints.settle();
  await end(first);
  const second = await world.live();
  await second.commit('b', { relayed: false });
  const stream = world.broker.stream('J')!;
  const copy = stream.copy();
  await second.commit('lost', { checkpoint: true, relayed: false });
  await second.checkpoints.settle();
  await end(second);
  stream.putBack(copy);

  let third: Life;
  try {
    const living = world.live({ stores: own });
    living.catch(() => {});
    for (let i = 0; i < 10; i++) await world.rest();
    third = await living;
  } catch (error) {
    assert.ok(isMillraceError(error) && error.fate === 'stop', String(error));
    return;
  }
  for (const key of ['c', 'd']) await third.commit(key);
  await third.commit('e', { checkpoint: true });
  await third.checkpoints.settle();
  await third.commit('f');
  await third.checkpoints.settle();
  await end(third);
  const fourth = await world.live({ stores: new MemoryStores({ clock: world.clock }) });
  assert.deepEqual(
    fourth.content.map(([key]) => key),
    [...'abcdef'],
  );
});
