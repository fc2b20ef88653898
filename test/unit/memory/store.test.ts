/** The accidents of the store in memory: what the simulator relies on beyond the contract. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { Random } from '../../../lib/base/random.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';

const key = new Uint8Array([1]);
const put = { type: 'put', key, value: key } as const;

describe('the store in memory', () => {
  test('fails its handles after a crash, and gives the content to the next who opens', async () => {
    const stores = new MemoryStores({ clock: systemClock });
    const store = await stores.open('s', { fresh: true });
    await store!.write([put]);
    stores.crash();
    await assert.rejects(store!.write([put]), error => isMillraceError(error, 'STORE_UNAVAILABLE'));
    const again = await stores.open('s', { fresh: false });
    assert.deepEqual(await again!.getMany([key]), [key]);
    await store!.close();
    await assert.rejects(stores.open('s', { fresh: false }), error => isMillraceError(error, 'STORE_IN_USE'));
  });

  test('loses everything on request, closed or not', async () => {
    const stores = new MemoryStores({ clock: systemClock });
    await (await stores.open('a', { fresh: true }))!.close();
    await stores.open('b', { fresh: true });
    stores.loseEverything();
    assert.deepEqual(await stores.list(), []);
  });

  test('finds stores unreadable as often as it is told', async () => {
    const stores = new MemoryStores({ clock: systemClock, random: new Random(3), faults: { loseChance: 0.5 } });
    let lost = 0;
    for (let i = 0; i < 200; i++) {
      await (await stores.open('a', { fresh: true }))!.close();
      const again = await stores.open('a', { fresh: false });
      if (again === null) lost++;
      await again?.close();
    }
    assert.ok(lost > 60 && lost < 140, String(lost));
  });

  test('a crash meets a slow write before or after it reached the disk', async () => {
    const outcomes = new Set<boolean>();
    for (let seed = 1; seed <= 20; seed++) {
      const faults = { slowChance: 1, slowMsMax: 2 };
      const stores = new MemoryStores({ clock: systemClock, random: new Random(seed), faults });
      const store = await stores.open('s', { fresh: true });
      const write = store!.write([put]);
      await Promise.resolve();
      await Promise.resolve();
      stores.crash();
      await assert.rejects(write, error => isMillraceError(error, 'STORE_UNAVAILABLE'));
      const again = await stores.open('s', { fresh: false });
      outcomes.add((await again!.getMany([key]))[0] !== undefined);
    }
    assert.equal(outcomes.size, 2);
  });
});
