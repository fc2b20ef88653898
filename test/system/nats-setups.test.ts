/**
 * The configurations of `deploy/nats`, as they are: each is what a server is started with, the pipeline of that folder runs
 * on it, and who has the application's login does nothing to it.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect, type NatsConnection, type StreamConfig } from 'nats';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { Cli } from '../rig/cli.ts';
import { eventually, Output, running, Scene } from './scene.ts';

const FOLDER = fileURLToPath(new URL('../../deploy/nats/', import.meta.url));
const PIPELINE = join(FOLDER, 'orders.ts');
const IDS = 120;
/** What tests set the variables of a configuration to; a worker's user is called millrace where it has an account. */
const pass = (user: string) => `of-${user === 'millrace' ? 'worker' : user}`;

const textOf = (name: string) => readFileSync(join(FOLDER, name), 'utf8');
const streamOf = (name: string) => JSON.parse(textOf(name)) as Partial<StreamConfig> & { name: string };

/** A scene on a server with that configuration; passwords are in its environment. */
async function sceneWith(file: string, user: string): Promise<Scene> {
  for (const [variable] of textOf(file).matchAll(/(?<=\$)[A-Z]+_PASSWORD/g)) {
    process.env[variable] = pass(variable.replace('_PASSWORD', '').toLowerCase());
  }
  return Scene.open({ blocks: [textOf(file)] }, { login: { user, pass: pass(user) } });
}

async function connectAs(scene: Scene, user: string): Promise<NatsConnection> {
  const connection = await connect({ servers: scene.server.url, user, pass: pass(user) });
  scene.closing.add(() => connection.close());
  return connection;
}

/** Each order twice. */
async function publish(connection: NatsConnection): Promise<void> {
  const js = connection.jetstream();
  for (let i = 0; i < 2 * IDS; i++) await js.publish('shop.order', JSON.stringify({ id: `o${i % IDS}` }));
}

const isWhole = (subjects: readonly string[]) => {
  assert.equal(new Set(subjects).size, subjects.length, 'none is there twice');
  return subjects.length === IDS;
};

test('in an account of its own Millrace reads a copy of the application’s stream, and the application one of the results', async () => {
  const scene = await sceneWith('account.conf', 'app');
  try {
    const millrace = await connectAs(scene, 'millrace');
    await scene.log.ensureStream({ name: 'ORDERS', subjects: ['shop.order'] });
    await (await millrace.jetstreamManager()).streams.add(streamOf('orders-copy.json'));
    const worker = scene.worker('worker', [], { NATS_USER: 'millrace', NATS_PASSWORD: pass('millrace') });
    await worker.start();
    const client = scene.client(worker);
    await scene.deploy(client, { file: PIPELINE });
    await running(client, 'orders');
    await (await scene.connection.jetstreamManager()).streams.add(streamOf('results-copy.json'));
    await publish(scene.connection);
    const copy = scene.output('shop_unique', 'shop.unique.*');
    await eventually(
      'the application has all results',
      async () => isWhole((await copy.read()).map(({ subject }) => subject)),
      () => worker.said(),
    );

    // What the application does under Millrace's names happens in its own account, or nowhere.
    const login = { user: 'millrace', password: pass('millrace') };
    const link = await connectNats({ servers: scene.server.url, ...login });
    scene.closing.add(() => link.close());
    const inside = new NatsLog(link);
    const specs = (await inside.info('KV_millrace'))!.subjects;
    const spec = await inside.last({ stream: 'KV_millrace', subject: '$KV.millrace.pipelines.orders' });
    for (const subject of ['$KV.millrace.pipelines.orders', '_mr.orders.j.a.b.0', 'millrace.orders.dead.x']) {
      scene.connection.publish(subject, '{}');
    }
    const manager = await scene.connection.jetstreamManager();
    for (const stream of ['KV_millrace', 'MRB_millrace', 'MR_orders_letters']) {
      await assert.rejects(manager.streams.delete(stream), /stream not found/);
    }
    assert.deepEqual((await inside.info('KV_millrace'))!.subjects, specs);
    const after = await inside.last({ stream: 'KV_millrace', subject: '$KV.millrace.pipelines.orders' });
    assert.equal(after!.seq, spec!.seq);
    const results = new Output(inside, 'shop_unique', 'shop.unique.*');
    assert.ok(isWhole((await results.read()).map(({ subject }) => subject)));
  } finally {
    await scene.close();
  }
});

test('in an account that is shared each user has what its role needs, as the command prints it', async () => {
  const rig = new Cli();
  const { out } = await rig.ask('permissions', PIPELINE, '--nats-inbox-prefix', '_INBOX_MILLRACE');
  const [comment, admin] = ["    # whoever makes the application's streams\n", /^ {4}\{ user: admin.*\n/m];
  const text = textOf('shared.conf').replace(comment, '').replace(admin, '');
  assert.ok(text.endsWith(`\n${out.trimEnd()}\n`), 'shared.conf is not what millrace permissions prints');
  const scene = await sceneWith('shared.conf', 'admin');
  try {
    await scene.log.ensureStream({ name: 'ORDERS', subjects: ['shop.order'] });
    const worker = scene.worker('worker', ['--nats-inbox-prefix', '_INBOX_MILLRACE'], {
      NATS_USER: 'worker',
      NATS_PASSWORD: pass('worker'),
    });
    await worker.start();
    const client = scene.client(worker);
    await scene.deploy(client, { file: PIPELINE });
    await running(client, 'orders');
    await publish(await connectAs(scene, 'publisher'));
    const results = scene.output('shop_unique', 'shop.unique.*');
    await eventually('all results are there', async () =>
      isWhole((await results.read()).map(({ subject }) => subject)),
    );
    const subscriber = await connectAs(scene, 'subscriber');
    const consumer = await subscriber.jetstream().consumers.get('shop_unique', { filterSubjects: 'shop.unique.*' });
    const first = await consumer.next({ expires: 5_000 });
    assert.match(first?.subject ?? '', /^shop\.unique\.o\d+$/);
    assert.doesNotMatch(worker.log, /nats\.refused/);
  } finally {
    await scene.close();
    rig.stop();
  }
});
