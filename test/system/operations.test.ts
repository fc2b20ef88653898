/**
 * What operators do to pipelines that work, on a real broker with two workers: pausing under load, replaying what died
 * once the code is mended, looking into state. Nothing is lost by it and nothing doubled.
 *
 *   worker a   runs ─ pause ─ SIGKILL                    runs v2 ─ replay ······ SIGKILL
 *   worker b   standby ····· takes over, stays paused ─ resume …   standby ···· takes over ─ replay again
 *   publish    ───────────────────────────────────────────────────────────────────────────────────────────
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import type { EntryView } from '../../lib/engine/views.ts';
import type { ReplayProgress } from '../../lib/service/views.ts';
import { startEngine } from './engine.ts';
import { Rounds, STORY } from './rounds.ts';
import { eventually, pause, running, Scene, statusOf, textOf } from './scene.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

test('a pipeline that is paused under load keeps still, through a crash and a takeover, and goes on exactly once', async () => {
  const rounds = await Rounds.open(scene, 11);
  const [first, second] = [scene.worker('a'), scene.worker('b')];
  await first.start();
  const client = scene.client(first);
  await scene.deploy(client, { file: STORY });
  await running(client, 'story');
  await second.start();
  const other = scene.client(second);
  await eventually('both workers are known', async () => (await other.workers()).length === 2);
  assert.deepEqual((await client.workers()).map(worker => [worker.active, worker.tasks > 0]).sort(), [
    [false, false],
    [true, true],
  ]);
  const load = rounds.publish({ orders: 1_200, lengthMs: 4_000 });
  await pause(1_000);
  await client.pause('story');
  const paused = await statusOf(other, 'story', info => info.status.state === 'paused');
  assert.match(paused.status.reason ?? '', /resume story/);
  const stream = (await scene.ownStream('story'))!;
  const journal = () => scene.log.info(stream);
  const before = (await journal())!.lastSeq;
  await load;
  await first.kill();
  await eventually(
    'the other worker is active',
    async () => (await other.info()).activeWorker === (await other.info()).worker,
  );
  assert.equal((await statusOf(other, 'story', info => info.status.state === 'paused')).paused, true);
  assert.equal((await journal())!.lastSeq, before, 'nothing is committed while it is paused');
  await other.resume('story');
  await running(other, 'story');
  await rounds.publish({ orders: 200, lengthMs: 300 });
  await rounds.judge();
});

/** Orders with an id, told twice; those without a price make `priced` throw as long as it is strict. */
function shop(strict: boolean): string {
  return `import { count, pipeline, tumbling } from 'millrace';
type Order = { id: string; shop: string; price: number | null; at: number };
export default pipeline('shop', ({ from }) => {
  const orders = from<Order>('orders', { time: 'at', idleAfter: '1h' })
    .keyBy('shop')
    .dedupe({ id: order => order.id, within: '1d' })
    .map(order => {
      if (${strict} && order.price === null) throw new Error('no price');
      return { ...order, price: order.price ?? 0 };
    }, { name: 'priced' });
  orders.to('paid.{shop}');
}, { partitions: 3 });`;
}

test('letters are replayed under load once the code is mended, broken off by SIGKILL, and each record is there once', async () => {
  await scene.log.ensureStream({ name: 'orders', subjects: ['orders'] });
  const [first, second] = [scene.worker('a'), scene.worker('b')];
  await first.start();
  const client = scene.client(first);
  await scene.deploy(client, { text: shop(true) });
  await running(client, 'shop');
  await second.start();
  const other = scene.client(second);
  const at = Date.now();
  const ids: string[] = [];
  const publish = async (count: number, bad: (i: number) => boolean) => {
    for (let i = 0; i < count; i++) {
      const id = `o${ids.length}`;
      ids.push(id);
      const order = { id, shop: `s${ids.length % 7}`, price: bad(i) ? null : i, at: at + ids.length };
      // At least once: every copy is judged by the dedupe, also that of an order that has died behind it.
      for (let copies = 0; copies < 2; copies++) scene.connection.publish('orders', JSON.stringify(order));
      if (i % 50 === 49) await pause(10);
    }
    await scene.connection.flush();
  };
  await publish(2_000, i => i % 2 === 0);
  await statusOf(client, 'shop', info => info.status.counts.dead >= 1_000);
  await eventually('all letters are there', async () => (await client.letters({ pipeline: 'shop' })).total === 1_000);
  const page = await client.letters({ pipeline: 'shop', code: 'USER_CODE' }, { pageSize: 10, content: true });
  assert.equal(page.items.length, 10);
  assert.equal(page.items[0]!.subject, 'orders');
  await scene.deploy(client, { text: shop(false) });
  await running(client, 'shop');

  const load = publish(1_000, () => false);
  const broken = brokenOff(client, () => first.kill());
  const progress = await broken;
  assert.ok(progress === null || progress.replayed < 1_000, 'it was broken off');
  await eventually('the other worker is active', async () => {
    const info = await other.info();
    return info.activeWorker === info.worker;
  });
  const { total } = await other.letters({ pipeline: 'shop' });
  assert.ok(total > 0 && total < 1_000, `${total} letters are left`);
  let last: ReplayProgress | null = null;
  for await (const step of other.replayLetters({ pipeline: 'shop' })) last = step;
  assert.deepEqual(last, { seen: total, replayed: total, skipped: 0, total, reasons: [] });
  await load;
  assert.equal((await other.letters({ pipeline: 'shop' })).total, 0);
  const paid = scene.output('paid', 'paid.*');
  await eventually('all are paid', async () => (await paid.read()).length >= ids.length);
  await pause(500);
  const rows = (await paid.read()).map(message => (JSON.parse(textOf(message)) as { id: string }).id);
  assert.deepEqual(rows.sort(), [...ids].sort());
});

/** Kills the worker as soon as the replay has told of some letters. Null: it told of none before. */
async function brokenOff(client: AdminClient, kill: () => Promise<void>): Promise<ReplayProgress | null> {
  let last: ReplayProgress | null = null;
  let killed: Promise<void> | null = null;
  try {
    for await (const step of client.replayLetters({ pipeline: 'shop' })) {
      last = step;
      killed ??= kill();
    }
  } catch (error) {
    assert.match(String(error), /unavailable|answers|broke|reset|dropped|closed/i);
  }
  await killed;
  return last;
}

test('state is read while its tasks work and most of it is on disk, and is all there when they rest', async () => {
  const rounds = await Rounds.open(scene, 5);
  const { pipeline, stop } = await startEngine({
    natsUrl: scene.server.url,
    dataDir: join(scene.folder, 'state'),
    limits: { checkpointBytes: 4_000, stateBytesMax: 8_000, batchRecordsMax: 64, commitBytesMax: 16_000 },
    emit: () => {},
  });
  scene.closing.add(stop);
  await eventually('it runs', () => pipeline.status().state === 'running');
  const scan = async (operator: string): Promise<EntryView[]> => {
    const entries: EntryView[] = [];
    for (let pageToken: string | null = null; ; ) {
      const page = await pipeline.state.scan({ operator, table: null, partition: null, pageSize: 37, pageToken });
      entries.push(...page.items);
      if (page.nextPageToken === null) return entries;
      pageToken = page.nextPageToken;
    }
  };
  let seen = 0;
  let mostOnDisk = 0;
  const look = async () => {
    await pause(5);
    seen += (await scan('dedupe-orders')).length;
    const bytes = (await pipeline.state.tables()).reduce((sum, table) => sum + table.bytes, 0);
    const inMemory = pipeline.status().tasks.reduce((sum, task) => sum + task.stateBytes, 0);
    mostOnDisk = Math.max(mostOnDisk, bytes - inMemory);
  };
  const lookUnderLoad = async (load: { orders: number; lengthMs: number }) => {
    let done = false;
    const sent = rounds.publish(load).finally(() => {
      done = true;
    });
    while (!done) await look();
    await sent;
  };
  await lookUnderLoad({ orders: 3_000, lengthMs: 4_000 });
  // What a checkpoint has written leaves memory with a later commit, so on a slow machine it takes more of them.
  await eventually('state is on disk alone', async () => {
    if (mostOnDisk <= 10_000) await lookUnderLoad({ orders: 500, lengthMs: 500 });
    return mostOnDisk > 10_000;
  });
  assert.ok(seen > 0, 'there was something to see');
  await rounds.judge();
  const tables = await pipeline.state.tables();
  assert.ok(tables.length > 3);
  for (const operator of new Set(tables.map(table => table.operator))) {
    const held = tables.filter(table => table.operator === operator).reduce((sum, table) => sum + table.entries, 0);
    const entries = await scan(operator);
    const names = new Set(
      entries.map(({ table, partition, bucket, key }) => JSON.stringify([table, partition, bucket, key])),
    );
    assert.equal(entries.length, names.size, `${operator}: none is there twice`);
    assert.equal(entries.length, held, operator);
    for (const entry of entries.slice(0, 20)) {
      const found = await pipeline.state.get({ operator, key: entry.key });
      assert.ok(
        found.some(one => JSON.stringify(one) === JSON.stringify(entry)),
        `${operator}: ${JSON.stringify(entry)}`,
      );
    }
  }
});
