/**
 * Under the very rights that `millrace permissions` prints everything works: each kind of source and sink, all commands, the
 * applications beside it. The server's log has the last word: whoever asks for more is in it.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { connect, type NatsConnection } from 'nats';
import type { Role } from '../../cmd/permissions.ts';
import type { AdminClient } from '../../lib/control/client.ts';
import { Cli, type Ended } from '../rig/cli.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene, statusOf } from './scene.ts';

const PIPELINE = `import { count, pipeline, tumbling } from 'millrace';
type Order = { id: string; shop: string; amount: number; at: number };
type Shop = { city: string };
export default pipeline('orders', ({ from, table }) => {
  const orders = from<Order>('shop.order', { name: 'orders', capture: true, time: 'at' })
    .keyBy('shop')
    .map(order => {
      if (order.amount < 0) throw new Error('a negative amount');
      return order;
    }, { name: 'checked' })
    .dedupe({ id: order => order.id, within: '1h' });
  orders.join(table<Shop>('shops'), (order, shop) => ({ ...order, city: shop?.city ?? '' })).to('shop.unique.{id}');
  orders.window(tumbling('1h')).aggregate({ orders: count() }).to('shop.totals.{partition}');
  from<{ text: string }>('audit.in', { name: 'audit' }).to('audit.out', { mode: 'at-least-once' });
}, { partitions: 2 });
`;
const ROLES = ['worker', 'publisher', 'subscriber', 'letters', 'planner'] as const;

const rig = new Cli();
let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
let config: string;
let offline: Role[];
const users = new Map<string, NatsConnection>();
const file = join(rig.folder, 'orders.ts');
const log = join(rig.folder, 'server.log');

/** In this process, as whoever has set these variables. */
async function run(...args: string[]): Promise<Pick<Ended, 'code' | 'out' | 'err'>> {
  const ended = await rig.ask(...args, '--server', worker.address);
  assert.equal(ended.code, 0, `${args.join(' ')}: ${ended.out}${ended.err}`);
  return ended;
}

function loginAs(role: string): void {
  process.env.NATS_USER = role;
  process.env.NATS_PASSWORD = `of-${role}`;
}

const violations = () => readFileSync(log, 'utf8').match(/.*Violation.*/g) ?? [];

before(async () => {
  for (const name of Object.keys(process.env)) if (/^(MILLRACE|NATS)_/.test(name)) delete process.env[name];
  process.env.HOME = rig.folder;
  process.chdir(rig.folder);
  writeFileSync('package.json', '{"type":"module"}');
  writeFileSync(file, PIPELINE);
  config = (await rig.ask('permissions', file, '--nats-inbox-prefix', '_INBOX_MILLRACE')).out;
  offline = JSON.parse(
    (await rig.ask('permissions', file, '--nats-inbox-prefix', '_INBOX_MILLRACE', '-o', 'json')).out,
  );
  // The server takes passwords from its environment.
  for (const role of ROLES) process.env[`${role.toUpperCase()}_PASSWORD`] = `of-${role}`;
  const blocks = [config.replace('users: [', 'users: [\n{ user: me, password: secret }'), `log_file: "${log}"`];
  scene = await Scene.open({ blocks }, { login: { user: 'me', pass: 'secret' } });
  for (const user of ROLES.slice(1)) {
    const connection = await connect({ servers: scene.server.url, user, pass: `of-${user}` });
    users.set(user, connection);
    scene.closing.add(() => connection.close());
  }
  await scene.log.ensureStream({ name: 'AUDIT_IN', subjects: ['audit.in'] });
  await scene.connection.jetstream().views.kv('shops');
  worker = scene.worker('worker', ['--nats-inbox-prefix', '_INBOX_MILLRACE'], {
    NATS_USER: 'worker',
    NATS_PASSWORD: 'of-worker',
  });
  await worker.start();
  client = scene.client(worker);
});
after(async () => {
  process.chdir('/');
  await scene.close();
  rig.stop();
});

/** As an application reads a stream, by its client's ordered consumer. */
async function readAs(user: string, stream: string): Promise<string[]> {
  const consumer = await users.get(user)!.jetstream().consumers.get(stream);
  const rows: string[] = [];
  const messages = await consumer.fetch({ max_messages: 100, expires: 2_000 });
  for await (const message of messages) {
    rows.push(message.subject);
    if (message.info.pending === 0) break;
  }
  return rows;
}

test('a pipeline of each kind of source and sink runs, and applications send to it and read from it', async () => {
  const publisher = users.get('publisher')!.jetstream();
  const shops = await publisher.views.kv('shops', { bindOnly: true });
  for (const shop of ['a', 'b']) await shops.put(shop, JSON.stringify({ city: 'Ulm' }));
  await run('deploy', file);
  await running(client, 'orders');
  const at = Date.now();
  const orders = [1, 2, 3, -1, 4].map((amount, i) => ({ id: `o${i}`, shop: i % 2 === 0 ? 'a' : 'b', amount, at }));
  for (const order of orders) await publisher.publish('shop.order', JSON.stringify(order));
  await publisher.publish('audit.in', '{"text":"hello"}');
  await statusOf(client, 'orders', ({ status }) => status.counts.dead === 1);
  const unique = scene.output('shop_unique', 'shop.unique.*');
  await eventually('all orders are there', async () => (await unique.read()).length === 4);
  await run('advance', 'orders', 'orders', '--to', 'end');
  const totals = scene.output('shop_totals', 'shop.totals.*');
  await eventually('the windows have closed', async () => (await totals.read()).length > 0);
  assert.deepEqual(
    (await readAs('subscriber', 'shop_unique')).filter(subject => subject.startsWith('shop.')).length,
    4,
  );
  assert.ok((await readAs('subscriber', 'audit_out')).includes('audit.out'));
  assert.ok((await readAs('letters', 'MR_orders_letters')).includes('millrace.orders.dead.checked'));
});

test('every command works, and none has asked for more than it was granted', async () => {
  await run('get');
  await run('get', 'tasks', 'orders');
  await run('get', 'workers');
  await run('describe', 'orders');
  await run('events', 'orders');
  await run('plan', file);
  await run('get', 'tables', 'orders');
  await run('state', 'scan', 'orders', 'dedupe-orders');
  await run('letters', 'list', 'orders');
  writeFileSync(file, PIPELINE.replace('order.amount < 0', 'order.amount < -10'));
  await run('deploy', file);
  await run('letters', 'replay', 'orders', '--all', '--keep', '--yes');
  await run('letters', 'replay', 'orders', '--all', '--yes');
  await run('letters', 'discard', 'orders', '--all', '--yes');
  await run('pause', 'orders');
  await run('resume', 'orders');
  await run('restart', 'orders');
  await running(client, 'orders');
  loginAs('worker');
  process.env.NATS_INBOX_PREFIX = '_INBOX_MILLRACE';
  const doctor = await run('doctor', '--nats', scene.server.url);
  assert.match(doctor.out, /permissions +all requests that a worker sends are permitted/);
  delete process.env.NATS_INBOX_PREFIX;
  loginAs('planner');
  await rig.ask('plan', file, '--nats', scene.server.url).then(({ code, err }) => assert.equal(code, 0, err));
  assert.deepEqual(
    JSON.parse((await run('permissions', '--nats-inbox-prefix', '_INBOX_MILLRACE', '-o', 'json')).out),
    offline,
  );
  await worker.stop();
  await worker.start();
  await running(client, 'orders');
  await run('delete', 'orders', '--purge', '--yes');
  await worker.stop();
  assert.deepEqual(violations(), []);
  assert.doesNotMatch(worker.log, /nats\.refused|not permit/);
});

describe('beyond them', () => {
  const attempts: readonly [user: string, what: string, subject: string][] = [
    ['publisher', 'no spec is written', '$KV.millrace.pipelines.orders'],
    ['publisher', 'no journal is written', '_mr.orders.j.a.b.0'],
    ['publisher', 'no result is written', 'shop.unique.o1'],
    ['publisher', 'no stream is deleted', '$JS.API.STREAM.DELETE.AUDIT_IN'],
    ['subscriber', 'no record is sent', 'shop.order'],
    ['subscriber', 'no other stream is read', '$JS.API.CONSUMER.CREATE.AUDIT_IN.x'],
    ['letters', 'no letter is forged', 'millrace.orders.dead.checked'],
    ['planner', 'no message is deleted', '$JS.API.STREAM.MSG.DELETE.AUDIT_IN'],
  ];
  for (const [user, what, subject] of attempts) {
    test(`${what} by a ${user}`, async () => {
      const before = violations().length;
      users.get(user)!.publish(subject, '{}');
      await eventually('it is refused', () => violations().length > before);
      assert.ok(violations().at(-1)!.includes(`Publish to "${subject}"`) || violations().at(-1)!.includes(subject));
    });
  }

  test('a worker does not change the streams that it only reads', async () => {
    const connection = await connect({
      servers: scene.server.url,
      user: 'worker',
      pass: 'of-worker',
      inboxPrefix: '_INBOX_MILLRACE',
    });
    const before = violations().length;
    for (const what of ['DELETE', 'PURGE', 'MSG.DELETE', 'UPDATE']) {
      connection.publish(`$JS.API.STREAM.${what}.AUDIT_IN`, '{}');
    }
    await eventually('it is refused', () => violations().length === before + 4);
    await connection.close();
  });
});
