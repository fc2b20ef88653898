/** Restoring from a store and from a snapshot, within a budget. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { GatedStore } from './gated-store.ts';
import { checkpoint, commit, held, isInvariant } from './held.ts';

describe('restoring', () => {
  test('from a store, the newest buckets come into memory first and the rest stays on disk', async () => {
    const task = held();
    const store = new GatedStore();
    for (let bucket = 0; bucket < 20; bucket++) {
      for (let i = 0; i < 500; i++) task.values.set(bucket, `k${i}`, { bucket, i });
    }
    commit(task);
    await checkpoint(task, store);
    const back = held();
    await back.state.loadAll(store, { bytesMax: task.state.bytes / 2 });
    assert.equal(back.state.entries, 10_000);
    assert.equal(back.state.resident, false);
    assert.deepEqual(back.values.get(19, 'k1'), { bucket: 19, i: 1 });
    assert.throws(() => back.values.get(0, 'k1'), isInvariant);
    assert.deepEqual(back.values.bucketsBelow(3), [0, 1, 2]);
    assert.ok(back.state.bytes < task.state.bytes * 0.7);
  });

  test('from segments, the next checkpoint fills the store and adds nothing to the snapshot', async () => {
    const task = held();
    for (let i = 0; i < 100; i++) task.values.set(i % 3, `k${i}`, i);
    commit(task);
    const source = new GatedStore();
    const segments = [...(await checkpoint(task, source))];
    for (let i = 0; i < 10; i++) task.values.delete(i % 3, `k${i}`);
    commit(task);
    segments.push(...(await checkpoint(task, source)));
    const back = held();
    await back.state.loadSegments(segments);
    const store = new GatedStore();
    assert.deepEqual(await checkpoint(back, store), []);
    assert.deepEqual([...store.content].sort(), [...source.content].sort());
    const again = held();
    await again.state.loadAll(store, { bytesMax: 1e9 });
    assert.deepEqual(new Map(again.values.entries(2)), new Map(task.values.entries(2)));
  });

  test('from segments, a state larger than the memory goes to its store on the way, once', async () => {
    const task = held();
    const segments: Uint8Array[] = [];
    const source = new GatedStore();
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 200; i++)
        task.values.set((i + round * 100) % 3, `k${i + round * 100}`, { round, text: 'x'.repeat(50) });
      commit(task);
      segments.push(...(await checkpoint(task, source)));
    }
    const back = held();
    const store = new GatedStore();
    await back.state.loadSegments(segments, { store, bytesMax: 20_000 });
    assert.ok(store.writes < 2_100, `${store.writes} writes for the 2000 of the segments`);
    assert.ok(back.state.bytes < 60_000, `${back.state.bytes} bytes`);
    assert.equal(back.state.entries, 1_100);
    const writes = [...back.state.checkpoint().writes()];
    assert.ok(writes.length <= 3, `${writes.length} writes are left`);
    await store.write(writes);
    assert.deepEqual([...store.content].sort(), [...source.content].sort());
  });

  test('a store that lost an entry, a count or the total is not trusted', async () => {
    const isCorrupt = (error: unknown) => isMillraceError(error, 'STORE_CORRUPT');
    for (const lost of ['op.values', '!count', '!total']) {
      const task = held();
      const store = new GatedStore();
      for (const key of ['a', 'b']) task.values.set(0, key, 1);
      commit(task);
      await checkpoint(task, store);
      store.content.delete([...store.content.keys()].find(key => key.startsWith(lost))!);
      await assert.rejects(held().state.loadAll(store, { bytesMax: 1e9 }), isCorrupt, lost);
      if (lost !== 'op.values') continue;
      task.state.evict(0);
      task.state.wants().bucket(task.values, 0);
      await assert.rejects(task.state.prefetch(store), isCorrupt);
    }
  });
});
