/**
 * Whose output subjects are whose, on a real broker: two pipelines that want the same, a cluster that has forgotten who
 * wrote what is there, and a purge that goes on when the pipeline has been deployed again.
 *
 *   worker a   deploy ─ rows ─ purge: journal gone, blobs … SIGSTOP ······················ SIGCONT ─ the rest of its purge
 *   worker b   standby ······················ lease ─ purge done ─ deploy ─ rows of the second life ──────── more rows
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { isMillraceError } from '../../lib/base/errors.ts';
import { bundlePipeline } from '../../lib/bundle/bundle.ts';
import type { AdminClient } from '../../lib/control/client.ts';
import { openBlobs } from '../../lib/nats/blobs.ts';
import { eventually, type Output, pause, running, Scene } from './scene.ts';

let scene: Scene;
let output: Output;
let published = 0;
beforeEach(async () => {
  scene = await Scene.open();
  output = scene.output('out', 'out.*');
  published = 0;
  await scene.log.ensureStream({ name: 'in', subjects: ['in'] });
});
afterEach(() => scene.close());

/** A pipeline that dedupes and sends to owned subjects; `salt` makes its rows tell who sent them. */
async function bundleOf(name: string) {
  const file = join(scene.folder, `${name}.ts`);
  const text = `import { pipeline } from 'millrace';
export default pipeline('${name}', ({ from }) => {
  const rows = from<{ id: number }>('in').keyBy('id').dedupe({ id: row => row.id, within: '1d' });
  rows.map(({ id }) => ({ by: '${name}', id })).to('out.{partition}');
}, { partitions: 2 });
`;
  await writeFile(file, text);
  return bundlePipeline(file);
}

async function publish(records: number): Promise<void> {
  const ids = Array.from({ length: records }, () => published++);
  await scene.log.appendAll(ids.map(id => ({ subject: 'in', data: Buffer.from(JSON.stringify({ id })) })));
}

/** Every row that was ever wanted is there, as often as it was wanted. */
async function judge(wanted: string[], by: string): Promise<void> {
  for (let id = 0; id < published; id++) wanted.push(JSON.stringify({ by, id }));
  await eventually(
    'all rows are there',
    async () => (await output.rows()).length >= wanted.length,
    async () => `${(await output.rows()).length} of ${wanted.length}`,
  );
  assert.deepEqual([...(await output.rows())].sort(), [...wanted].sort());
}

const refused = (text: RegExp) => (error: unknown) =>
  isMillraceError(error, 'SUBJECT_OWNED') && text.test(error.message);

test('a second pipeline is refused an owned subject until the first is purged, and then loses no row to its tail', async () => {
  const worker = scene.worker();
  await worker.start();
  const client = scene.client(worker);
  const [first, second] = [await bundleOf('first'), await bundleOf('second')];
  const wanted: string[] = [];
  await client.deploy(first);
  await running(client, 'first');
  await publish(400);
  await judge(wanted, 'first');
  await assert.rejects(client.deploy(second), refused(/so does pipeline first \(its sink to-out-partition/));
  assert.equal((await client.plan(second)).refusals.length, 1);
  await client.delete('first', { purge: false });
  await assert.rejects(client.deploy(second, { takeOver: true }), refused(/pipeline first/));
  await client.delete('first', { purge: true });
  const { notices } = await client.deploy(second);
  const held = (await scene.log.info('out'))!.messages;
  assert.deepEqual(notices, [`stream out holds ${held} messages on 'out.*' already; results come after them`]);
  await running(client, 'second');
  await publish(100);
  await judge(wanted, 'second');
  await worker.kill();
  await worker.start();
  await publish(100);
  for (let id = 500; id < published; id++) wanted.push(JSON.stringify({ by: 'second', id }));
  await eventually('the rest is there', async () => (await output.rows()).length >= wanted.length);
  assert.deepEqual([...(await output.rows())].sort(), [...wanted].sort());
});

test('where streams of Millrace and the registry were wiped and results kept, a deploy is refused, and takes them over on purpose', async () => {
  const worker = scene.worker();
  await worker.start();
  let client = scene.client(worker);
  const bundle = await bundleOf('first');
  const wanted: string[] = [];
  await client.deploy(bundle);
  await running(client, 'first');
  await publish(300);
  await judge(wanted, 'first');
  await worker.stop();
  for (const stream of [...(await ownStreams('first')), 'KV_millrace', 'MRB_millrace'])
    await scene.log.deleteStream(stream);
  const other = scene.worker('other');
  await other.start();
  client = scene.client(other);
  await assert.rejects(
    client.deploy(bundle),
    refused(/was written by pipeline first in a life \([0-9a-f]+\) that this cluster knows nothing of/),
  );
  const { notices } = await client.deploy(bundle, { takeOver: true });
  assert.match(notices.join(), /They are of an earlier life of first: whoever reads from the beginning finds again/);
  await running(client, 'first');
  await publish(100);
  await judge(wanted, 'first');
});

test('a worker that was frozen in a purge and goes on later leaves the pipeline that was deployed again as it is', async () => {
  const [first, second] = [scene.worker('a'), scene.worker('b')];
  await first.start();
  const client = scene.client(first);
  const bundle = await bundleOf('again');
  const wanted: string[] = [];
  await client.deploy(bundle);
  await running(client, 'again');
  await second.start();
  const other = scene.client(second);
  await publish(200);
  await judge(wanted, 'again');
  const journal = (await scene.ownStream('again'))!;
  const life = journal.slice('MR_again_'.length, -'_journal'.length);
  // So many that the purge can be met in the middle of them.
  const blobs = await openBlobs(scene.link, { bucket: 'millrace' });
  const left = () => blobs.list(`again/${life}/more/`);
  for (let i = 0; i < 400; i++) await blobs.put(`again/${life}/more/${i}`, new Uint8Array(10));
  const purge = client.delete('again', { purge: true }).catch((error: unknown) => error);
  await eventually('the journal is gone', async () => (await scene.log.info(journal)) === null);
  process.kill(first.pid, 'SIGSTOP');
  const remain = (await left()).length;
  assert.ok(remain > 0 && remain <= 400, `the purge is met in the middle, with ${remain} blobs left`);

  await eventually('the other worker has carried out the purge', () => isGone(other));
  assert.deepEqual(await left(), []);
  await other.deploy(bundle);
  await running(other, 'again');
  await publish(100);
  await judge(wanted, 'again');
  const before = await extent('again');

  process.kill(first.pid, 'SIGCONT');
  await purge;
  await eventually('the thawed worker knows', async () => (await client.info()).activeWorker !== null);
  // What it had still to do, it has done or given up by then.
  await pause(3_000);
  assert.deepEqual(await extent('again'), before, 'journals, channels and snapshots of the second life are all there');
  await publish(100);
  for (let id = 300; id < published; id++) wanted.push(JSON.stringify({ by: 'again', id }));
  await eventually('the rest is there', async () => (await output.rows()).length >= wanted.length);
  assert.deepEqual([...(await output.rows())].sort(), [...wanted].sort());
  assert.deepEqual(await other.deploy(bundle).then(({ outcome }) => outcome), 'unchanged');
  const third = await bundleOf('third');
  await assert.rejects(other.deploy(third), refused(/so does pipeline again/), 'it owns its subjects still');
});

async function isGone(client: AdminClient): Promise<boolean> {
  return client.get('again').then(
    () => false,
    error => isMillraceError(error, 'NOT_FOUND'),
  );
}

async function ownStreams(pipeline: string): Promise<string[]> {
  const streams: string[] = [];
  for (const filter of [`_mr.${pipeline}.j.>`, `_mr.${pipeline}.x.>`, `_mr.${pipeline}.l.>`]) {
    const stream = await scene.streamOf(filter);
    if (stream !== null) streams.push(stream);
  }
  return streams;
}

/** The streams of a pipeline that there are, and when each was made. */
async function extent(pipeline: string): Promise<Record<string, string>> {
  const made: Record<string, string> = {};
  for (const stream of await ownStreams(pipeline)) made[stream] = (await scene.log.info(stream))!.created;
  return made;
}
