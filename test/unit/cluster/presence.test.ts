/** Presence on virtual time: written seldom, at once when something changes, gone on a stop and, by itself, after a crash. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../../lib/base/random.ts';
import { Presence, type PresenceRecord, presences } from '../../../lib/cluster/presence.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBucket, MemoryRegistry } from '../../../lib/memory/registry.ts';
import { silent } from '../../../lib/observe/events.ts';

function world() {
  const clock = new SimClock({ random: new Random(1) });
  const bucket = new MemoryBucket(clock);
  const registry = new MemoryRegistry(bucket);
  const make = (name: string, state: { active: boolean }) => {
    const startedAtMs = clock.now();
    const record = (): PresenceRecord => ({
      ...{ address: `${name}:1`, version: '1', active: state.active, startedAtMs, seenAtMs: clock.now() },
      ...{ pipelines: 0, tasks: 0 },
    });
    return new Presence({ registry, clock, observer: silent, name, record });
  };
  const names = async () => [...(await presences(registry)).keys()];
  const pass = (ms: number) => clock.run(clock.monotonic() + ms);
  return { clock, bucket, registry, make, names, pass };
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
  const again = make('b', { active: false });
  await again.start();
  assert.deepEqual(await names(), ['b']);
});

test('an entry that no worker of ours wrote is passed over', async () => {
  const { registry, names } = world();
  await registry.put('workers.x', Buffer.from('not json'), { expect: 0 });
  assert.deepEqual(await names(), []);
});
