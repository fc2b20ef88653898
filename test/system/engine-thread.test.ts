/**
 * Whoever watches is not held up by what is watched. While a function does not return, the API answers, the lease is kept
 * and the worker is there for the others; bundles are judged apart from what runs; a delete runs nobody's code; and a thread
 * that has no memory left is followed by another.
 */
import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bundleBlob } from '../../lib/bundle/stored.ts';
import { presences } from '../../lib/cluster/presence.ts';
import type { AdminClient } from '../../lib/control/client.ts';
import { openBlobs } from '../../lib/nats/blobs.ts';
import { openRegistry } from '../../lib/nats/registry.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene } from './scene.ts';

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
/** All that the worker has said. */
let said = '';
before(async () => {
  scene = await Scene.open();
  // So little memory that one that has none left is there soon.
  const env = { MILLRACE_STUCK_SECONDS: '60', NODE_OPTIONS: '--max-old-space-size=160' };
  worker = scene.worker('worker', [], env, text => {
    said += text;
  });
  await worker.start();
  client = scene.client(worker);
  await scene.log.ensureStream({ name: 'things', subjects: ['things.*'] });
});
after(() => scene.close());

async function publish(subject: string, ...values: readonly unknown[]): Promise<void> {
  for (const value of values) scene.connection.publish(subject, JSON.stringify(value));
  await scene.connection.flush();
}

const plain = (name: string, subject: string) => `import { pipeline } from 'millrace';
export default pipeline('${name}', ({ from }) => { from('${subject}').to('${name}.{partition}'); });
`;

/** While the file is there, its function does `what`. */
const hindered = (name: string, flag: string, what: string) => `import { existsSync } from 'node:fs';
import { pipeline } from 'millrace';
const hold: unknown[] = [];
export default pipeline('${name}', ({ from }) => {
  from<{ n: number }>('things.${name}').map(thing => {
    while (thing.n === 13 && existsSync(${JSON.stringify(flag)})) { ${what} }
    return thing;
  }, { name: 'hinder' }).to('${name}.{partition}');
});
`;

const epochsOf = async (pipeline: string) => (await client.get(pipeline)).status.tasks.map(({ epoch }) => epoch);

test('while a function does not return the API answers and deploys, lease and presence go on, and it is said what it waits for', async () => {
  const flag = join(scene.folder, 'wait');
  await writeFile(flag, '');
  await scene.deploy(client, { text: hindered('slow', flag, '') });
  await scene.deploy(client, { text: plain('other', 'things.other') });
  await running(client, 'slow');
  await running(client, 'other');
  const registry = await openRegistry(scene.link, { bucket: 'millrace' });
  const lease = async () => JSON.parse(Buffer.from((await registry.get('leases.active'))!.value).toString());
  const seenAtMs = async () => [...(await presences(registry)).values()][0]!.seenAtMs;
  await publish('things.slow', { n: 13 });
  await eventually('it is said', async () => {
    const { state, reason } = (await client.get('other')).status;
    return state === 'waiting' && /^a function of hinder of pipeline slow has not returned for/.test(reason ?? '');
  });
  const [before, seen] = [await lease(), await seenAtMs()];
  assert.ok((await client.info()).worker !== '');
  assert.equal(await scene.deploy(client, { text: plain('third', 'things.third') }), 'third');
  const third = await client.get('third');
  assert.deepEqual([third.revision, third.status.state], [1, 'starting']);
  assert.match(third.status.reason ?? '', /^a function of hinder of pipeline slow/);
  await eventually(
    'lease and presence go on',
    async () => (await lease()).beat > before.beat && (await seenAtMs()) > seen,
  );
  assert.equal((await lease()).term, before.term);
  assert.equal((await client.get('slow')).status.state, 'waiting');
  await rm(flag);
  await running(client, 'third');
  const out = scene.output('slow', 'slow.*');
  await eventually('the record is out', async () => (await out.rows()).length === 1);
  assert.doesNotMatch(said, /lease\.lost|engine\.stuck/);
});

test('a bundle that takes all memory while it is loaded is refused with the reason, and what runs goes on in the same thread', async () => {
  const epochs = await epochsOf('other');
  const text = `import { pipeline } from 'millrace';
const hold: unknown[] = [];
for (;;) hold.push(new Array(10_000).fill(hold.length + 0.5));
export default pipeline('greedy', ({ from }) => { from('things.other').to('greedy.{partition}'); });
`;
  await assert.rejects(scene.deploy(client, { text }), /PLAN_INVALID|ran out of memory while it was loaded/);
  assert.deepEqual(await epochsOf('other'), epochs);
  assert.doesNotMatch(said, /engine\.(?:stuck|crashed)/);
});

test('a pipeline whose bundle is gone is deleted with all its streams', async () => {
  const text = `import { pipeline } from 'millrace';
export default pipeline('doomed', ({ from }) => {
  from<{ id: string }>('things.doomed').keyBy('id', { name: 'by-id' })
    .dedupe({ id: thing => thing.id, within: '1h' }).to('doomed.{partition}');
});
`;
  await scene.deploy(client, { text });
  await running(client, 'doomed');
  const { stage } = (await client.tasks({ pipeline: 'doomed' }))[0]!.status;
  const channels = await scene.ownStream('doomed', stage);
  assert.ok(channels !== null);
  const { bundleHash } = await client.get('doomed');
  const blobs = await openBlobs(scene.link, { bucket: 'millrace' });
  await blobs.delete(bundleBlob(bundleHash));
  const would = await client.delete('doomed', { purge: true, dryRun: true });
  assert.ok(
    would.deleted.some(line => line.includes(channels)),
    would.deleted.join(),
  );
  const { done, deleted, kept } = await client.delete('doomed', { purge: true });
  assert.ok(done);
  const names = (lines: readonly string[]) => lines.map(line => line.replace(/ \(.*/, ''));
  assert.deepEqual(names(deleted), names(would.deleted));
  assert.ok(kept.some(line => line.startsWith('stream things ')));
  assert.equal(await scene.log.info(channels), null);
});

test('a thread that has no memory left is followed by another, and all that ran in it goes on', async () => {
  const flag = join(scene.folder, 'hoard');
  await writeFile(flag, '');
  await scene.deploy(client, {
    text: hindered('hoarder', flag, 'hold.push(new Array(10_000).fill(hold.length + 0.5));'),
  });
  await running(client, 'hoarder');
  await publish('things.hoarder', { n: 13 });
  await eventually('it is said', async () => /"event":"engine\.crashed".*memory/.test(said));
  await eventually('the status says so', async () => {
    const { state, reason } = (await client.get('other')).status;
    return state === 'starting' && /has crashed/.test(reason ?? '');
  });
  await rm(flag);
  await running(client, 'other');
  await running(client, 'hoarder');
  await publish('things.other', { n: 1 });
  const [other, hoarder] = ['other', 'hoarder'].map(name => scene.output(name, `${name}.*`));
  await eventually(
    'both go on',
    async () => (await other!.rows()).length === 1 && (await hoarder!.rows()).length === 1,
  );
  assert.doesNotMatch(said, /lease\.lost/);
});
