/** What is in memory and what is not: wanting, prefetching, evicting, and their races. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GatedStore } from './gated-store.ts';
import { checkpoint, commit, held, isInvariant, pageOut } from './held.ts';

describe('memory', () => {
  test('an entry on disk that was not wanted is not guessed at (*counted on disk*)', async () => {
    const task = held();
    const store = new GatedStore();
    for (const key of ['a', 'b']) task.values.set(0, key, key);
    task.lists.append(0, 'a', 1);
    await pageOut(task, store);
    assert.equal(task.state.resident, false);
    for (const access of [
      () => task.values.get(0, 'a'),
      () => task.values.get(0, 'none'),
      () => task.values.set(0, 'a', 1),
      () => task.values.delete(0, 'a'),
      () => task.values.entries(0),
      () => task.lists.append(0, 'a', 1),
    ]) {
      assert.throws(access, isInvariant);
    }
    assert.equal(task.values.get(1, 'a'), undefined, 'a bucket that does not exist needs no reading');
    assert.deepEqual(task.values.bucketsBelow(5), [0]);
  });

  test('wanting tells what can be looked at already, and reads the rest in one go', async () => {
    const task = held();
    const store = new GatedStore();
    for (const key of ['a', 'b', 'c']) task.values.set(0, key, key);
    await pageOut(task, store);
    const wants = task.state.wants();
    assert.deepEqual(
      ['a', 'b', 'none', 'a'].map(key => wants.key(task.values, 0, key)),
      [false, false, false, false],
    );
    assert.equal(wants.key(task.values, 9, 'a'), true);
    store.reads = 0;
    assert.equal(await task.state.prefetch(store), 3);
    assert.equal(store.reads, 1);
    assert.deepEqual(
      ['a', 'none'].map(key => wants.key(task.values, 0, key)),
      [true, true],
    );
    assert.equal(await task.state.prefetch(store), 0);
    assert.deepEqual(
      ['a', 'b', 'none'].map(key => task.values.get(0, key)),
      ['a', 'b', undefined],
    );
    assert.throws(() => task.values.get(0, 'c'), isInvariant);
    commit(task);
    assert.throws(() => task.values.get(0, 'none'), isInvariant, 'what was known to be absent is known for one batch');
    assert.equal(wants.bucket(task.values, 0), false);
    await task.state.prefetch(store);
    assert.deepEqual([...task.values.entries(0)].length, 3);
    assert.equal(task.state.resident, true);
    commit(task);
  });

  test('what a batch found in memory is still there when the rest has been read (*held for the batch*)', async () => {
    for (const whole of [false, true]) {
      const task = held();
      const store = new GatedStore();
      for (const key of ['a', 'b']) task.values.set(0, key, key);
      task.values.set(1, 'c', 'c');
      await pageOut(task, store);
      task.state.wants().key(task.values, 0, 'a');
      task.state.wants().bucket(task.values, 1);
      await task.state.prefetch(store);
      commit(task);
      // The next batch finds `a` and `c` in memory and waits for `b`.
      task.state.wants().key(task.values, 0, 'a');
      task.state.wants().key(task.values, 0, 'b');
      if (whole) task.state.wants().bucket(task.values, 1);
      else task.state.wants().key(task.values, 1, 'none');
      store.hold('reads');
      const read = task.state.prefetch(store);
      task.state.evict(0);
      store.release('reads');
      await read;
      task.state.evict(0);
      assert.equal(task.values.get(0, 'a'), 'a');
      assert.equal(task.values.get(0, 'b'), 'b');
      if (whole) assert.deepEqual([...task.values.entries(1)], [['c', 'c']]);
      else assert.equal(task.values.get(1, 'none'), undefined);
      commit(task);
      task.state.evict(0);
      assert.throws(() => task.values.get(0, 'a'), isInvariant);
    }
  });

  test('a deleted entry does not come back when its bucket was being read as the delete landed', async () => {
    for (const isWhole of [false, true]) {
      const task = held();
      const store = new GatedStore();
      for (const key of ['a', 'b']) task.values.set(0, key, key);
      await pageOut(task, store);
      task.state.wants().key(task.values, 0, 'a');
      await task.state.prefetch(store);
      task.values.delete(0, 'a');
      commit(task);
      const writes = [...task.state.checkpoint().writes()];
      if (isWhole) task.state.wants().bucket(task.values, 0);
      else task.state.wants().key(task.values, 0, 'a');
      store.hold('reads');
      const read = task.state.prefetch(store);
      await store.write(writes);
      task.state.checkpointLanded();
      store.release('reads');
      await read;
      assert.equal(task.values.get(0, 'a'), undefined);
      if (isWhole) assert.deepEqual([...task.values.entries(0)], [['b', 'b']]);
      assert.equal(task.state.entries, 1);
      commit(task);
    }
  });

  test('eviction takes the oldest buckets first, spares what was used lately, and leaves what is not stored (*only clean entries leave*)', async () => {
    const task = held();
    const store = new GatedStore();
    for (let bucket = 0; bucket < 10; bucket++) {
      for (let i = 0; i < 500; i++) task.values.set(bucket, `k${i}`, 'x'.repeat(100));
    }
    commit(task);
    await checkpoint(task, store);
    task.state.wants().key(task.values, 0, 'k7');
    await task.state.prefetch(store);
    commit(task);
    task.values.set(0, 'k8', 'changed');
    commit(task);
    const before = task.state.bytes;
    task.state.evict(before / 2);
    assert.ok(task.state.bytes <= before / 2 && task.state.bytes > before / 3, `${task.state.bytes} of ${before}`);
    assert.equal(task.state.entries, 5_000);
    assert.equal(task.values.get(0, 'k7'), 'x'.repeat(100));
    assert.equal(task.values.get(0, 'k8'), 'changed');
    assert.throws(() => task.values.get(0, 'k9'), isInvariant);
    assert.equal(task.values.get(9, 'k9'), 'x'.repeat(100));
  });

  test('a batch cannot end before what it wanted was read', async () => {
    const task = held();
    const store = new GatedStore();
    task.values.set(0, 'a', 1);
    await pageOut(task, store);
    task.state.wants().key(task.values, 0, 'a');
    assert.throws(() => task.state.endBatch(), isInvariant);
  });
});
