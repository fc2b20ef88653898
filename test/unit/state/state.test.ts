/** What a state promises operators, the journal and the store, one sentence at a time. Histories are in `model.test.ts`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { TaskState } from '../../../lib/state/state.ts';
import { stateOf } from './declared.ts';
import { GatedStore } from './gated-store.ts';
import { checkpoint, commit, held, isInvariant, pageOut } from './held.ts';

describe('tables', () => {
  test('a name is declared once, and cannot be what the schema of the disk keeps for itself', () => {
    for (const name of ['!count.x', 'a\0b.x']) assert.throws(() => stateOf({ [name]: 'values' }), isInvariant);
    const twice = [
      { name: 'op.x', key: 'key', kind: 'values' },
      { name: 'op.x', key: 'key', kind: 'lists' },
    ] as const;
    assert.throws(() => new TaskState(twice), isInvariant);
  });

  test('a table is opened once, as what it is declared, and no other is', () => {
    const { state } = held();
    assert.throws(() => state.tables('op').values('values'), isInvariant);
    assert.throws(() => state.tables('op').values('none'), isInvariant);
    assert.throws(() => state.tables('dedupe').values('seen'), isInvariant);
    assert.throws(() => state.tables('dedupe').lists('seen'), isInvariant);
    state.tables('dedupe').numbers('seen');
  });

  test('a state that was reset is as one that was just made, whatever was under way', async () => {
    const task = held();
    const store = new GatedStore();
    const numbers = task.state.tables('dedupe').numbers('seen');
    const fill = () => {
      for (let i = 0; i < 500; i++) {
        task.values.set(i % 3, `k${i}`, i);
        task.lists.append(i % 3, `k${i}`, i);
        numbers.set(i % 3, `k${i}`, i);
      }
    };
    fill();
    commit(task);
    await checkpoint(task, store);
    task.state.evict(0);
    numbers.set(7, 'x', 1);
    commit(task);
    task.state.checkpoint();
    task.state.wants().key(task.values, 0, 'k0');
    task.values.drop(1);
    task.state.reset();
    assert.deepEqual([task.state.entries, task.state.dirtyEntries, task.state.resident], [0, 0, true]);
    assert.equal(task.state.bytes, held().state.bytes);
    assert.equal(task.state.takeDelta(), null);
    fill();
    const other = held();
    const others = other.state.tables('dedupe').numbers('seen');
    for (let i = 0; i < 500; i++) {
      other.values.set(i % 3, `k${i}`, i);
      other.lists.append(i % 3, `k${i}`, i);
      others.set(i % 3, `k${i}`, i);
    }
    assert.deepEqual(commit(task), commit(other));
    assert.deepEqual(await checkpoint(task, new GatedStore()), await checkpoint(other, new GatedStore()));
  });

  test('a bucket is a safe integer, a value is not undefined, and an item must exist to be replaced', () => {
    const { values, lists } = held();
    for (const bucket of [0.5, Number.NaN, 2 ** 53]) assert.throws(() => values.set(bucket, 'k', 1), isInvariant);
    assert.throws(() => values.set(0, 'k', undefined), isInvariant);
    lists.append(0, 'k', 'item');
    for (const index of [1, -1, 0.5]) assert.throws(() => lists.replace(0, 'k', index, 'x'), isInvariant);
    assert.throws(() => lists.replace(0, 'none', 0, 'x'), isInvariant);
  });

  test('buckets below a limit are told in order, and only those that have entries', () => {
    const { values } = held();
    assert.deepEqual(values.bucketsBelow(100), []);
    for (const bucket of [5, -2, 9, 7]) values.set(bucket, 'k', 1);
    assert.deepEqual(values.bucketsBelow(9), [-2, 5, 7]);
    values.delete(5, 'k');
    values.drop(-2);
    assert.deepEqual(values.bucketsBelow(9), [7]);
    assert.deepEqual(values.bucketsBelow(7), []);
    values.set(-2, 'again', 1);
    assert.deepEqual(values.bucketsBelow(0), [-2]);
  });

  test('the entry in hand may be deleted while its bucket is gone through', () => {
    const { values } = held();
    for (const key of ['a', 'b', 'c']) values.set(0, key, key);
    const seen: string[] = [];
    for (const [key] of values.entries(0)) {
      seen.push(key);
      values.delete(0, key);
    }
    assert.deepEqual(seen, ['a', 'b', 'c']);
    assert.deepEqual([...values.entries(0)], []);
  });
});

describe('deltas', () => {
  test('nothing is told of what came and went between two of them', () => {
    const task = held();
    task.values.set(1, 'a', 1);
    task.values.delete(1, 'a');
    task.lists.append(2, 'b', 1);
    task.lists.drop(2);
    task.values.delete(3, 'never');
    task.values.drop(4);
    assert.equal(commit(task), null);
    assert.equal(task.state.deltaBytes, 0);
    assert.equal(task.state.entries, 0);
  });

  test('of a long list only what was appended or replaced is told', () => {
    const task = held();
    for (let i = 0; i < 10_000; i++) task.lists.append(0, 'hot', { t: i, v: 'some value' });
    const whole = commit(task)!;
    task.lists.append(0, 'hot', { t: 10_000, v: 'new' });
    task.lists.replace(0, 'hot', 3, { t: 3, v: 'matched' });
    const delta = commit(task)!;
    assert.ok(whole.length > 100_000);
    assert.ok(delta.length < 200, `${delta.length} bytes`);
    const replica = held();
    replica.state.applyDelta(whole);
    replica.state.applyDelta(delta);
    assert.deepEqual(replica.lists.get(0, 'hot'), task.lists.get(0, 'hot'));
  });

  test('equal histories give equal bytes, whatever was on disk', async () => {
    const [resident, paged] = [held(), held()];
    const store = new GatedStore();
    const deltas = [resident, paged].map(async task => {
      const all: (Uint8Array | null)[] = [];
      for (let batch = 0; batch < 5; batch++) {
        if (task === paged) {
          for (const key of ['x', 'y', 'z'])
            for (const table of [task.values, task.lists]) task.state.wants().key(table, 0, key);
          await task.state.prefetch(store);
        }
        task.values.set(0, 'x', { batch });
        task.lists.append(0, 'y', batch);
        if (batch % 2 === 0) task.values.set(0, 'z', batch);
        else task.values.delete(0, 'z');
        all.push(commit(task));
        if (task === paged) await pageOut(task, store);
      }
      return all;
    });
    assert.deepEqual(await deltas[0], await deltas[1]);
    assert.equal(paged.state.resident, false);
  });

  test('their length is estimated well enough to cut batches', () => {
    const task = held();
    for (let i = 0; i < 5_000; i++) task.values.set(i % 3, `key-${i}`, { id: i, price: i / 7, text: 'about so long' });
    for (let i = 0; i < 5_000; i++) task.lists.append(0, `key-${i % 50}`, { t: 1_700_000_000_000 + i, n: i });
    const estimate = task.state.deltaBytes;
    const actual = commit(task)!.length;
    assert.ok(estimate > actual * 0.6 && estimate < actual * 1.6, `estimated ${estimate}, was ${actual}`);
  });

  test('a delta is refused while own changes are not taken, and when it is not the next one', () => {
    const [task, replica] = [held(), held()];
    task.lists.append(0, 'k', 1);
    const first = commit(task)!;
    task.lists.append(0, 'k', 2);
    const second = commit(task)!;
    assert.throws(
      () => replica.state.applyDelta(second),
      error => isMillraceError(error, 'JOURNAL_CORRUPT'),
    );
    const other = held();
    other.values.set(0, 'k', 1);
    assert.throws(() => other.state.applyDelta(first), isInvariant);
  });

  test('state of a table that nobody declares is refused rather than lost', async () => {
    const task = held();
    task.values.set(0, 'k', 1);
    const delta = commit(task)!;
    const store = new GatedStore();
    const segments = await checkpoint(task, store);
    const stranger = () => stateOf({ 'another.values': 'values' });
    const isRefusal = (error: unknown) =>
      isMillraceError(error, 'PLAN_INCOMPATIBLE') && /op\.values/.test(error.message);
    assert.throws(() => stranger().applyDelta(delta), isRefusal);
    await assert.rejects(stranger().loadAll(store, { bytesMax: 1e9 }), isRefusal);
    await assert.rejects(stranger().loadSegments(segments), isRefusal);
  });

  test('a value that cannot be packed is refused by name', () => {
    const task = held();
    task.values.set(0, 'k', { callback: () => 1 });
    assert.throws(
      () => commit(task),
      error => isMillraceError(error, 'RECORD_UNWRITABLE') && /callback/.test(error.message),
    );
  });
});

describe('checkpoints', () => {
  test('what came and went since the last one never touches the disk', async () => {
    const task = held();
    const store = new GatedStore();
    task.values.set(1, 'a', 1);
    task.lists.append(2, 'b', 1);
    commit(task);
    task.values.delete(1, 'a');
    task.lists.drop(2);
    commit(task);
    const { writes, segments } = task.state.checkpoint();
    assert.deepEqual([[...writes()], [...segments()]], [[], []]);
    await store.write([]);
    task.state.checkpointLanded();
  });

  test('a stored entry that is deleted is one delete, a stored bucket that is dropped one clear', async () => {
    const task = held();
    const store = new GatedStore();
    for (const key of ['a', 'b']) task.values.set(1, key, 1);
    for (const key of ['a', 'b', 'c']) task.values.set(2, key, 1);
    await pageOut(task, store);
    task.state.wants().key(task.values, 1, 'a');
    await task.state.prefetch(store);
    task.values.delete(1, 'a');
    task.values.drop(2);
    commit(task);
    const writes = [...task.state.checkpoint().writes()];
    // Then counts: the bucket that goes loses its own, the other's and the total change.
    assert.deepEqual(
      writes.map(write => write.type),
      ['del', 'clear', 'put', 'del', 'put'],
    );
    await store.write(writes);
    task.state.checkpointLanded();
    assert.equal(store.content.size, 3);
  });

  test('they wait for changes to be taken, and for the one before', () => {
    const task = held();
    task.values.set(0, 'k', 1);
    assert.throws(() => task.state.checkpoint(), isInvariant);
    commit(task);
    task.state.checkpoint();
    assert.throws(() => task.state.checkpoint(), isInvariant);
    task.state.checkpointLanded();
    assert.throws(() => task.state.checkpointLanded(), isInvariant);
  });

  test('prepared in slices they are as if taken at once', async () => {
    const task = held();
    const store = new GatedStore();
    for (let i = 0; i < 100; i++) task.values.set(i % 4, `k${i}`, { i });
    commit(task);
    let slices = 1;
    while (task.state.prepareCheckpoint(10)) {
      // In the middle, what was written already changes, goes, or goes with its bucket.
      if (slices++ !== 5) continue;
      task.values.set(0, 'k0', { i: -1 });
      task.values.delete(1, 'k1');
      task.values.drop(3);
      task.values.set(3, 'new', { i: -3 });
      commit(task);
      task.state.evict(0);
      assert.equal(task.state.resident, true, 'nothing is evicted while a checkpoint is open');
    }
    assert.ok(slices > 7, `${slices} slices`);
    await checkpoint(task, store);
    const back = held();
    await back.state.loadAll(store, { bytesMax: 1e9 });
    for (const bucket of [0, 1, 2, 3]) {
      assert.deepEqual(new Map(back.values.entries(bucket)), new Map(task.values.entries(bucket)));
    }
  });

  test('a bucket emptied in one and filled again before it lands stays', async () => {
    const task = held();
    const store = new GatedStore();
    task.values.set(0, 'k', 1);
    commit(task);
    await checkpoint(task, store);
    task.values.drop(0);
    commit(task);
    const writes = [...task.state.checkpoint().writes()];
    task.values.set(0, 'short', 1);
    task.values.delete(0, 'short');
    commit(task);
    task.values.set(0, 'k', 2);
    commit(task);
    await store.write(writes);
    task.state.checkpointLanded();
    assert.equal(task.values.get(0, 'k'), 2);
    assert.deepEqual(task.values.bucketsBelow(1), [0]);
  });
});
