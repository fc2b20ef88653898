import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../lib/base/clock.ts';
import type { PipelineSpec } from '../../lib/cluster/specs.ts';
import { isWanted, Sweep } from '../../lib/host/sweep.ts';
import { openBlobs } from '../../lib/nats/blobs.ts';
import { connectNats } from '../../lib/nats/connection.ts';
import { startServer } from '../../lib/nats/server.ts';
import type { Event } from '../../lib/observe/events.ts';

function spec(name: string, change: Partial<PipelineSpec> = {}): PipelineSpec {
  return {
    name,
    life: 'now',
    purged: ['before'],
    since: {},
    revision: 1,
    bundle: `${name}-bundle`,
    program: 1,
    former: [`${name}-former`],
    file: `${name}.ts`,
    desired: 'running',
    purge: false,
    remains: null,
    fingerprint: '',
    summary: null,
    text: '',
    deployedAtMs: 0,
    deployedBy: null,
    ...change,
  };
}
const gone = { desired: 'deleted', remains: { kept: [], deleted: [] } } as const;

describe('what the sweep leaves alone', () => {
  const specs = [spec('runs'), spec('kept', gone), spec('purged', { ...gone, purge: true })];

  test('is every bundle that a spec names, also that of a pipeline which was deleted, and what ran before', () => {
    assert.ok(isWanted(specs, '_bundles/runs-former'));
    assert.ok(isWanted(specs, '_bundles/runs-bundle'));
    assert.ok(isWanted(specs, '_bundles/kept-bundle'));
    assert.ok(!isWanted(specs, '_bundles/replaced'));
  });

  test('is every snapshot but those of lives that were deleted with their state', () => {
    assert.ok(isWanted(specs, 'runs/now/s/0/manifest/1'));
    assert.ok(isWanted(specs, 'kept/now/s/0/manifest/1'));
    assert.ok(!isWanted(specs, 'purged/now/s/0/manifest/1'));
    assert.ok(!isWanted(specs, 'runs/before/s/0/manifest/1'));
    assert.ok(isWanted(specs, 'runs/never-heard-of/s/0/manifest/1'));
  });

  test('is everything where the registry is lost, and what belongs to a pipeline that it does not know', () => {
    assert.ok(isWanted([], '_bundles/replaced'));
    assert.ok(isWanted(specs, 'unknown/now/s/0/manifest/1'));
  });
});

test('the active worker sweeps what is old and not wanted, keeps the rest, and puts back what becomes wanted meanwhile', async () => {
  const server = await startServer();
  const link = await connectNats({ servers: server.url });
  const blobs = await openBlobs(link, { bucket: 'swept' });
  for (const name of [
    '_bundles/runs-bundle',
    '_bundles/old',
    '_bundles/late',
    'purged/now/s/0/segment/1',
    'runs/now/s/0/segment/1',
  ]) {
    await blobs.put(name, Buffer.from(name));
  }
  const before = await blobs.list('');
  const events: Event[] = [];
  const base = [spec('runs'), spec('purged', { ...gone, purge: true })];
  let asked = 0;
  let active = false;
  const sweep = (olderThanMs: number) =>
    new Sweep({
      blobs,
      // Whoever deploys the late one does so while it is being removed.
      specs: async () => (asked++ === 0 ? base : [...base, spec('late', { bundle: 'late' })]),
      active: () => active,
      clock: systemClock,
      observer: { emit: event => events.push(event) },
      everyMs: 5,
      olderThanMs,
    });
  const standby = sweep(-60_000);
  standby.start();
  await new Promise(resolve => setTimeout(resolve, 50));
  await standby.stop({ deadlineMs: 1_000 });
  assert.deepEqual(await blobs.list(''), before, 'a standby sweeps nothing');
  active = true;
  const young = sweep(3_600_000);
  young.start();
  await new Promise(resolve => setTimeout(resolve, 50));
  await young.stop({ deadlineMs: 1_000 });
  assert.deepEqual(await blobs.list(''), before, 'what is young is left alone');
  asked = 0;
  const old = sweep(-60_000);
  old.start();
  while (!events.some(event => event.event === 'blobs.swept')) await new Promise(resolve => setTimeout(resolve, 5));
  await old.stop({ deadlineMs: 5_000 });
  const wanted = ['_bundles/late', '_bundles/runs-bundle', 'runs/now/s/0/segment/1'];
  assert.deepEqual(await blobs.list(''), wanted);
  assert.equal(Buffer.from((await blobs.get('_bundles/late'))!).toString(), '_bundles/late');
  await link.close();
  await server.stop();
});
