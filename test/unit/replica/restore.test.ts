/** Restoring a task: from whatever is left, the same state; and from what cannot be trusted, nothing (*trust*). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { checksum } from '../../../lib/journal/entry.ts';
import type { LogReader, ReadOptions } from '../../../lib/port/log.ts';
import { pack, unpack } from '../../../lib/record/rows.ts';
import { encodePointer, type Pointer } from '../../../lib/replica/pointer.ts';
import { metaKey } from '../../../lib/state/layout.ts';
import { withCalls } from '../outlet/rig.ts';
import { location, makeWorld } from './rig.ts';

const KEYS = ['a', 'b', 'a', 'c', 'a', 'b'];
const WHOLE = [
  ['a', 3],
  ['b', 2],
  ['c', 1],
];

/**
 * Six commits with a checkpoint at the third, which the last but one or none has named; then the journal was cut, unless
 * it was not yet. Then the process crashes.
 */
async function past(options: { announced: boolean; cuts?: boolean }) {
  const world = await makeWorld();
  const { log } = world;
  const life = await world.live(options.cuts === false ? { log: withCalls(log, { trim: async () => {} }) } : {});
  let pointer: Pointer | null = null;
  for (const [i, key] of KEYS.entries()) {
    if (i === 3) await life.checkpoints.settle();
    const made = await life.commit(key, { checkpoint: i === 2, relayed: options.announced });
    if (i === 2) pointer = made;
  }
  world.stores.crash();
  return { ...world, pointer: pointer! };
}

/** Makes the local store say that it reflects another commit. */
async function point(stores: Awaited<ReturnType<typeof makeWorld>>['stores'], pointer: Pointer): Promise<void> {
  const store = (await stores.open(location, { fresh: false }))!;
  await store.write([{ type: 'put', key: metaKey('commit'), value: encodePointer(pointer) }]);
  await store.close();
}

describe('a task is restored', () => {
  test('to nothing at first', async () => {
    const { restored, content } = await (await makeWorld()).live();
    assert.equal(restored.from, 'nothing');
    assert.deepEqual(content, []);
    assert.deepEqual([restored.place.positions, restored.replayed, restored.place.relayedThrough], [{}, 0, 0]);
  });

  test('from the journal alone, where there was no checkpoint', async () => {
    const world = await makeWorld();
    const life = await world.live();
    for (const key of KEYS) await life.commit(key);
    world.stores.crash();
    const { restored, content } = await world.live();
    assert.deepEqual(content, WHOLE);
    assert.deepEqual([restored.from, restored.replayed], ['nothing', 6]);
    assert.deepEqual(restored.place.positions, { in: 6 });
    assert.equal(restored.place.watermarkMs, 6);
    assert.deepEqual(restored.place.tails, { a: 5, b: 6, c: 4 });
    assert.equal(restored.place.relayedThrough, 5);
    assert.deepEqual(
      restored.place.unsent.map(({ commit }) => commit),
      [6],
    );
  });

  test('from its own store, which the journal or, when that was cut, the snapshot confirms', async () => {
    for (const announced of [false, true]) {
      const { live } = await past({ announced });
      const { restored, content } = await live();
      assert.deepEqual(content, WHOLE);
      assert.deepEqual([restored.from, restored.replayed], ['store', 3]);
      assert.deepEqual(restored.place.tails, { a: 5, b: 6, c: 4 });
    }
  });

  test('from snapshot and journal into an empty folder, and from that folder the next time', async () => {
    for (const announced of [false, true]) {
      const { live, stores } = await past({ announced });
      stores.loseEverything();
      const next = await live();
      assert.deepEqual(next.content, WHOLE);
      assert.deepEqual([next.restored.from, next.restored.replayed], ['snapshot', 3]);
      assert.deepEqual(next.restored.place.tails, { a: 5, b: 6, c: 4 });
      await next.commit('d', { checkpoint: true });
      await next.checkpoints.settle();
      stores.crash();
      const third = await live();
      assert.equal(third.restored.from, 'store');
      assert.deepEqual(third.content, [...WHOLE, ['d', 1]]);
    }
  });

  test('from a snapshot alone, where it is told to, with all that was to be sent, and from what follows the next time', async () => {
    const { live, log, stores, broker } = await makeWorld();
    const life = await live();
    const outbox = { frames: [], rows: [] };
    await life.commit('a');
    await life.commit('b', { relayed: false, outbox });
    await life.commit('c', { relayed: false, outbox, checkpoint: true });
    await life.checkpoints.settle();
    const place = life.restored.place.toParts();
    const { content } = life;
    await life.commit('lost');
    stores.loseEverything();
    await log.trim({ stream: 'J', subject: 'j.0', before: broker.stream('J')!.lastSeq + 1 });
    const second = await live({ standsAlone: true });
    assert.deepEqual([second.content, second.journal.commit], [content, 3]);
    assert.deepEqual(second.restored.place.toParts(), place);
    assert.deepEqual(
      second.restored.place.unsent.map(({ commit }) => commit),
      [1, 2, 3],
    );
    await second.commit('d', { relayed: false });
    stores.loseEverything();
    const third = await live({ standsAlone: true });
    assert.deepEqual(third.content, [...content, ['d', 1]]);
    await third.commit('e', { checkpoint: true });
    await third.checkpoints.settle();
    await third.commit('f');
    await third.checkpoints.settle();
    stores.loseEverything();
    const fourth = await live();
    assert.deepEqual(fourth.content, [...content, ['d', 1], ['e', 1], ['f', 1]]);
  });

  test('from no snapshot alone unless it is told to: the journal was lost then', async () => {
    const { live, log, stores, clock, broker } = await past({ announced: true });
    await log.trim({ stream: 'J', subject: 'j.0', before: broker.stream('J')!.lastSeq + 1 });
    for (const keepsStore of [true, false]) {
      if (!keepsStore) stores.loseEverything();
      await assert.rejects(clock.runThrough(live()), error => isMillraceError(error, 'CHAIN_BROKEN'));
    }
  });

  test('with the tails of destinations that only commits before the cut have named', async () => {
    const { live } = await makeWorld();
    const life = await live();
    await life.commit('early');
    await life.commit('late', { checkpoint: true });
    await life.checkpoints.settle();
    await life.commit('late');
    await life.restored.store.close();
    const { restored } = await live();
    assert.deepEqual(restored.place.tails, { early: 1, late: 3 });
  });

  test('without its store when that reflects a commit which is not the one of that number (*trust*)', async () => {
    for (const announced of [false, true]) {
      for (const wrong of ['crc', 'seq'] as const) {
        if (announced && wrong === 'seq') continue;
        const { live, stores, pointer } = await past({ announced });
        await point(stores, { ...pointer, [wrong]: pointer[wrong] + 1 });
        const { restored, content } = await live();
        assert.equal(restored.from, 'snapshot', wrong);
        assert.deepEqual(content, WHOLE);
      }
    }
  });

  test('without its store when that is older than journal and snapshot', async () => {
    const { live, stores, pointer } = await past({ announced: true });
    await point(stores, { ...pointer, commit: 1 });
    const { restored, content } = await live();
    assert.equal(restored.from, 'snapshot');
    assert.deepEqual(content, WHOLE);
  });

  test('from a journal that a former owner goes on cutting while it is read', async () => {
    const { live, log, stores, pointer } = await past({ announced: true, cuts: false });
    stores.loseEverything();
    const read = (options: ReadOptions): LogReader => {
      const reader = log.read(options);
      const take = reader.take.bind(reader);
      // One message, then the cut, then the rest.
      reader.take = limits => {
        const taken = take({ ...limits, messagesMax: 1 });
        if (taken.length === 0) return taken;
        reader.take = take;
        void log.trim({ stream: 'J', subject: 'j.0', before: pointer.seq + 1 });
        return taken;
      };
      return reader;
    };
    const { restored, content } = await live({ log: withCalls(log, { read }) });
    assert.deepEqual(content, WHOLE);
    assert.deepEqual([restored.from, restored.replayed], ['snapshot', 3]);
  });

  test('whatever of the journal the broker has lost below the snapshot, from the snapshot or a store of it (*nothing missing*)', async () => {
    for (const keepsStore of [true, false]) {
      const { live, log, stores, pointer } = await past({ announced: true, cuts: false });
      // As after a cut that ended in the middle: a block in between is gone, and one before it is there again.
      for (const seq of [pointer.seq - 1, pointer.seq]) await log.remove({ stream: 'J', seq });
      if (!keepsStore) stores.loseEverything();
      const { restored, content } = await live();
      assert.deepEqual(content, WHOLE);
      assert.deepEqual([restored.from, restored.replayed], [keepsStore ? 'store' : 'snapshot', 3]);
      assert.equal(restored.place.relayedThrough, 5);
    }
  });

  test('from the snapshot where the journal does not reach back to an older store', async () => {
    const { live, log, stores, pointer } = await past({ announced: true, cuts: false });
    const second = log.get({ stream: 'J', seq: pointer.seq - 1 });
    const { data } = (await second)!;
    await point(stores, { epoch: 1, commit: 2, seq: pointer.seq - 1, crc: checksum(data) });
    assert.equal((await live()).restored.from, 'store', 'it is trusted while the journal has its commit');
    stores.crash();
    await point(stores, { epoch: 1, commit: 2, seq: pointer.seq - 1, crc: checksum(data) });
    await log.remove({ stream: 'J', seq: pointer.seq });
    const { restored, content } = await live();
    assert.equal(restored.from, 'snapshot');
    assert.deepEqual(content, WHOLE);
  });

  test('not at all when the journal has lost a commit after the snapshot (*nothing missing*)', async () => {
    const { live, log, clock, pointer } = await past({ announced: true, cuts: false });
    await log.remove({ stream: 'J', seq: pointer.seq + 1 });
    await assert.rejects(clock.runThrough(live()), error => isMillraceError(error, 'JOURNAL_CORRUPT'));
  });

  test('with what may not have been sent by the snapshot, where the journal has lost it, and not by an older store', async () => {
    for (const olderStore of [true, false]) {
      const { live, log, stores, pointer } = await past({ announced: false });
      const { data } = (await log.get({ stream: 'J', seq: pointer.seq - 1 }))!;
      if (olderStore) await point(stores, { epoch: 1, commit: 2, seq: pointer.seq - 1, crc: checksum(data) });
      await log.remove({ stream: 'J', seq: olderStore ? pointer.seq - 2 : pointer.seq });
      const { restored, content } = await live();
      assert.deepEqual(content, WHOLE);
      assert.equal(restored.from, olderStore ? 'snapshot' : 'store');
      assert.deepEqual(
        restored.place.unsent.map(({ commit }) => commit),
        [1, 2, 3, 4, 5, 6],
      );
    }
  });

  test('not at all from a snapshot of another history than the journal has (*trust*)', async () => {
    for (const cuts of [true, false]) {
      const { live, stores, blobs, clock } = await past({ announced: true, cuts });
      stores.loseEverything();
      const [name] = (await blobs.list(`${location}/manifest/`)).slice(-1);
      const [manifest, crc, tails] = unpack((await blobs.get(name!))!) as [Uint8Array, number, object];
      await blobs.delete(name!);
      await blobs.put(name!, pack([manifest, crc ^ 1, tails]));
      await assert.rejects(clock.runThrough(live()), error => isMillraceError(error, 'JOURNAL_CORRUPT'));
    }
  });

  test('not at all when the store reflects a commit that the journal has lost', async () => {
    const { live, stores, clock, pointer } = await past({ announced: true });
    await point(stores, { ...pointer, commit: 7 });
    await assert.rejects(clock.runThrough(live()), error => isMillraceError(error, 'CHAIN_BROKEN'));
    // The store was let go: whoever deletes it goes on with what is left.
    await stores.discard(location);
    assert.deepEqual((await live()).content, WHOLE);
  });

  test('not at all when commits between state and journal are lost', async () => {
    const { live, stores, blobs, clock } = await past({ announced: true });
    stores.loseEverything();
    for (const name of await blobs.list('')) await blobs.delete(name);
    await assert.rejects(clock.runThrough(live()), error => isMillraceError(error, 'JOURNAL_CORRUPT'));

    const other = await past({ announced: false });
    const commits = other.broker.stream('J')!.lastSeq;
    await other.log.trim({ stream: 'J', subject: 'j.0', before: commits });
    other.stores.loseEverything();
    await assert.rejects(other.clock.runThrough(other.live()), error => isMillraceError(error, 'JOURNAL_CORRUPT'));
  });
});
