/**
 * What a pipeline leaves behind, and how it goes on from it: journals that snapshots keep short, a machine that comes
 * without its disk, and a second life after a purge, beside the results of the first.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { Event } from '../../lib/observe/events.ts';
import { startEngine } from './engine.ts';
import { Rounds } from './rounds.ts';
import { eventually, running, Scene } from './scene.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

test('snapshots keep the journal short under traffic, and an empty disk is filled from snapshot and journal', async () => {
  const rounds = await Rounds.open(scene, 11);
  const options = { natsUrl: scene.server.url, limits: { checkpointBytes: 20_000, stateBytesMax: 200_000 } };
  const events: Event[] = [];
  const emit = (event: Event) => events.push(event);
  const first = await startEngine({ ...options, dataDir: join(scene.folder, 'a'), emit });
  scene.closing.add(() => first.stop());
  const journal = async () => (await scene.log.info('MR_story_0_journal'))!;
  const sizes: number[] = [];
  const isShort = async () => {
    const { lastSeq, messages } = await journal();
    return messages < lastSeq / 2;
  };
  // A slow machine makes fewer commits of as much, and cuts go by bytes: there it takes more to see that they keep up.
  for (let round = 0; round < 6 || (round < 30 && !(await isShort())); round++) {
    await rounds.publish({ orders: 500, lengthMs: 1_000 });
    sizes.push((await journal()).bytes);
  }
  await rounds.judge();
  const { lastSeq, messages, bytes } = await journal();
  assert.ok(messages < lastSeq / 2, `${messages} of ${lastSeq} commits are kept`);
  assert.ok(bytes < 1_000_000, `${bytes} bytes; ${sizes.join(' ')}`);
  await first.stop();

  const second = await startEngine({ ...options, dataDir: join(scene.folder, 'b'), emit });
  scene.closing.add(() => second.stop());
  await rounds.publish({ orders: 100, lengthMs: 200 });
  await rounds.judge();
  const restored = events.filter(({ event, epoch }) => event === 'task.restored' && epoch === 2);
  assert.ok(
    restored.some(({ from }) => from === 'snapshot'),
    'tasks began from their snapshots',
  );
});

test('a pipeline that is purged and deployed again reads its input anew, and sends each row once more and no more', async () => {
  const worker = scene.worker();
  await worker.start();
  const client = scene.client(worker);
  await scene.log.ensureStream({ name: 'in', subjects: ['in'] });
  const text = `import { pipeline } from 'millrace';
export default pipeline('again', ({ from }) => {
  const rows = from<{ id: number }>('in').keyBy('id').dedupe({ id: r => r.id, within: '1h' });
  rows.to('owned.{partition}');
  rows.to('shared.{id}');
}, { partitions: 2 });
`;
  const outputs = { owned: scene.output('owned', 'owned.*'), shared: scene.output('shared', 'shared.*') };
  let published = 0;
  const publish = async (records: number) => {
    const ids = Array.from({ length: records }, () => published++);
    await scene.log.appendAll(ids.map(id => ({ subject: 'in', data: Buffer.from(JSON.stringify({ id })) })));
  };
  /** How often each row came, which is the same for all of a range of ids. */
  const wanted: string[] = [];
  const judge = async () => {
    for (const id of Array.from({ length: published }, (_, i) => i)) wanted.push(JSON.stringify({ id }));
    for (const output of Object.values(outputs)) {
      await eventually('all rows are there', async () => (await output.rows()).length >= wanted.length);
      assert.deepEqual([...(await output.rows())].sort(), [...wanted].sort());
    }
  };
  for (let life = 0; life < 3; life++) {
    await scene.deploy(client, { text });
    await running(client, 'again');
    await publish(200);
    await judge();
    if (life === 1) {
      await worker.kill();
      await worker.start();
      await running(client, 'again');
    }
    const { done } = await client.delete('again', { purge: true });
    assert.ok(done);
    assert.equal(await scene.ownStream('again'), null);
  }
});
