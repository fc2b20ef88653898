/**
 * What `get` shows is true, and enough: what each operator holds and waits for, and totals that go on whatever becomes of the
 * worker and of the code.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { AdminClient, PipelineInfo } from '../../lib/control/client.ts';
import { Cli } from '../rig/cli.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, Scene, statusOf } from './scene.ts';

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
const cli = new Cli();
before(async () => {
  ({ scene, worker, client } = await Scene.withWorker());
});
after(async () => {
  cli.stop();
  await scene.close();
});

const AT = '2026-01-01T18:05:';

const shop = (revision: string) => `import * as m from 'millrace';
export default m.pipeline('shop', ({ from }) => {
  const options = { time: 'at', maxOutOfOrder: '1s', capture: { maxBytes: 2 ** 24 } } as const;
  const orders = from<{ id: string; at: string; test?: boolean }>('shop.orders', { name: 'orders', ...options })
    .filter(order => order.test !== true)
    .keyBy('id');
  const payments = from<{ id: string; at: string }>('shop.payments', { name: 'payments', ...options }).keyBy('id');
  orders
    .leftJoin(payments, { within: '5m', name: 'paid' }, (order, payment) => ({ ...order, paid: payment !== null, of: '${revision}' }))
    .to('paired.{partition}');
  orders.window(m.tumbling('1h'), { name: 'hourly' }).aggregate({ n: m.count() }).to('hourly.{partition}');
}, { partitions: 2 });
`;
const copies = `import { pipeline } from 'millrace';
export default pipeline('copies', ({ from }) => {
  from<{ id: string; test?: boolean }>('shop.orders', { name: 'orders' }).filter(order => order.test !== true).to('copied.{partition}');
});
`;

const order = (id: string, second: string, more = {}) => publish('orders', { id, at: `${AT}${second}Z`, ...more });
function publish(subject: string, body: object | string): void {
  scene.connection.publish(`shop.${subject}`, typeof body === 'string' ? body : JSON.stringify(body));
}

/** What has been done, and is known of all parts. */
function done(pipeline: string, recordsIn: number, rowsOut: number): Promise<PipelineInfo> {
  return statusOf(client, pipeline, ({ status: { state, counts } }) => {
    return state === 'running' && !counts.partial && counts.in >= recordsIn && counts.out >= rowsOut;
  });
}

const totals = ({ status: { counts, sources, tasks } }: PipelineInfo) => ({
  counts,
  read: Object.fromEntries(sources.map(({ name, recordsIn, bytesIn }) => [name, [recordsIn, bytesIn]])),
  tasks: tasks.map(({ recordsIn, recordsOut }) => [recordsIn, recordsOut]),
});

test('what is held and waited for is shown, and totals go on over workers and revisions until they are purged', async () => {
  await scene.deploy(client, { text: shop('one') });
  await done('shop', 0, 0);
  order('a', '00');
  order('b', '01');
  order('c', '02');
  order('try', '02', { test: true });
  publish('orders', '{');
  publish('payments', { id: 'a', at: `${AT}02Z` });
  const first = await done('shop', 5, 1);
  assert.deepEqual(first.status.counts, {
    ...{ in: 5, out: 1, late: 0, dead: 1, dropped: { filtered: 1 }, partial: false },
  });

  const shown = await statusOf(client, 'shop', ({ status }) => status.operators.some(({ held }) => held === 2));
  const held = Object.fromEntries(
    shown.status.operators.map(({ name, unit, held, nextMs }) => [name, [unit, held, nextMs]]),
  );
  assert.deepEqual(held, {
    paid: ['unmatched', 2, Date.parse(`${AT}01Z`) + 300_000],
    hourly: ['windows', 3, Date.parse('2026-01-01T19:00:00Z')],
  });
  const { out } = await cli.ask('get', 'shop', '--server', worker.address);
  assert.match(out, /^paid .* 2 waiting for a partner, the first until 2026-01-01T18:10:01Z event time$/m);
  assert.match(out, /^hourly .* 3 windows open, the first closes at 2026-01-01T19:00:00Z event time$/m);
  assert.match(out, /^orders .* 2026-01-01T18:05:01Z /m);
  const json = JSON.parse((await cli.ask('get', 'shop', '-o', 'json', '--server', worker.address)).out);
  assert.equal(json.status.operators.length, 2);
  assert.equal(json.status.watermarkMs, Date.parse(`${AT}01Z`));

  await scene.deploy(client, { text: copies });
  const copied = await done('copies', 4, 3);
  assert.deepEqual(copied.status.counts.dropped, { filtered: 1 });

  const before = totals(await client.get('shop'));
  await worker.kill();
  await worker.start();
  assert.deepEqual(totals(await done('shop', 5, 1)), before, 'another worker goes on with them');
  assert.deepEqual(totals(await done('copies', 4, 3)), totals(copied));

  await client.pause('shop');
  const paused = await statusOf(client, 'shop', ({ status }) => status.state === 'paused');
  assert.deepEqual(paused.status.counts, before.counts, 'they are known while it does not run');
  await client.resume('shop');
  await scene.deploy(client, { text: shop('two') });
  order('b', '03');
  publish('payments', { id: 'b', at: `${AT}03Z` });
  const second = await done('shop', 7, 3);
  assert.deepEqual(second.status.counts, {
    ...{ in: 7, out: 3, late: 0, dead: 1, dropped: { filtered: 1 }, partial: false },
  });
  const rows = await scene.output('paired', 'paired.*').rows();
  assert.equal(rows.length, 3, 'as many as it says');

  await client.delete('copies', { purge: true });
  await eventually('it is gone', async () => !(await client.list()).some(({ name }) => name === 'copies'));
  await scene.deploy(client, { text: copies });
  const anew = await done('copies', 5, 4);
  assert.deepEqual(anew.status.counts, { in: 5, out: 4, late: 0, dead: 1, dropped: { filtered: 1 }, partial: false });
});
