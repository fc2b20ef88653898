/**
 * Secrets stay where they were put: no command, log, event or status says one, the code of pipelines is not given one, and
 * nobody else may look into a worker's folder. Whatever is said here is looked through at the end.
 */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Cli } from '../rig/cli.ts';
import { freePort, type WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene, statusOf } from './scene.ts';

const SECRET = 'hunter2/@s3cret';
const OTHERS = 0o077;

const rig = new Cli();
let scene: Scene;
/** All that was said, by whom. */
const said: [who: string, text: string][] = [];
/** What a collector was sent with. */
const authorizations = new Set<string>();
const collector = createServer((request, response) => {
  authorizations.add(`${request.headers.authorization} ${request.headers['x-key']}`);
  request.resume().on('end', () => response.writeHead(200, { 'Content-Type': 'application/json' }).end('{}'));
});

const PIPELINE = `import { isMainThread, workerData } from 'node:worker_threads';
import { pipeline } from 'millrace';
const early = process.env.STRIPE_URL;
export default pipeline('looks', ({ from }) => {
  from<{ id: string }>('looks.in', { capture: true })
    .map(({ id }) => {
      const sees = JSON.stringify({ env: process.env, data: workerData, argv: process.argv, isMainThread });
      if (id === 'throw') throw new Error(sees);
      return { id, sees, early };
    })
    .to('looks.out');
}, { env: ['STRIPE_URL'] });
`;

before(async () => {
  const blocks = [`authorization { users: [{ user: me, password: ${JSON.stringify(SECRET)} }] }`];
  scene = await Scene.open({ blocks }, { login: { user: 'me', pass: SECRET } });
  scene.closing.add(() => rig.stop());
  await new Promise<void>(resolve => collector.listen(0, '127.0.0.1', resolve));
  scene.closing.add(() => {
    collector.closeAllConnections();
    collector.close();
  });
  writeFileSync(join(rig.folder, 'package.json'), '{"type":"module"}');
  writeFileSync(join(rig.folder, 'looks.ts'), PIPELINE);
});
after(() => scene.close());

function url(password: string, port = scene.server.port): string {
  return `nats://me:${password}@127.0.0.1:${port}`;
}

/** A command with its outcome; what it says is kept. */
async function run(args: readonly string[], env: Record<string, string> = {}) {
  const ended = await rig.begin(args, { env }).ended;
  said.push([args.join(' ').replaceAll(SECRET, '…'), ended.out + ended.err]);
  return ended;
}

describe('a worker', () => {
  let worker: WorkerProcess;
  const dataDir = () => join(scene.folder, 'worker');

  test('takes a login from a URL, sends spans with one, and gives pipelines what it was told to', async () => {
    const { port } = collector.address() as AddressInfo;
    mkdirSync(dataDir());
    chmodSync(dataDir(), 0o755);
    const mask = process.umask(0);
    worker = scene.worker(
      'worker',
      ['--env', 'STRIPE_URL', '--log', 'debug'],
      {
        MILLRACE_NATS: url(SECRET),
        MILLRACE_TOKEN: '',
        NATS_NKEY: '',
        OTEL_EXPORTER_OTLP_ENDPOINT: `http://me:${encodeURIComponent(SECRET)}@127.0.0.1:${port}`,
        OTEL_EXPORTER_OTLP_HEADERS: `x-key=${encodeURIComponent(SECRET)}`,
        STRIPE_URL: 'https://stripe.example',
        AWS_SECRET_ACCESS_KEY: SECRET,
      },
      text => said.push(['worker', text]),
    );
    await worker.start();
    process.umask(mask);
    assert.match(worker.log, /data\.open.*was open to others \(mode 755\) and is no longer/);
    const client = scene.client(worker);
    await scene.deploy(client, { file: join(rig.folder, 'looks.ts') });
    await running(client, 'looks');
    const traced = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    await scene.log.append({ subject: 'looks.in', data: Buffer.from('{"id":"a"}'), headers: { traceparent: traced } });
    await scene.log.append({ subject: 'looks.in', data: Buffer.from('{"id":"throw"}') });
    await statusOf(client, 'looks', ({ status }) => status.counts.dead === 1);
    const out = scene.output('looks_out', 'looks.out');
    await eventually('the row is there', async () => (await out.rows()).length === 1);
    const row = JSON.parse((await out.rows())[0]!) as { sees: string; early: string };
    said.push(['code', row.sees]);
    assert.equal(row.early, 'https://stripe.example');
    const sees = JSON.parse(row.sees) as { env: Record<string, string>; isMainThread: boolean };
    assert.equal(sees.env.STRIPE_URL, 'https://stripe.example');
    assert.equal(sees.isMainThread, false);
    assert.ok(
      Object.keys(sees.env).every(name => !/^(NATS|MILLRACE|OTEL|AWS)_/.test(name)),
      row.sees,
    );
    const basic = `Basic ${Buffer.from(`me:${SECRET}`).toString('base64')}`;
    await eventually(
      'spans have come',
      () => authorizations.has(`${basic} ${SECRET}`),
      () => [...authorizations].join(),
    );
  });

  test('keeps all that it writes to itself, whatever the mask of who started it', () => {
    const open = readdirSync(dataDir(), { recursive: true, encoding: 'utf8' }).filter(
      name => (statSync(join(dataDir(), name)).mode & OTHERS) !== 0,
    );
    assert.deepEqual(open, []);
    assert.equal(statSync(dataDir()).mode & 0o777, 0o700);
    assert.ok(
      readdirSync(join(dataDir(), 'state'), { recursive: true }).some(name => String(name).endsWith('CURRENT')),
    );
  });

  test('says what it runs without them', async () => {
    for (const args of [['get'], ['get', 'workers'], ['describe', 'looks'], ['events'], ['version']]) {
      assert.equal((await run([...args, '--server', worker.address, '-o', 'json'])).code, 0);
    }
    const letters = await run(['letters', 'list', 'looks', '--server', worker.address]);
    assert.match(letters.out, /USER_CODE/);
    const { code, out } = await run(['doctor', '--server', worker.address], { MILLRACE_NATS: url(SECRET) });
    assert.equal(code, 0, out);
    assert.equal(
      (await run(['plan', 'looks.ts'], { MILLRACE_NATS: url(SECRET), MILLRACE_SERVER: worker.address })).code,
      0,
    );
  });

  test('that does not pass what a pipeline needs does not run it, and says what to do', async () => {
    await worker.stop();
    const other = scene.worker('worker', [], { MILLRACE_NATS: url(SECRET) }, text => said.push(['other', text]));
    await other.start();
    const client = scene.client(other);
    const { status } = await statusOf(client, 'looks', info => info.status.state === 'failed');
    assert.match(status.reason ?? '', /needs the variable STRIPE_URL.*run its workers with --env STRIPE_URL/);
    await assert.rejects(
      scene.deploy(client, { text: PIPELINE.replaceAll('STRIPE_URL', 'OTHER_URL') }),
      /needs the variable OTHER_URL/,
    );
    await other.stop();
  });
});

describe('what fails says no secret:', () => {
  const bad: readonly [what: string, env: () => Record<string, string>, args: readonly string[], says: RegExp][] = [
    ['a wrong password', () => ({ MILLRACE_NATS: url(`${SECRET}x`) }), ['doctor'], /does not let us in/],
    ['a wrong token', () => ({ MILLRACE_NATS: `${SECRET}@127.0.0.1:${scene.server.port}` }), ['doctor'], /let us in/],
    ['two logins', () => ({ MILLRACE_NATS: `${url(SECRET)},${url('x')}` }), ['doctor'], /different logins/],
    ['a wrong collector', () => ({ OTEL_EXPORTER_OTLP_ENDPOINT: `htp://me:${SECRET}@x` }), ['worker'], /give the URL/],
    ['a wrong nkey', () => ({ NATS_NKEY: SECRET }), ['worker'], /nkey seed/],
    [
      'a login to no broker',
      () => ({}),
      ['plan', 'looks.ts', '--nats', 'nats://me:hunter2%2F%40s3cret@127.0.0.1:1'],
      /cannot connect/,
    ],
  ];
  for (const [what, env, args, says] of bad) {
    test(what, async () => {
      const { code, out, err } = await run(args, {
        MILLRACE_LISTEN: '127.0.0.1:0',
        MILLRACE_METRICS: 'off',
        STRIPE_URL: 'x',
        MILLRACE_ENV: 'STRIPE_URL',
        ...env(),
      });
      assert.notEqual(code, 0);
      assert.match(out + err, says);
    });
  }

  test('a worker or dev that waits for its broker', async () => {
    const nobody = url(SECRET, await freePort());
    const env = { MILLRACE_NATS: nobody, MILLRACE_LISTEN: '127.0.0.1:0', MILLRACE_METRICS: 'off' };
    const begun = rig.begin(['worker', '--data', 'waiting'], { env });
    await eventually('it waits', () => /nats\.unreachable/.test(begun.said.err));
    begun.child.kill('SIGTERM');
    said.push(['waiting', JSON.stringify(await begun.ended)]);
  });

  test('dev on a broker that has a login', async () => {
    const env = { STRIPE_URL: 'x', MILLRACE_ENV: 'STRIPE_URL', MILLRACE_METRICS: 'off' };
    const args = ['dev', 'looks.ts', '--nats', url(SECRET), '--listen', `127.0.0.1:${await freePort()}`];
    const begun = rig.begin(args, { env });
    await eventually(
      'it runs',
      () => /millrace dev {2}looks\.ts/.test(begun.said.out),
      () => JSON.stringify(begun.said),
    );
    const file = join(rig.folder, '.millrace', 'dev.json');
    await eventually('it is found', () => readdirSync(join(rig.folder, '.millrace')).includes('dev.json'));
    assert.equal(statSync(file).mode & OTHERS, 0);
    assert.equal(statSync(join(rig.folder, '.millrace')).mode & OTHERS, 0);
    begun.child.kill('SIGTERM');
    said.push(['dev', JSON.stringify(await begun.ended)]);
  });
});

test('of all that was said nothing has a secret in it', () => {
  assert.ok(said.length > 15);
  const forms = [SECRET, 'hunter2', 's3cret', encodeURIComponent(SECRET)];
  for (const [who, text] of said) for (const form of forms) assert.ok(!text.includes(form), `${who} says it: ${text}`);
});
