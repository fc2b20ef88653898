/** Number tables with so many entries that evicting gives back pages, and moves what is left of them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Random } from '../../../lib/base/random.ts';
import type { TaskState } from '../../../lib/state/state.ts';
import { stateOf } from './declared.ts';
import { GatedStore } from './gated-store.ts';

const KEYS = 12_000;

function opened() {
  const state = stateOf({ 'op.numbers': 'numbers' });
  return { state, numbers: state.tables('op').numbers('numbers') };
}

async function checkpoint(state: TaskState, store: GatedStore): Promise<void> {
  await store.write([...state.checkpoint().writes()]);
  state.checkpointLanded();
}

describe('a number table with many pages', () => {
  test('holds what a map holds, evicted in the middle of batches that have changed and pinned some of it', async () => {
    const random = new Random(7);
    const { state, numbers } = opened();
    const replica = opened();
    const store = new GatedStore();
    const model = new Map<string, number>();
    for (let i = 0; i < KEYS; i++) {
      numbers.set(0, `key ${i}`, i);
      model.set(`key ${i}`, i);
    }
    replica.state.applyDelta(state.takeDelta()!);
    let halves = 0;
    for (let round = 0; round < 60; round++) {
      if (round % 3 === 0) await checkpoint(state, store);
      state.evict(round % 5 === 0 ? 0 : state.bytes / 2);
      // Two steps, as of two operators: what the first has changed is there when the second is prefetched.
      for (let step = 0; step < 2; step++) {
        const keys = Array.from({ length: 40 }, () => `key ${random.int(KEYS)}`);
        if (!state.resident) {
          halves++;
          for (const key of keys) state.wants().key(numbers, 0, key);
          const read = state.prefetch(store);
          state.evict(0);
          await read;
          state.evict(0);
        }
        for (const [i, key] of keys.entries()) {
          assert.equal(numbers.get(0, key), model.get(key));
          if (i % 4 === 0) {
            numbers.delete(0, key);
            model.delete(key);
          } else if (i % 2 === 0) {
            numbers.set(0, key, round);
            model.set(key, round);
          }
        }
      }
      replica.state.applyDelta(state.takeDelta()!);
      state.endBatch();
      assert.equal(state.entries, model.size);
    }
    assert.ok(halves > 50, `${halves} steps ran on a state that was partly on disk`);
    state.wants().bucket(numbers, 0);
    await state.prefetch(store);
    assert.deepEqual(new Map(numbers.entries(0)), model);
    assert.deepEqual(new Map(replica.numbers.entries(0)), model);
    state.endBatch();
  });

  test('what the batch in hand has changed is told as it is, though all around it is evicted', async () => {
    const { state, numbers } = opened();
    const replica = opened();
    const store = new GatedStore();
    for (let i = 0; i < KEYS; i++) numbers.set(0, `key ${i}`, i);
    replica.state.applyDelta(state.takeDelta()!);
    await checkpoint(state, store);
    for (let i = 0; i < KEYS / 2; i += 50) numbers.set(0, `key ${i}`, -1);
    for (let i = KEYS / 2; i < KEYS; i += 50) state.wants().key(numbers, 0, `key ${i}`);
    state.evict(0);
    for (let i = KEYS / 2; i < KEYS; i += 50) numbers.delete(0, `key ${i}`);
    replica.state.applyDelta(state.takeDelta()!);
    state.endBatch();
    const expected = (i: number) => (i % 50 !== 0 ? i : i < KEYS / 2 ? -1 : undefined);
    for (let i = 0; i < KEYS; i++) assert.equal(replica.numbers.get(0, `key ${i}`), expected(i), `key ${i}`);
    await checkpoint(state, store);
    state.evict(0);
    state.wants().bucket(numbers, 0);
    await state.prefetch(store);
    for (let i = 0; i < KEYS; i++) assert.equal(numbers.get(0, `key ${i}`), expected(i), `key ${i}`);
    state.endBatch();
  });

  test('gives back what it took: evicted to a half it takes about that, emptied or dropped nothing', async () => {
    const { state, numbers } = opened();
    const store = new GatedStore();
    for (let i = 0; i < KEYS; i++) numbers.set(i % 2, `key ${i}`, i);
    state.takeDelta();
    const full = state.bytes;
    assert.ok(full < KEYS * 70, `${full / KEYS} bytes an entry`);
    await checkpoint(state, store);
    // Used ones are scattered over all pages, and spared as long as others can go.
    for (let i = 0; i < KEYS; i += 50) state.wants().key(numbers, i % 2, `key ${i}`);
    state.endBatch();
    state.evict(full / 4);
    assert.ok(state.bytes <= full / 4);
    for (let i = 0; i < KEYS; i += 50) assert.equal(numbers.get(i % 2, `key ${i}`), i, 'a used one was spared');
    state.evict(0);
    assert.ok(state.bytes < 4_000, `${state.bytes} bytes are left of nothing`);
    numbers.drop(0);
    numbers.drop(1);
    assert.equal(state.entries, 0);
  });

  test('goes through a bucket while it is looked at in pieces, though it is evicted and read back meanwhile', async () => {
    const { state, numbers } = opened();
    const store = new GatedStore();
    const keys = Array.from({ length: KEYS }, (_, i) => `key ${String(i).padStart(6, '0')}`);
    for (const key of keys) numbers.set(0, key, 1);
    state.takeDelta();
    await checkpoint(state, store);
    const picked = await state.look.pickKeys({ table: 'op.numbers', bucket: 0, after: null }, KEYS, async () => {
      state.evict(0);
      state.wants().bucket(numbers, 0);
      await state.prefetch(store);
      state.endBatch();
    });
    assert.deepEqual(picked.keys, keys);
  });
});
