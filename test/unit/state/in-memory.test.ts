/** Tables that stay in memory: for entries that nobody can name before they are touched. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TaskState } from '../../../lib/state/state.ts';
import { GatedStore } from './gated-store.ts';

function opened() {
  const state = new TaskState([
    { name: 'op.timers', key: 'key', kind: 'values', inMemory: true },
    { name: 'op.values', key: 'key', kind: 'values' },
  ]);
  const tables = state.tables('op');
  return {
    state,
    timers: tables.values<number>('timers'),
    values: tables.values<number>('values'),
  };
}

test('their entries are never evicted, and may be touched unwanted while all else is on disk', async () => {
  const { state, timers, values } = opened();
  const store = new GatedStore();
  for (let i = 0; i < 1_000; i++) {
    timers.set(i % 7, `k${i}`, i);
    values.set(i % 7, `k${i}`, i);
  }
  state.takeDelta();
  await store.write([...state.checkpoint().writes()]);
  state.checkpointLanded();
  state.evict(0);
  assert.equal(state.resident, false);
  assert.throws(() => values.get(0, 'k7'), { code: 'INVARIANT' });
  assert.equal(timers.get(0, 'k7'), 7);
  assert.equal([...timers.entries(3)].length, 143);
  timers.set(0, 'new', 1);
  timers.delete(0, 'k7');
  assert.equal(timers.get(0, 'k7'), undefined);
  state.takeDelta();
});

test('they come in whole whatever the budget', async () => {
  const before = opened();
  const store = new GatedStore();
  for (let i = 0; i < 1_000; i++) {
    before.timers.set(i % 7, `k${i}`, i);
    before.values.set(i % 7, `k${i}`, i);
  }
  before.state.takeDelta();
  await store.write([...before.state.checkpoint().writes()]);
  const { state, timers, values } = opened();
  await state.loadAll(store, { bytesMax: 0 });
  assert.equal(timers.get(6, 'k6'), 6);
  assert.equal([...timers.entries(0)].length, 143);
  assert.throws(() => values.get(6, 'k6'), { code: 'INVARIANT' });
});
