/**
 * Several threads in one worker: a pipeline's readers and tasks are spread over them, and seen from outside it is one
 * pipeline. All rows are right, also when the process is killed, and when it comes back with another number of threads; what
 * one thread has left on disk another goes on with.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import { freePort, type WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene, statusOf } from './scene.ts';

const PIPELINE = `import { pipeline } from 'millrace';
export default pipeline('rides', ({ from }) => {
  const rides = from<{ id: string; car: string }>('rides', { capture: true }).keyBy('car', { name: 'by-car' });
  rides.dedupe({ id: ({ id }) => id, within: '1d', name: 'once' }).to('rides.out.{partition}', { name: 'out' });
}, { partitions: 4 });
`;
const CARS = 40;

let scene: Scene;
let metrics = '';
/** How many rides are published. */
let rides = 0;
before(async () => {
  scene = await Scene.open();
  metrics = `127.0.0.1:${await freePort()}`;
});
after(() => scene.close());

/** Rides of all cars in turn, each of them twice. */
async function publish(more: number): Promise<void> {
  for (let n = rides; n < rides + more; n++) {
    const ride = JSON.stringify({ id: `ride-${n}`, car: `car-${n % CARS}` });
    for (let twice = 0; twice < 2; twice++) scene.connection.publish('rides', ride);
  }
  rides += more;
  await scene.connection.flush();
}

/** Each ride is out once, those of a car in their order. */
async function areOut(): Promise<void> {
  const out = scene.output('rides_out', 'rides.out.*');
  await eventually(
    `${rides} rows are out`,
    async () => (await out.rows()).length >= rides,
    async () => String((await out.rows()).length),
  );
  const rows = (await out.rows()).map(row => JSON.parse(row) as { id: string; car: string });
  assert.deepEqual([rows.length, new Set(rows.map(({ id }) => id)).size], [rides, rides]);
  const last = new Map<string, number>();
  for (const { id, car } of rows) {
    const number = Number(id.slice('ride-'.length));
    assert.ok((last.get(car) ?? -1) < number, `${id} of ${car} is in order`);
    last.set(car, number);
  }
}

async function started(threads: number): Promise<{ worker: WorkerProcess; client: AdminClient }> {
  const worker = scene.worker('worker', ['--threads', String(threads), '--metrics', metrics]);
  await worker.start();
  return { worker, client: scene.client(worker) };
}

/** All keys that the dedupe remembers, page by page. */
async function remembered(client: AdminClient): Promise<{ keys: string[]; pages: number; partitions: number[] }> {
  const keys: string[] = [];
  const partitions: number[] = [];
  let pages = 0;
  let pageToken: string | null = null;
  do {
    const page = await client.scan('rides', {
      operator: 'once',
      pageSize: 70,
      ...(pageToken === null ? {} : { pageToken }),
    });
    for (const { key, partition } of page.items) {
      keys.push(JSON.stringify(key));
      partitions.push(partition);
    }
    pages++;
    pageToken = page.nextPageToken;
  } while (pageToken !== null);
  return { keys, pages, partitions };
}

test('a pipeline over two threads is one pipeline: its rows, its status, its state by key and page by page', async () => {
  const { worker, client } = await started(2);
  await scene.deploy(client, { text: PIPELINE });
  await running(client, 'rides');
  await publish(400);
  await areOut();
  const info = await statusOf(
    client,
    'rides',
    ({ status: { counts } }) => counts.in === 800 && counts.dropped.duplicate === 400,
  );
  assert.deepEqual(
    info.status.tasks.map(({ partition, state }) => `${partition} ${state}`),
    ['0 running', '1 running', '2 running', '3 running'],
  );
  assert.deepEqual([info.status.sources.length, info.status.quarantine], [1, null]);
  const text = await (await fetch(`http://${metrics}/metrics`)).text();
  for (const thread of ['1', '2']) {
    const busy = new RegExp(`^millrace_engine_thread_busy_seconds_total\\{thread="${thread}"\\} (\\S+)$`, 'm').exec(
      text,
    );
    assert.ok(Number(busy?.[1]) > 0, `thread ${thread} does something`);
  }
  const [table] = await client.tables('rides');
  assert.deepEqual([table!.operator, table!.entries], ['once', 400]);
  for (const n of [0, 7, 398]) {
    const key = [`car-${n % CARS}`, `ride-${n}`];
    assert.equal((await client.entries({ pipeline: 'rides', operator: 'once', key })).length, 1, String(n));
  }
  const { keys, pages, partitions } = await remembered(client);
  assert.deepEqual([keys.length, new Set(keys).size], [400, 400]);
  assert.ok(pages >= 400 / 70);
  assert.deepEqual(partitions, [...partitions].sort());
  await worker.stop();
});

test('killed and begun anew with another number of threads, again and again, it goes on exactly where it was', async () => {
  let ended: 'kill' | 'stop' = 'kill';
  for (const threads of [2, 1, 3, 2]) {
    const { worker, client } = await started(threads);
    await publish(200);
    await eventually('some are in', async () => (await client.get('rides')).status.counts.in > 0);
    await worker.kill();
    await publish(200);
    await worker.start();
    await areOut();
    await running(client, 'rides');
    const { keys } = await remembered(client);
    assert.equal(keys.length, rides);
    if (ended === 'stop') await worker.stop();
    else await worker.kill();
    ended = ended === 'stop' ? 'kill' : 'stop';
  }
});
