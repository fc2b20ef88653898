/**
 * The contract of the store port, run against every implementation. What each adds of its own (checksums, locks,
 * faults) is tested beside it.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { isMillraceError } from '../../lib/base/errors.ts';
import type { Store, Stores, StoreWrite } from '../../lib/port/store.ts';

export interface StoreRig {
  readonly stores: Stores;
  /** The process ends without closing anything; another one on the same machine takes over the same disk. */
  crash(): Promise<Stores>;
  /** The machine restarts without anything being closed. */
  reboot(): Promise<Stores>;
  remove(): Promise<void>;
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const text = (value: Uint8Array | undefined): string | undefined => value && Buffer.from(value).toString();
const put = (key: string, value: string): StoreWrite => ({ type: 'put', key: bytes(key), value: bytes(value) });
const del = (key: string): StoreWrite => ({ type: 'del', key: bytes(key) });
const clear = (gte: string, lt: string): StoreWrite => ({ type: 'clear', gte: bytes(gte), lt: bytes(lt) });
const lowest = new Uint8Array(0);
const highest = new Uint8Array(40).fill(255);

async function entriesOf(store: Store, gte = lowest, lt = highest): Promise<[string, string][]> {
  const entries: [string, string][] = [];
  for await (const slice of store.range({ gte, lt })) {
    for (const [key, value] of slice) entries.push([text(key)!, text(value)!]);
  }
  return entries;
}

async function fresh(stores: Stores, location = 'p/s/0'): Promise<Store> {
  const store = await stores.open(location, { fresh: true });
  assert.ok(store !== null, 'a fresh store can always be opened');
  return store;
}

export function storeContract(name: string, makeRig: () => Promise<StoreRig>): void {
  describe(`the store contract: ${name}`, () => {
    let rig: StoreRig;
    let opened: Store[];
    const keep = <T extends Store | null>(store: T): T => {
      if (store !== null) opened.push(store);
      return store;
    };
    beforeEach(async () => {
      rig = await makeRig();
      opened = [];
    });
    afterEach(async () => {
      for (const store of opened) await store.close();
      await rig.remove();
    });

    test('returns values in the order of the keys asked for, undefined where there is none', async () => {
      const store = keep(await fresh(rig.stores));
      await store.write([put('a', '1'), put('b', ''), put('c', '3')]);
      const values = await store.getMany(['c', 'x', 'a', 'b', 'c'].map(bytes));
      assert.deepEqual(values.map(text), ['3', undefined, '1', '', '3']);
      assert.deepEqual(await store.getMany([]), []);
    });

    test('takes writes in the order of the batch', async () => {
      const store = keep(await fresh(rig.stores));
      await store.write([put('a', '1'), put('a', '2'), put('b', '1'), del('b'), del('c'), put('c', '1')]);
      await store.write([]);
      assert.deepEqual(await entriesOf(store), [
        ['a', '2'],
        ['c', '1'],
      ]);
    });

    test('clears a range within a batch: what was there and what the batch put before, not what it puts after', async () => {
      const store = keep(await fresh(rig.stores));
      await store.write([put('a', 'old'), put('b', 'old'), put('c', 'old')]);
      await store.write([put('b2', 'batch'), put('d', 'batch'), clear('b', 'd'), put('c', 'new')]);
      assert.deepEqual(await entriesOf(store), [
        ['a', 'old'],
        ['c', 'new'],
        ['d', 'batch'],
      ]);
    });

    test('clears gte inclusive, lt exclusive', async () => {
      const store = keep(await fresh(rig.stores));
      await store.write(['a', 'b', 'bb', 'c', 'd'].map(key => put(key, key)));
      await store.clear({ gte: bytes('b'), lt: bytes('d') });
      assert.deepEqual(
        (await entriesOf(store)).map(([key]) => key),
        ['a', 'd'],
      );
    });

    test('keeps the order of calls that nobody waited for', async () => {
      const store = keep(await fresh(rig.stores));
      const calls: Promise<void>[] = [];
      for (let i = 0; i < 50; i++) {
        calls.push(store.write([put('a', String(i)), put(`b${i}`, '')]));
        if (i === 25) calls.push(store.write([clear('b', 'c')]));
      }
      await Promise.all(calls);
      const entries = await entriesOf(store);
      assert.deepEqual(entries[0], ['a', '49']);
      assert.equal(entries.length, 1 + 24);
    });

    test('orders keys by their bytes', async () => {
      const store = keep(await fresh(rig.stores));
      const keys = [[], [0], [0, 0], [0, 255], [1], [127], [128], [200, 1], [255], [255, 254]].map(one =>
        Buffer.from(one),
      );
      await store.write([...keys].reverse().map(key => ({ type: 'put', key, value: key }) as const));
      const found: Uint8Array[] = [];
      for await (const slice of store.range({ gte: lowest, lt: highest })) found.push(...slice.map(([key]) => key));
      assert.deepEqual(
        found.map(key => [...key]),
        keys.map(key => [...key]),
      );
    });

    test('delivers a range in slices of at most sliceMax, complete', async () => {
      const store = keep(await fresh(rig.stores));
      const keys = Array.from({ length: 25 }, (_, i) => `k${String(i).padStart(2, '0')}`);
      await store.write(keys.map(key => put(key, key)));
      const found: string[] = [];
      for await (const slice of store.range({ gte: bytes('k02'), lt: bytes('k22'), sliceMax: 7 })) {
        assert.ok(slice.length > 0 && slice.length <= 7);
        for (const [key] of slice) found.push(text(key)!);
      }
      assert.deepEqual(found, keys.slice(2, 22));
    });

    test('shows a range as of the moment of the call', async () => {
      const store = keep(await fresh(rig.stores));
      await store.write([put('a', '1'), put('b', '1')]);
      const range = store.range({ gte: lowest, lt: highest, sliceMax: 1 });
      await store.write([put('a', '2'), del('b'), put('c', '2')]);
      const seen: string[] = [];
      for await (const slice of range) for (const [key, value] of slice) seen.push(`${text(key)}=${text(value)}`);
      assert.deepEqual(seen, ['a=1', 'b=1']);
    });

    test('lets a range be left in the middle', async () => {
      const store = keep(await fresh(rig.stores));
      await store.write(Array.from({ length: 10 }, (_, i) => put(`k${i}`, '')));
      for await (const slice of store.range({ gte: lowest, lt: highest, sliceMax: 2 })) {
        assert.equal(slice.length, 2);
        break;
      }
      await store.close();
    });

    test('shares no memory with its caller once a call has returned', async () => {
      const store = keep(await fresh(rig.stores));
      const key = Buffer.from('key');
      const value = Buffer.from('value');
      await store.write([{ type: 'put', key, value }]);
      key.fill(0);
      value.fill(0);
      const [first] = await store.getMany([bytes('key')]);
      assert.equal(text(first), 'value');
      first!.fill(0);
      assert.equal(text((await store.getMany([bytes('key')]))[0]), 'value');
    });

    test('keeps what was written when it is closed and opened again', async () => {
      const store = keep(await fresh(rig.stores));
      await store.write([put('a', '1')]);
      await store.close();
      await store.close();
      const again = keep(await rig.stores.open('p/s/0', { fresh: false }));
      assert.deepEqual(await entriesOf(again!), [['a', '1']]);
      await again!.close();
      assert.deepEqual(await entriesOf(keep(await fresh(rig.stores))), [], 'fresh discards');
    });

    test('opens nothing where there is nothing', async () => {
      assert.equal(await rig.stores.open('p/s/0', { fresh: false }), null);
      assert.deepEqual(await rig.stores.list(), []);
      await rig.stores.discard('p/s/0');
    });

    test('refuses a second open of the same location, and leaves the first in peace', async () => {
      const store = keep(await fresh(rig.stores));
      await store.write([put('a', '1')]);
      for (const options of [{ fresh: true }, { fresh: false }]) {
        await assert.rejects(rig.stores.open('p/s/0', options), error => isMillraceError(error, 'STORE_IN_USE'));
      }
      await assert.rejects(rig.stores.discard('p/s/0'), error => isMillraceError(error, 'STORE_IN_USE'));
      assert.deepEqual(await entriesOf(store), [['a', '1']]);
    });

    test('lists and discards locations, one inside another included', async () => {
      for (const location of ['q', 'p/s/1', 'p/s', 'p/s/0']) {
        const store = await fresh(rig.stores, location);
        await store.write([put('a', location)]);
        await store.close();
      }
      assert.deepEqual(await rig.stores.list(), ['p/s', 'p/s/0', 'p/s/1', 'q']);
      await rig.stores.discard('p/s');
      assert.deepEqual(await rig.stores.list(), ['p/s/0', 'p/s/1', 'q']);
      assert.equal(await rig.stores.open('p/s', { fresh: false }), null);
      const kept = keep(await rig.stores.open('p/s/1', { fresh: false }));
      assert.deepEqual(await entriesOf(kept!), [['a', 'p/s/1']]);
    });

    test('refuses a location that could leave the data folder', async () => {
      for (const location of ['', '..', 'a/../b', '/a', 'a/', 'a b', 'a.b']) {
        await assert.rejects(rig.stores.open(location, { fresh: true }), e => isMillraceError(e, 'INVALID_ARGUMENT'));
        await assert.rejects(rig.stores.discard(location), e => isMillraceError(e, 'INVALID_ARGUMENT'));
      }
    });

    test('does nothing once it is closed, and says so', async () => {
      const store = await fresh(rig.stores);
      await store.close();
      const isClosed = (error: unknown) => isMillraceError(error, 'STORE_UNAVAILABLE');
      await assert.rejects(async () => store.getMany([bytes('a')]), isClosed);
      await assert.rejects(async () => store.write([put('a', '1')]), isClosed);
      await assert.rejects(async () => store.clear({ gte: lowest, lt: highest }), isClosed);
      await assert.rejects(async () => entriesOf(store), isClosed);
    });

    test('does what a sorted map does, whatever the writes', async () => {
      const key = fc.stringMatching(/^[abc]{0,3}$/);
      const change = fc.oneof(
        {
          weight: 4,
          arbitrary: fc.record({ type: fc.constant('put' as const), key, value: fc.string({ maxLength: 4 }) }),
        },
        { weight: 2, arbitrary: fc.record({ type: fc.constant('del' as const), key }) },
        { weight: 1, arbitrary: fc.record({ type: fc.constant('clear' as const), gte: key, lt: key }) },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(fc.array(change, { maxLength: 12 }), { maxLength: 6 }), async batches => {
          const store = await fresh(rig.stores, 'model');
          const model = new Map<string, string>();
          for (const batch of batches) {
            for (const one of batch) {
              if (one.type === 'put') model.set(one.key, one.value);
              else if (one.type === 'del') model.delete(one.key);
              else for (const name of [...model.keys()]) if (name >= one.gte && name < one.lt) model.delete(name);
            }
            await store.write(
              batch.map(one => {
                if (one.type === 'put') return put(one.key, one.value);
                return one.type === 'del' ? del(one.key) : clear(one.gte, one.lt);
              }),
            );
          }
          const found = await entriesOf(store);
          await store.close();
          assert.deepEqual(
            found,
            [...model].sort(([a], [b]) => (a < b ? -1 : 1)),
          );
        }),
        { numRuns: 40 },
      );
    });

    test('keeps acknowledged writes when only the process dies', async () => {
      const store = keep(await fresh(rig.stores));
      await store.write([put('a', '1')]);
      const after = await rig.crash();
      const again = keep(await after.open('p/s/0', { fresh: false }));
      assert.deepEqual(await entriesOf(again!), [['a', '1']]);
    });

    test('trusts after a reboot only what was closed cleanly', async () => {
      const closed = await fresh(rig.stores, 'closed');
      await closed.write([put('a', '1')]);
      await closed.close();
      await keep(await fresh(rig.stores, 'open')).write([put('a', '1')]);
      const after = await rig.reboot();
      assert.equal(await after.open('open', { fresh: false }), null);
      const again = keep(await after.open('closed', { fresh: false }));
      assert.deepEqual(await entriesOf(again!), [['a', '1']]);
    });
  });
}
