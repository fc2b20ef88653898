/**
 * Identities, roles and the audit, with real workers: who may what is the same at each of them, what was changed and
 * refused outlives those that heard it, and none listens where others reach it unless it knows who they are.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isMillraceError } from '../../lib/base/errors.ts';
import { bundlePipeline } from '../../lib/bundle/bundle.ts';
import { digest } from '../../lib/control/admission.ts';
import { AdminClient } from '../../lib/control/client.ts';
import { beginCommand } from '../rig/command.ts';
import { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, Scene } from './scene.ts';

let scene: Scene;
before(async () => {
  scene = await Scene.open();
});
after(() => scene.close());

const token = (name: string) => `${name}-has-a-token-of-its-own`;

/** Roles by name, as the file has them. */
async function writeAccess(roles: Readonly<Record<string, string>>): Promise<string> {
  const file = join(scene.folder, 'access.yaml');
  const entries = Object.entries(roles).map(
    ([name, roles]) => `  - { name: ${name}, token: 'sha256:${digest(token(name))}', roles: [${roles}] }\n`,
  );
  await writeFile(file, `identities:\n${entries.join('')}`);
  return file;
}

async function bundle(name: string) {
  const file = join(scene.folder, `${name}.ts`);
  await writeFile(
    file,
    `import { pipeline } from 'millrace';
export default pipeline('${name}', ({ from }) => {
  from<{ n: number }>('in.${name}', { capture: true }).map(({ n }) => ({ n })).to('out.${name}');
});
`,
  );
  return bundlePipeline(file);
}

function client(worker: WorkerProcess, name: string): AdminClient {
  const client = new AdminClient({ address: worker.address, token: token(name), timeoutMs: 20_000 });
  scene.closing.add(() => client.close());
  return client;
}

function refused(code: string, text: RegExp) {
  return (error: unknown) => isMillraceError(error) && error.code === code && text.test(error.message);
}

test('who may what is the same at every worker, and what was changed and refused outlives them', async () => {
  const known = { root: 'admin', ci: 'read, deploy:shop-*', viewer: 'read', worker: 'peer' };
  const access = await writeAccess(known);
  const tokenFile = join(scene.folder, 'worker.token');
  await writeFile(tokenFile, token('worker'));
  let log = '';
  const worker = (name: string, ...more: string[]) => {
    const made = new WorkerProcess({
      ...{ natsUrl: scene.server.url, dataDir: join(scene.folder, name) },
      flags: ['--access', access, '--token-file', tokenFile, ...more],
      client: { token: token('root') },
      heard: text => {
        log += text;
      },
    });
    scene.closing.add(() => made.kill());
    return made;
  };
  const [first, second] = [worker('first'), worker('second', '--capacity', '0')];
  await first.start();
  await eventually('the first is active', async () => (await client(first, 'root').info()).activeWorker !== null);
  await second.start();

  const [ci, viewer, root] = [client(second, 'ci'), client(second, 'viewer'), client(second, 'root')];
  const shop = await bundle('shop-orders');
  assert.equal((await ci.deploy(shop)).outcome, 'created');
  const runs = async () => (await ci.get('shop-orders')).status.state === 'running';
  await eventually('it runs on the first, and the second says so', runs);
  const { pipeline } = await viewer.describe('shop-orders');
  assert.equal(pipeline.deployedBy, 'ci');
  assert.notEqual(pipeline.worker, (await root.info()).worker);
  await assert.rejects(
    ci.deploy(await bundle('billing')),
    refused('PERMISSION_DENIED', /role deploy for pipeline billing/),
  );
  await assert.rejects(viewer.deploy(shop), refused('PERMISSION_DENIED', /role deploy, and viewer has read/));
  await assert.rejects(viewer.audit(), refused('PERMISSION_DENIED', /role operate/));
  assert.equal(await root.pause('shop-orders'), 2);
  const stranger = new AdminClient({ address: second.address, token: 'nobody-has-this-one' });
  scene.closing.add(() => stranger.close());
  await assert.rejects(stranger.list(), refused('UNAUTHENTICATED', /not the token/));

  const told = async (asked: AdminClient) =>
    (await asked.audit()).items.map(({ who, method, pipeline, revision, outcome, code }) =>
      [who, method, pipeline, revision, outcome, code].map(part => part ?? '–').join(' '),
    );
  const wanted = [
    'ci DeployPipeline shop-orders 1 created –',
    'ci DeployPipeline billing – refused PERMISSION_DENIED',
    'viewer DeployPipeline – – refused PERMISSION_DENIED',
    'viewer ListAudit – – refused PERMISSION_DENIED',
    'root PausePipeline shop-orders 2 done –',
    '– ListPipelines – – refused UNAUTHENTICATED',
  ];
  await eventually('all of it is written', async () => (await told(root)).length === wanted.length);
  assert.deepEqual(await told(root), wanted);
  await Promise.all([first.kill(), second.kill()]);
  await first.start();
  const again = client(first, 'root');
  assert.deepEqual(await told(again), wanted);
  const [deployed] = (await again.audit({ pipeline: 'shop-orders' })).items;
  assert.equal(deployed!.bundleHash, shop.hash);
  assert.match(deployed!.from, /^127\.0\.0\.1:\d+$/);
  assert.deepEqual((await again.audit({ sinceMs: Date.now() + 60_000 })).items, []);

  const shown = beginCommand(['audit', 'shop-orders', '--since', '1h'], {
    env: { MILLRACE_SERVER: first.address, MILLRACE_TOKEN: token('root') },
  });
  assert.equal(await shown.ended, 0);
  assert.match(shown.said.text, /ci +127\.0\.0\.1:\d+ +DeployPipeline +shop-orders +1 +created/);
  const manager = await scene.connection.jetstreamManager();
  const { config } = await manager.streams.info('MR_AUDIT');
  assert.deepEqual([config.max_bytes, config.max_age / 86_400e9, config.deny_delete], [64 << 20, 90, true]);

  await writeAccess({ ...known, viewer: 'data' });
  const now = client(first, 'viewer');
  const denied = refused('PERMISSION_DENIED', /role read, and viewer has data/);
  await eventually('the file is read again', () => now.list().then(() => false, denied));
  for (const name of Object.keys(known)) assert.ok(!log.includes(token(name)), `the token of ${name} is in a log`);
});

test('a worker listens where others reach it only if it knows who they are, or is told to', async () => {
  const begin = (...flags: string[]) => {
    const worker = beginCommand(
      ['worker', '--nats', scene.server.url, '--data', join(scene.folder, 'open'), '--metrics', 'off', ...flags],
      { env: { MILLRACE_LOG_FORMAT: 'json' } },
    );
    scene.closing.add(() => void worker.child.kill('SIGKILL'));
    return worker;
  };
  const tokenFile = join(scene.folder, 'open.token');
  await writeFile(tokenFile, token('open'));
  for (const [flags, why] of [
    [
      [],
      /would run code for everybody who reaches 0\.0\.0\.0:0; give it a certificate \(--tls-cert, --tls-key\) and those/,
    ],
    [['--token-file', tokenFile], /would take tokens over the network at 0\.0\.0\.0:0 without TLS/],
  ] as const) {
    const worker = begin('--listen', '0.0.0.0:0', ...flags);
    assert.equal(await worker.ended, 2);
    assert.match(worker.said.text, why);
    assert.match(worker.said.text, /or say --insecure/);
  }
  for (const [listen, address] of [
    ['0.0.0.0:0', /^0\.0\.0\.0:\d+$/],
    ['localhost:0', /^(127\.0\.0\.1:\d+|\[::1\]:\d+)(, |$)/],
  ] as const) {
    const worker = begin('--listen', listen, '--insecure');
    const said = () =>
      /"event":"api\.listening"[^\n]*"address":"([^"]+)"|"address":"([^"]+)"[^\n]*"event":"api\.listening"/.exec(
        worker.said.text,
      );
    await eventually(
      'it listens',
      () => said() !== null,
      () => worker.said.text,
    );
    assert.match(said()![1] ?? said()![2]!, address);
    worker.child.kill('SIGTERM');
    assert.equal(await worker.ended, 0);
  }
});
