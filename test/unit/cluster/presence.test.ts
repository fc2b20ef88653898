/** Presence on virtual time: written seldom, at once when something changes, gone on a stop and, by itself, after a crash. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MillraceError } from '../../../lib/base/errors.ts';
import { Random } from '../../../lib/base/random.ts';
import { Presence, type PresenceRecord, presences } from '../../../lib/cluster/presence.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBucket, MemoryRegistry } from '../../../lib/memory/registry.ts';
import { silent } from '../../../lib/observe/events.ts';

function world() {
  const clock = new SimClock({ random: new Random(1) });
  const bucket = new MemoryBucket(clock);
  const registry = new MemoryRegistry(bucket);
  const make = (name: string, state: { active: boolean }, as: { instance?: string; formers?: string[] } = {}) => {
    const startedAtMs = clock.now();
    const me = { name, instance: `${name}1`, formers: [], ...as };
    const record = (): PresenceRecord => ({
      ...{
        instance: me.instance,
        address: `${name}:1`,
        version: '1',
        active: state.active,
        startedAtMs,
        seenAtMs: clock.now(),
      },
      ...{ zone: '', capacity: 1, draining: false, pipelines: 0, tasks: 0, follows: 0 },
    });
    const onDisplaced = (error: MillraceError) => void displaced.push(`${me.instance}: ${error.message}`);
    return new Presence({ registry, clock, observer: silent, me, record, onDisplaced });
  };
  const displaced: string[] = [];
  const names = async () => [...(await presences(registry)).keys()];
  const pass = (ms: number) => clock.run(clock.monotonic() + ms);
  return { clock, bucket, registry, make, names, pass, displaced };
}

test('an idle worker writes six times a minute and stays known', async () => {
  const { bucket, make, names, pass } = world();
  const presence = make('a', { active: false });
  await presence.start();
  await pass(60_000);
  assert.deepEqual(await names(), ['a']);
  assert.ok(bucket.revision >= 6 && bucket.revision <= 8, `${bucket.revision} writes`);
  await presence.stop();
});

test('a change is written at once, also while another write is under way', async () => {
  const { registry, make, pass } = world();
  const state = { active: false };
  const presence = make('a', state);
  await presence.start();
  presence.refresh();
  state.active = true;
  presence.refresh();
  await pass(10);
  assert.equal((await presences(registry)).get('a')?.active, true);
  await presence.stop();
});

test('a worker that stops is gone at once, one that dies some time later, one that returns is known again', async () => {
  const { registry, make, names, pass } = world();
  const [a, b] = [make('a', { active: false }), make('b', { active: false })];
  await a.start();
  await b.start();
  await a.stop();
  assert.deepEqual(await names(), ['b']);
  registry.connected = false;
  await pass(60_000);
  registry.connected = true;
  assert.deepEqual(await names(), []);
  await pass(11_000);
  assert.deepEqual(await names(), ['b']);
  const again = make('b', { active: false }, { instance: 'b2', formers: ['b1'] });
  await again.start();
  assert.deepEqual(await names(), ['b']);
});

test('an entry that no worker of ours wrote is passed over', async () => {
  const { registry, names } = world();
  await registry.put('workers.x', Buffer.from('not json'), { expect: 0 });
  assert.deepEqual(await names(), []);
});

test('a process that starts takes over at once from a former one of its data folder, and that one ends if it lives (*one process a name*)', async () => {
  const { registry, make, pass, displaced } = world();
  const old = make('a', { active: true });
  await old.start();
  const young = make('a', { active: false }, { instance: 'a2', formers: ['a0', 'a1'] });
  await young.start();
  assert.equal((await presences(registry)).get('a')?.instance, 'a2');
  await pass(11_000);
  assert.equal(displaced.length, 1);
  assert.match(displaced[0]!, /^a1: another process at a:1 is there as worker a, .* delete the file worker-name /);
  await pass(30_000);
  await old.stop();
  assert.equal((await presences(registry)).get('a')?.instance, 'a2', 'the entry of the other one is left alone');
  assert.equal(displaced.length, 1, 'neither hears of it again');
});

test('a process does not start while one that never had its data folder has its name, and does when that one is gone (*one process a name*)', async () => {
  const { make, pass, names, displaced } = world();
  const there = make('a', { active: false });
  await there.start();
  const copy = () => make('a', { active: false }, { instance: 'a9', formers: ['a0'] });
  await assert.rejects(copy().start(), { code: 'STORE_IN_USE', message: /one data folder is a copy of the other/ });
  await pass(60_000);
  await assert.rejects(copy().start(), { code: 'STORE_IN_USE' });
  await there.stop();
  await copy().start();
  assert.deepEqual(await names(), ['a']);
  assert.deepEqual(displaced, []);
});

test('of two that start under one name at the same moment one stays', async () => {
  const { make } = world();
  const both = ['x', 'y'].map(instance => make('a', { active: false }, { instance }).start());
  const ends = await Promise.allSettled(both);
  assert.deepEqual(ends.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
});

test('a broker that is away keeps nobody from starting', async () => {
  const { registry, make, names, pass } = world();
  registry.connected = false;
  await make('a', { active: false }).start();
  registry.connected = true;
  await pass(11_000);
  assert.deepEqual(await names(), ['a']);
});
