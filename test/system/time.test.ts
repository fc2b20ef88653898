/**
 * Event time on a real broker, with a worker process that is frozen: what is published meanwhile is late for nobody, and no
 * row says that something did not come which did. And what a source takes when its stream changes around it.
 *
 *   orders    ●●●───────quiet──────┤ worker stands still ├────
 *   payments  ●●●───quiet or busy──┤  both speak again   ├────   old knowledge of silence must not count
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import { Publisher } from '../rig/publisher.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, type Output, pause, running, Scene, statusOf, textOf } from './scene.ts';

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  ({ scene, worker, client } = await Scene.withWorker());
});
after(() => scene.close());

/** Proportions of a real day: quiet for longer than `idleAfter`, and frozen for longer than that. */
const IDLE_AFTER_MS = 1_000;
const QUIET_MS = 1_600;
const FROZEN_MS = 2_500;

interface Pair {
  readonly order: string;
  readonly paid: boolean;
}

/** Orders and payments of real time, each pair published at one moment. */
class Shop {
  readonly name: string;
  readonly out: Output;
  readonly late: Output;
  #said = 0;
  #orders = 0;

  private constructor(name: string) {
    this.name = name;
    this.out = scene.output(`${name}_paired`, `${name}.paired.*`);
    this.late = scene.output(`MR_${name}_letters`, `millrace.${name}.late.>`);
  }

  static async open(name: string): Promise<Shop> {
    await scene.deploy(client, {
      text: `import * as m from 'millrace';
export default m.pipeline('${name}', ({ from }) => {
  const options = { time: 'at', maxOutOfOrder: '200ms', idleAfter: ${IDLE_AFTER_MS}, capture: { maxBytes: 2 ** 24 } } as const;
  const orders = from<{ order: string; at: number }>('${name}.orders', { name: 'orders', ...options }).keyBy('order');
  const payments = from<{ order: string; at: number }>('${name}.payments', { name: 'payments', ...options }).keyBy('order');
  orders
    .leftJoin(payments, { within: '500ms' }, (order, payment) => ({ order: order.order, paid: payment !== null }))
    .to('${name}.paired.{partition}');
}, { partitions: 2 });
`,
    });
    await running(client, name);
    return new Shop(name);
  }

  async say(subjects: readonly string[]): Promise<void> {
    const order = `o${this.#said++}`;
    if (subjects.includes('orders')) this.#orders++;
    const body = JSON.stringify({ order, at: Date.now() });
    for (const subject of subjects) scene.connection.publish(`${this.name}.${subject}`, body);
    await scene.connection.flush();
  }

  async talk(subjects: readonly string[], lengthMs: number): Promise<void> {
    for (const endMs = performance.now() + lengthMs; performance.now() < endMs; await pause(20))
      await this.say(subjects);
  }

  /** Waits until every order has come out, and for what may come too much. */
  async judge(): Promise<readonly Pair[]> {
    await eventually(
      'every order has come out',
      async () => (await this.out.rows()).length >= this.#orders,
      async () => `${(await this.out.rows()).length} of ${this.#orders}`,
    );
    await pause(300);
    const rows = (await this.out.rows()).map(row => JSON.parse(row) as Pair);
    assert.equal(rows.length, this.#orders);
    assert.deepEqual((await this.late.read()).map(textOf), []);
    return rows;
  }
}

async function freeze(meanwhile: () => Promise<void>): Promise<void> {
  process.kill(worker.pid, 'SIGSTOP');
  try {
    await meanwhile();
  } finally {
    process.kill(worker.pid, 'SIGCONT');
  }
}

test('what two services say after a silence, while the worker is frozen, all meets', async () => {
  const shop = await Shop.open('awake');
  await shop.talk(['orders', 'payments'], 400);
  await pause(QUIET_MS);
  await freeze(() => shop.talk(['orders', 'payments'], FROZEN_MS));
  assert.ok((await shop.judge()).every(({ paid }) => paid));
});

test('a quiet service that speaks while the worker is frozen is not taken to be silent by a busy one', async () => {
  const shop = await Shop.open('sparse');
  const both = ['orders', 'payments'];
  await shop.talk(both, 400);
  await shop.talk(['orders'], QUIET_MS);
  const alone = (await shop.judge()).filter(({ paid }) => !paid).length;
  await freeze(() => shop.talk(both, FROZEN_MS));
  assert.equal(
    (await shop.judge()).filter(({ paid }) => !paid).length,
    alone,
    'no order that was paid came out unpaid',
  );
});

test('a service that is silent for a while says nothing late when it speaks again, beside one that never stopped', async () => {
  const shop = await Shop.open('pausing');
  await shop.talk(['orders', 'payments'], 400);
  await shop.talk(['payments'], QUIET_MS);
  await shop.talk(['orders', 'payments'], 400);
  assert.ok((await shop.judge()).every(({ paid }) => paid));
});

test('a replay whose sources end at different times says who is waited for, and goes on when somebody says how far it is', async () => {
  const day = Date.UTC(2025, 5, 1);
  const hour = (n: number) => new Date(day + n * 3_600_000).toISOString();
  await scene.log.ensureStream({ name: 'traffic', subjects: ['traffic.*'] });
  await scene.log.ensureStream({ name: 'weather', subjects: ['weather.>'] });
  const publisher = new Publisher(scene.connection);
  for (let n = 0; n < 18; n++) publisher.publish('traffic.a1', JSON.stringify({ at: hour(n), cars: n }));
  for (let n = 0; n < 10; n++) publisher.publish('weather.north.a1', JSON.stringify({ at: hour(n), rain: n }));
  await publisher.finish();
  await scene.deploy(client, {
    text: `import * as m from 'millrace';
export default m.pipeline('roads', ({ from }) => {
  const traffic = from<{ at: string; cars: number }>('traffic.*', { name: 'traffic', time: 'at' }).keyBy(() => 'a1');
  const weather = from<{ at: string; rain: number }>('weather.>', { name: 'weather', time: 'at' }).keyBy(() => 'a1');
  traffic.merge(weather).window(m.tumbling('1h')).aggregate({ n: m.count() }).to('roads.{partition}');
}, { partitions: 1 });
`,
  });
  await statusOf(client, 'roads', ({ status }) => status.tasks.some(({ waitsFor }) => waitsFor === 'weather'));
  const rows = scene.output('roads', 'roads.*');
  assert.equal((await rows.rows()).length, 9, 'the hours that weather has come through');
  const told = await client.advance('roads', { source: 'weather', to: hour(12) });
  assert.deepEqual([told.stream, told.subject], ['weather', 'weather.complete']);
  await eventually('its hours have closed', async () => (await rows.rows()).length >= 12);
  for (const source of ['weather', 'traffic']) await client.advance('roads', { source, to: 'end' });
  await eventually('all hours have closed', async () => (await rows.rows()).length >= 18);
  const counts = (await rows.rows()).map(row => (JSON.parse(row) as { n: number }).n);
  assert.deepEqual(counts, [...new Array<number>(10).fill(2), ...new Array<number>(8).fill(1)]);
  const { status } = await statusOf(client, 'roads', ({ status: { counts } }) => counts.dropped.heartbeat === 3);
  assert.deepEqual([status.counts.dropped, status.counts.in], [{ heartbeat: 3 }, 28]);
});

test('a subject that its stream is given later is not taken for the source’s own', async () => {
  const manager = await scene.connection.jetstreamManager();
  await manager.streams.add({ name: 'shared', subjects: ['shared.orders'] });
  const text = `import { pipeline } from 'millrace';
export default pipeline('alone', ({ from }) => {
  from('shared.orders', { name: 'orders' }).to('alone.out.{partition}');
}, { partitions: 1 });
`;
  await scene.deploy(client, { text });
  await running(client, 'alone');
  await manager.streams.update('shared', { subjects: ['shared.orders', 'shared.noise'] });
  const publisher = new Publisher(scene.connection);
  for (let n = 0; n < 100; n++) publisher.publish(n % 2 === 0 ? 'shared.noise' : 'shared.orders', `{"n":${n}}`);
  await publisher.finish();
  const out = scene.output('alone_out', 'alone.out.*');
  await eventually('the orders are there', async () => (await out.rows()).length >= 50);
  await statusOf(client, 'alone', ({ status }) => status.sources[0]?.lag === 0 && status.sources[0].position === 100);
  assert.deepEqual(
    (await out.rows()).map(row => (JSON.parse(row) as { n: number }).n),
    Array.from({ length: 50 }, (_, i) => i * 2 + 1),
  );
});

test('what was purged unread stops the pipeline and is told; what was another subject’s is no loss', async () => {
  const manager = await scene.connection.jetstreamManager();
  await manager.streams.add({ name: 'mixed', subjects: ['mixed.*'] });
  const publish = async (subject: string, count: number) => {
    const publisher = new Publisher(scene.connection);
    for (let n = 0; n < count; n++) publisher.publish(subject, `{"n":${n}}`);
    await publisher.finish();
  };
  const text = `import { pipeline } from 'millrace';
export default pipeline('purged', ({ from }) => {
  from('mixed.orders', { name: 'orders' }).to('purged.out.{partition}');
}, { partitions: 1 });
`;
  await scene.deploy(client, { text });
  await publish('mixed.orders', 10);
  await publish('mixed.noise', 300);
  const out = scene.output('purged_out', 'purged.out.*');
  await eventually('the orders are there', async () => (await out.rows()).length === 10);
  await statusOf(client, 'purged', ({ status }) => status.sources[0]?.position === 310);
  await manager.streams.purge('mixed', { seq: 300 });
  await client.restart('purged');
  await running(client, 'purged');
  await publish('mixed.orders', 1);
  await eventually('it goes on', async () => (await out.rows()).length === 11);
  await client.pause('purged');
  await statusOf(client, 'purged', ({ status }) => status.state === 'paused');
  await publish('mixed.orders', 300);
  await manager.streams.purge('mixed', { seq: 600 });
  await client.resume('purged');
  const { status } = await statusOf(client, 'purged', info => info.status.state === 'failed');
  assert.match(status.reason ?? '', /mixed now starts at sequence 600, but we have read only up to 311/);
});
