/** The contract of the registry port, run against every implementation. Several clients share one bucket. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { sleep, systemClock } from '../../lib/base/clock.ts';
import { isMillraceError } from '../../lib/base/errors.ts';
import type { Registry, RegistryEntry } from '../../lib/port/registry.ts';

export interface RegistryRig {
  /** A client of an empty bucket. */
  fresh(): Promise<Registry>;
  /** Another client of the bucket that `fresh` made last. */
  another(): Promise<Registry>;
  remove(): Promise<void>;
}

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const text = (value: Uint8Array): string => Buffer.from(value).toString();

export async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let tries = 0; tries < 1_000; tries++) {
    if (await holds()) return;
    await sleep(systemClock, 20);
  }
  assert.fail(`never: ${what}`);
}

/** What a watcher was told, in order, and the state that follows from it. */
export function follower() {
  const told: string[] = [];
  const state = new Map<string, string>();
  const changed = (key: string, entry: RegistryEntry | null): void => {
    told.push(entry === null ? `${key} gone` : `${key}=${text(entry.value)}`);
    if (entry === null) state.delete(key);
    else state.set(key, text(entry.value));
  };
  return { told, state, changed };
}

export function registryContract(name: string, makeRig: () => Promise<RegistryRig>): void {
  describe(`the registry contract: ${name}`, () => {
    let rig: RegistryRig;
    before(async () => {
      rig = await makeRig();
    });
    after(() => rig.remove());

    test('shows every client what any of them wrote, at once', async () => {
      const one = await rig.fresh();
      const two = await rig.another();
      assert.equal(await one.get('a.b'), null);
      const revision = await one.put('a.b', bytes('1'), { expect: 0 });
      assert.ok(revision !== null && revision > 0);
      const found = await two.get('a.b');
      assert.deepEqual(found && [found.key, text(found.value), found.revision], ['a.b', '1', revision]);
    });

    test('writes only over the revision that was expected', async () => {
      const one = await rig.fresh();
      const first = (await one.put('k', bytes('1'), { expect: 0 }))!;
      assert.equal(await one.put('k', bytes('x'), { expect: 0 }), null);
      assert.equal(await one.put('k', bytes('x'), { expect: first + 1 }), null);
      const second = (await one.put('k', bytes('2'), { expect: first }))!;
      assert.ok(second > first);
      assert.equal(await one.put('k', bytes('x'), { expect: first }), null);
      assert.equal(text((await one.get('k'))!.value), '2');
      assert.equal(await one.put('other', bytes('x'), { expect: second }), null, 'revisions are per key');
    });

    test('lets exactly one of many win, again and again', async () => {
      const clients = [await rig.fresh(), await rig.another(), await rig.another()];
      for (let round = 0; round < 10; round++) {
        const expect = (await clients[0]!.get('leader'))?.revision ?? 0;
        const tries = clients.flatMap((client, i) =>
          [0, 1, 2].map(j => client.put('leader', bytes(`${round} ${i} ${j}`), { expect })),
        );
        const won = (await Promise.all(tries)).filter(revision => revision !== null);
        assert.equal(won.length, 1);
        assert.equal((await clients[1]!.get('leader'))!.revision, won[0]);
      }
    });

    test('takes a deleted key for one that does not exist', async () => {
      const one = await rig.fresh();
      const first = (await one.put('k', bytes('1'), { expect: 0 }))!;
      await one.delete('k');
      await one.delete('k');
      await one.delete('never');
      assert.equal(await one.get('k'), null);
      assert.equal(await one.put('k', bytes('x'), { expect: first }), null);
      const again = (await one.put('k', bytes('2'), { expect: 0 }))!;
      assert.ok(again > first);
      assert.equal(await one.put('k', bytes('3'), { expect: 0 }), null);
    });

    test('lists what begins with a prefix, in the order of the keys, without the deleted', async () => {
      const one = await rig.fresh();
      assert.deepEqual(await one.list(''), []);
      for (const key of ['b', 'a.b.c', 'a.c', 'ab', 'a.b', 'gone']) await one.put(key, bytes(key), { expect: 0 });
      await one.delete('gone');
      const keys = async (prefix: string) => (await one.list(prefix)).map(entry => entry.key);
      assert.deepEqual(await keys(''), ['a.b', 'a.b.c', 'a.c', 'ab', 'b']);
      assert.deepEqual(await keys('a.'), ['a.b', 'a.b.c', 'a.c']);
      assert.deepEqual(await keys('a.b'), ['a.b', 'a.b.c']);
      assert.deepEqual(await keys('a'), ['a.b', 'a.b.c', 'a.c', 'ab']);
      assert.deepEqual(await keys('x.'), []);
      for (const entry of await one.list('')) {
        assert.equal(text(entry.value), entry.key);
        assert.equal((await one.get(entry.key))!.revision, entry.revision);
      }
    });

    test('lets an entry with a TTL go by itself, not before its time, and the key be taken again', async () => {
      const one = await rig.fresh();
      const seen = follower();
      const watch = await one.watch('lease', seen.changed);
      const startMs = systemClock.monotonic();
      await one.put('lease', bytes('mine'), { expect: 0, ttlMs: 1_500 });
      await one.put('kept', bytes('for ever'), { expect: 0 });
      await until(async () => (await one.get('lease')) === null, 'the lease went');
      assert.ok(systemClock.monotonic() - startMs >= 1_500);
      await until(() => seen.told.at(-1) === 'lease gone', 'the watcher was told');
      assert.deepEqual(
        (await one.list('')).map(entry => entry.key),
        ['kept'],
      );
      assert.ok((await one.put('lease', bytes('yours'), { expect: 0, ttlMs: 60_000 })) !== null);
      // Not left behind: a clock in memory would keep the process waiting for it.
      await one.delete('lease');
      await watch.stop();
    });

    test('keeps an entry that is renewed in time, and one whose renewal has no TTL', async () => {
      const one = await rig.fresh();
      let revision = (await one.put('renewed', bytes('0'), { expect: 0, ttlMs: 2_000 }))!;
      const first = (await one.put('made-lasting', bytes('0'), { expect: 0, ttlMs: 2_000 }))!;
      await one.put('made-lasting', bytes('1'), { expect: first });
      for (let i = 1; i <= 4; i++) {
        await sleep(systemClock, 700);
        revision = (await one.put('renewed', bytes(String(i)), { expect: revision, ttlMs: 2_000 }))!;
        assert.ok(revision !== null, `renewal ${i}`);
      }
      assert.equal(text((await one.get('made-lasting'))!.value), '1');
      assert.equal(text((await one.get('renewed'))!.value), '4');
    });

    test('tells a watcher the state before watch resolves, then every change under its prefix', async () => {
      const one = await rig.fresh();
      const two = await rig.another();
      await one.put('w.a', bytes('1'), { expect: 0 });
      await one.put('w.gone', bytes('1'), { expect: 0 });
      await one.put('x.a', bytes('1'), { expect: 0 });
      await one.delete('w.gone');
      const seen = follower();
      const watch = await two.watch('w.', seen.changed);
      assert.deepEqual(seen.told, ['w.a=1']);
      const revision = (await one.put('w.b', bytes('1'), { expect: 0 }))!;
      await until(() => seen.told.includes('w.b=1'), 'the new key was told');
      await one.put('w.b', bytes('2'), { expect: revision });
      await one.delete('w.a');
      await one.put('x.b', bytes('1'), { expect: 0 });
      await one.put('w.c', bytes('1'), { expect: 0 });
      await until(() => seen.told.includes('w.c=1'), 'the last change was told');
      assert.deepEqual(seen.told, ['w.a=1', 'w.b=1', 'w.b=2', 'w.a gone', 'w.c=1']);
      await watch.stop();
      const count = seen.told.length;
      await one.put('w.d', bytes('1'), { expect: 0 });
      await sleep(systemClock, 100);
      assert.equal(seen.told.length, count, 'nothing after stop');
    });

    test('brings a watcher that starts in the middle of changes to the state in the end', async () => {
      const one = await rig.fresh();
      const writing = (async () => {
        const revisions = new Map<string, number>();
        for (let i = 0; i < 200; i++) {
          const key = `m.${i % 7}`;
          if (i % 11 === 10) {
            await one.delete(key);
            revisions.delete(key);
          } else {
            const revision = await one.put(key, bytes(String(i)), { expect: revisions.get(key) ?? 0 });
            assert.ok(revision !== null);
            revisions.set(key, revision);
          }
        }
        await one.put('m.last', bytes('end'), { expect: 0 });
      })();
      const client = await rig.another();
      const followers = [follower(), follower(), follower()];
      const watches: { stop(): Promise<void> }[] = [];
      for (const each of followers) {
        watches.push(await client.watch('m.', each.changed));
        await sleep(systemClock, 5);
      }
      await writing;
      const expected = (await one.list('m.')).map(entry => [entry.key, text(entry.value)]);
      for (const each of followers) {
        await until(() => each.state.has('m.last'), 'the last change was told');
        assert.deepEqual([...each.state].sort(), expected);
      }
      for (const watch of watches) await watch.stop();
    });

    test('refuses keys and times that the broker cannot keep', async () => {
      const one = await rig.fresh();
      for (const key of ['', '.', 'a.', '.a', 'a..b', 'a b', 'a.*', 'a.>', 'ü']) {
        await assert.rejects(one.put(key, bytes(''), { expect: 0 }), e => isMillraceError(e, 'INVALID_ARGUMENT'), key);
        await assert.rejects(one.get(key), e => isMillraceError(e, 'INVALID_ARGUMENT'));
        await assert.rejects(one.delete(key), e => isMillraceError(e, 'INVALID_ARGUMENT'));
      }
      const short = one.put('a', bytes(''), { expect: 0, ttlMs: 999 });
      await assert.rejects(short, e => isMillraceError(e, 'INVALID_ARGUMENT'));
    });

    test('shares no memory with its caller', async () => {
      const one = await rig.fresh();
      const value = Buffer.from('value');
      await one.put('k', value, { expect: 0 });
      value.fill(0);
      const found = (await one.get('k'))!;
      assert.equal(text(found.value), 'value');
      found.value.fill(0);
      assert.equal(text((await one.get('k'))!.value), 'value');
    });
  });
}
