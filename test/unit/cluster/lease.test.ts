import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { decideLease, Lease, type LeaseRecord, type LeaseView } from '../../../lib/cluster/lease.ts';
import { MemoryBucket, MemoryRegistry } from '../../../lib/memory/registry.ts';
import { silent } from '../../../lib/observe/events.ts';
import { until } from '../host/fakes.ts';

const other: LeaseRecord = { holder: 'b', instance: 'b1', address: 'b:1', term: 4, beat: 9 };

function view(record: LeaseRecord | null, seenAtMs = 0): LeaseView {
  return { record, revision: record === null ? 0 : 17, seenAtMs };
}

function me(change: Partial<{ holding: boolean; nowMs: number }> = {}) {
  const identity = { name: 'a', instance: 'a2', formers: ['a0', 'a1'] };
  return { ...identity, address: 'a:1', holding: false, nowMs: 0, leaseMs: 100, ...change };
}

describe('decideLease', () => {
  test('claims what was never held and what was released', () => {
    const first = decideLease(view(null), me());
    assert.deepEqual(first, { do: 'claim', record: { holder: 'a', instance: 'a2', address: 'a:1', term: 1, beat: 0 } });
    const released = decideLease(view({ ...other, holder: null, address: null }), me());
    assert.deepEqual(released, {
      do: 'claim',
      record: { holder: 'a', instance: 'a2', address: 'a:1', term: 5, beat: 0 },
    });
  });

  test('waits while another holder is silent for less than a lease, and claims after (*no two clocks*)', () => {
    assert.deepEqual(decideLease(view(other, 1_000), me({ nowMs: 1_099 })), { do: 'wait' });
    assert.equal(decideLease(view(other, 1_000), me({ nowMs: 1_100 })).do, 'claim');
  });

  test('renews what it holds, each time with another beat', () => {
    const mine = { ...other, holder: 'a', instance: 'a2' };
    const step = decideLease(view(mine), me({ holding: true }));
    assert.deepEqual(step, { do: 'renew', record: { holder: 'a', instance: 'a2', address: 'a:1', term: 4, beat: 10 } });
  });

  test('takes up at once what a former process of its data folder held, under another term (*own folder*)', () => {
    const step = decideLease(view({ ...other, holder: 'a', instance: 'a0' }, 1_000), me({ nowMs: 1_000 }));
    assert.deepEqual(step, { do: 'claim', record: { holder: 'a', instance: 'a2', address: 'a:1', term: 5, beat: 0 } });
  });

  test('waits for a process that has its name and not its data folder as for any other, also when it held it before (*own folder*)', () => {
    const twin = view({ ...other, holder: 'a', instance: 'x' }, 1_000);
    for (const holding of [false, true]) {
      assert.deepEqual(decideLease(twin, me({ holding, nowMs: 1_099 })), { do: 'wait' });
      assert.equal(decideLease(twin, me({ holding, nowMs: 1_100 })).do, 'claim');
    }
  });
});

function lease(bucket: MemoryBucket, name: string) {
  const registry = new MemoryRegistry(bucket);
  const changes: boolean[] = [];
  const one = new Lease({
    registry,
    clock: systemClock,
    observer: silent,
    me: { name, instance: `${name}1`, formers: [] },
    address: `${name}:1`,
    leaseMs: 120,
    changed: holding => changes.push(holding),
  });
  return { lease: one, registry, changes };
}

describe('Lease', () => {
  test('one of two holds it, both know whom, and a release hands it over', async () => {
    const bucket = new MemoryBucket(systemClock);
    const [a, b] = [lease(bucket, 'a'), lease(bucket, 'b')];
    await a.lease.start();
    await b.lease.start();
    assert.equal(a.lease.holding, true);
    assert.equal(b.lease.holding, false);
    assert.deepEqual(b.lease.holder, { name: 'a', address: 'a:1' });
    await a.lease.stop();
    await until('b holds the lease', () => b.lease.holding);
    await b.lease.stop();
    assert.deepEqual(b.changes, [true]);
    assert.equal(bucket.entry('leases.active') === null, false);
  });

  test('a holder that is cut off keeps working until it reads that another took over (*only a hint*)', async () => {
    const bucket = new MemoryBucket(systemClock);
    const [a, b] = [lease(bucket, 'a'), lease(bucket, 'b')];
    await a.lease.start();
    await b.lease.start();
    a.registry.connected = false;
    await until('b took over', () => b.lease.holding);
    assert.equal(a.lease.holding, true);
    a.registry.connected = true;
    await until('a has read it', () => !a.lease.holding);
    assert.deepEqual(a.changes, [true, false]);
    await a.lease.stop();
    assert.equal(b.lease.holding, true);
    await b.lease.stop();
  });

  test('a cut off holder whom nobody replaced goes on when it is back, without a change', async () => {
    const bucket = new MemoryBucket(systemClock);
    const a = lease(bucket, 'a');
    await a.lease.start();
    a.registry.connected = false;
    await new Promise(resolve => setTimeout(resolve, 300));
    a.registry.connected = true;
    const before = bucket.revision;
    await until('a beats again', () => bucket.revision > before);
    assert.deepEqual(a.changes, [true]);
    await a.lease.stop();
  });

  test('a claim that was decided on what is no longer so fails, and the winner is recognised (*one claimant*)', async () => {
    const bucket = new MemoryBucket(systemClock);
    const [a, b] = [lease(bucket, 'a'), lease(bucket, 'b')];
    const get = a.registry.get.bind(a.registry);
    let between: (() => Promise<void>) | null = () => b.lease.start();
    a.registry.get = async key => {
      const entry = await get(key);
      const act = between;
      between = null;
      await act?.();
      return entry;
    };
    await a.lease.start();
    await until('a has read who won', () => a.lease.holder?.name === 'b');
    assert.deepEqual([a.lease.holding, b.lease.holding], [false, true]);
    assert.deepEqual(a.changes, []);
    await a.lease.stop();
    await b.lease.stop();
  });

  test('many at once: never more than one holds what the registry names', async () => {
    const bucket = new MemoryBucket(systemClock);
    const all = ['a', 'b', 'c', 'd', 'e'].map(name => lease(bucket, name));
    await Promise.all(all.map(one => one.lease.start()));
    assert.equal(all.filter(one => one.lease.holding).length, 1);
    await Promise.all(all.map(one => one.lease.stop()));
  });
});

test('an entry that no worker has written is nobody’s: it is claimed, and ends nobody who sees it', async () => {
  const registry = new MemoryRegistry(new MemoryBucket(systemClock));
  const junk = ['null', '{bad', '[]', '"a"', '{"holder":7}', '{"term":"x"}', ''];
  const lease = new Lease({
    ...{ registry, clock: systemClock, observer: silent, leaseMs: 60, address: null, changed: () => {} },
    me: { name: 'a', instance: 'a1', formers: [] },
  });
  assert.notEqual(await registry.put('leases.active', Buffer.from(junk[0]!), { expect: 0 }), null);
  await lease.start();
  try {
    for (const value of junk) {
      await until('it is held', () => lease.holding);
      const entry = await registry.get('leases.active');
      await registry.put('leases.active', Buffer.from(value), { expect: entry!.revision });
      await until('it is ours again', async () => {
        const { value: now } = (await registry.get('leases.active'))!;
        return lease.holding && Buffer.from(now).toString().includes('"holder":"a"');
      });
    }
  } finally {
    await lease.stop();
  }
});
