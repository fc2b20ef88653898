/**
 * The package as strangers get it: packed, installed into empty projects, and used there. Nothing of this tree is in
 * reach of them but the compiler.
 *
 * Installing takes what is not in npm's cache from its registry.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { connect, type NatsConnection } from 'nats';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import { freePort } from '../rig/worker-process.ts';
import { root, textOf } from '../tidy/texts.ts';

const execute = promisify(execFile);
const INSTALL = ['install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
const { version, exports: entryPoints } = JSON.parse(textOf('package.json')) as {
  version: string;
  exports: Record<string, unknown>;
};
/** What can be imported, e.g. `millrace/testing`. */
const MODULES = Object.keys(entryPoints)
  .filter(path => !path.endsWith('.json'))
  .map(path => `millrace${path.slice(1)}`);

const TYPED = MODULES.map((name, i) => `export * as all${i} from '${name}';\n`).join('');

const PIPELINE = `import { pipeline } from 'millrace';

export default pipeline('orders', ({ from }) => {
  from('shop.order', { capture: true })
    .map(order => ({ id: order.id, net: order.price.net }))
    .to('shop.net.{id}');
});
`;

let folder = '';
let project = '';
let packed: string[] = [];

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-package-'));
  project = join(folder, 'project');
  mkdirSync(project);
  const { stdout } = await execute('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root });
  const [made] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [{ filename: string; files: { path: string }[] }];
  packed = made.files.map(file => file.path);
  writeFileSync(join(project, 'package.json'), '{"name":"somebody","private":true,"type":"module"}');
  await execute('npm', [...INSTALL, join(folder, made.filename)], { cwd: project });
  // Only sources need it.
  rmSync(join(project, 'node_modules', 'tsx'), { recursive: true, force: true });
});
after(() => rmSync(folder, { recursive: true, force: true }));

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 600; tries++) {
    if (await holds()) return;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
  throw new Error(`waited in vain until ${what}`);
}

/** The installed command, as npx finds it. */
const command = () => join(project, 'node_modules', '.bin', 'millrace');

describe('the package', () => {
  test('holds the launcher, what was built, the interface and the words, and nothing else', () => {
    const others = packed.filter(
      file =>
        !/^(cmd\/[\w-]+\.mjs|dist\/[\w-]+\.js|dist\/types\/lib\/.*\.d\.ts|dist\/sbom\.cdx\.json|proto\/.*|(cmd\/)?[A-Z]+(\.md)?|package\.json)$/.test(
          file,
        ),
    );
    assert.deepEqual(others, []);
    for (const file of [
      'cmd/millrace.mjs',
      'LICENSE',
      'README.md',
      'CHANGELOG.md',
      'dist/index.js',
      'dist/millrace.js',
    ]) {
      assert.ok(packed.includes(file), `${file} is missing`);
    }
  });

  test('says what it is made of and needs, with hashes and licences', () => {
    interface Component {
      readonly name: string;
      readonly hashes?: readonly unknown[];
      readonly licenses?: readonly unknown[];
    }
    const file = join(project, 'node_modules', 'millrace', 'dist', 'sbom.cdx.json');
    const bom = JSON.parse(readFileSync(file, 'utf8')) as {
      bomFormat: string;
      metadata: { component: Component };
      components: readonly Component[];
    };
    assert.deepEqual([bom.bomFormat, bom.metadata.component.name], ['CycloneDX', 'millrace']);
    const names = bom.components.map(({ name }) => name);
    const { dependencies } = JSON.parse(textOf('package.json')) as { dependencies: Record<string, string> };
    assert.deepEqual(
      Object.keys(dependencies).filter(name => !names.includes(name)),
      [],
    );
    assert.ok(!names.includes('typescript'), 'what only the project needs is left out');
    for (const { name, hashes, licenses } of bom.components) {
      assert.ok(hashes !== undefined && licenses !== undefined, name);
    }
  });

  test('holds each module of the library once, so that all who import it mean the same', () => {
    const dist = join(project, 'node_modules', 'millrace', 'dist');
    const code = readdirSync(dist).filter(file => file.endsWith('.js'));
    const having = code.filter(file => readFileSync(join(dist, file), 'utf8').includes('this.name = "MillraceError"'));
    assert.equal(having.length, 1, having.join(', '));
  });

  test('can be imported by each of its names', async () => {
    for (const name of MODULES) {
      const code = `console.log(Object.keys(await import('${name}')).length > 0)`;
      const { stdout } = await execute(process.execPath, ['--input-type=module', '-e', code], { cwd: project });
      assert.equal(stdout.trim(), 'true', name);
    }
  });

  test('has a command that knows its version, and runs without a TypeScript loader', async () => {
    const { stdout } = await execute(command(), ['--version'], { cwd: project });
    assert.equal(stdout.trim(), version);
    assert.equal(existsSync(join(project, 'node_modules', 'millrace', 'cmd', 'millrace.ts')), false);
    const dist = join(project, 'node_modules', 'millrace', 'dist');
    const code = readdirSync(dist).filter(file => file.endsWith('.js'));
    const needing = code.filter(file => /(from|import\()\s*"tsx/.test(readFileSync(join(dist, file), 'utf8')));
    assert.deepEqual(needing, []);
  });
});

describe('a TypeScript project', () => {
  for (const [module, moduleResolution] of [
    ['nodenext', 'nodenext'],
    ['esnext', 'bundler'],
  ] as const) {
    test(`type-checks with moduleResolution ${moduleResolution}, strictly, the declarations included`, async () => {
      const settings = { module, moduleResolution, target: 'es2022', strict: true, noEmit: true };
      const config = `tsconfig.${moduleResolution}.json`;
      // No types of Node: who has none must not miss them.
      const compilerOptions = { ...settings, skipLibCheck: false, exactOptionalPropertyTypes: true, types: [] };
      writeFileSync(join(project, config), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
      writeFileSync(join(project, 'onboarding.ts'), textOf('test/examples/01-onboarding/onboarding.ts'));
      writeFileSync(join(project, 'modules.ts'), TYPED);
      const compiler = join(root, 'node_modules', '.bin', 'tsc');
      const checked = execute(compiler, ['--project', join(project, config)]);
      assert.equal((await checked.catch((error: { stdout: string }) => error)).stdout, '');
    });
  }
});

describe('a project against a broker', () => {
  let broker: NatsServer;
  let connection: NatsConnection;
  let worker: ChildProcess;
  let said = '';
  let address = '';

  before(async () => {
    broker = await startServer();
    connection = await connect({ servers: broker.url });
    address = `127.0.0.1:${await freePort()}`;
    writeFileSync(join(project, 'pipeline.js'), PIPELINE);
    writeFileSync(join(project, 'onboarding.ts'), textOf('test/examples/01-onboarding/onboarding.ts'));
    const flags = ['worker', '--nats', broker.url, '--data', join(folder, 'data'), '--listen', address];
    worker = spawn(command(), flags, { cwd: project, stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [worker.stdout, worker.stderr]) stream?.on('data', (text: Buffer) => (said += text));
    await until('the worker listens', () => said.includes('api.listening') || worker.exitCode !== null);
  });
  after(async () => {
    worker.kill('SIGKILL');
    await connection.close();
    await broker.stop();
  });

  const run = async (...args: string[]) => (await execute(command(), args, { cwd: project })).stdout;

  test('plans a pipeline in JavaScript and one in TypeScript', async () => {
    assert.match(await run('plan', 'pipeline.js', '--nats', broker.url), /pipeline orders[\s\S]*shop\.net\.\{id\}/);
    assert.match(await run('plan', 'onboarding.ts', '--nats', broker.url), /onboarding\.unbadged\.\{site\}/);
  });

  test('is told the line of a mistake in its own file', async () => {
    writeFileSync(join(project, 'wrong.js'), PIPELINE.replace("'shop.net.{id}'", "'shop net'"));
    const planned = run('plan', 'wrong.js', '--nats', broker.url);
    await assert.rejects(planned, (error: { stderr: string }) => /wrong\.js:6:\d+/.test(error.stderr));
  });

  test('deploys to a worker, and finds in a dead letter the line that threw', async () => {
    assert.equal(worker.exitCode, null, said);
    assert.match(await run('deploy', 'pipeline.js', '--server', address), /orders created/);
    assert.match(await run('deploy', 'onboarding.ts', '--server', address), /onboarding created/);
    const stream = connection.jetstream();
    await until('the pipeline runs', async () => (await run('get', 'orders', '--server', address)).includes('running'));
    await stream.publish('shop.order', '{"id":"1","price":{"net":5}}');
    await stream.publish('shop.order', '{"id":"2"}');
    const last = async (subject: string) => {
      const manager = await connection.jetstreamManager();
      for await (const name of manager.streams.names(subject)) {
        const found = await manager.streams.getMessage(name, { last_by_subj: subject }).catch(() => null);
        if (found !== null) return found;
      }
      return null;
    };
    await until('there is a result', async () => (await last('shop.net.1')) !== null);
    assert.deepEqual((await last('shop.net.1'))?.json(), { id: '1', net: 5 });
    await until('there is a dead letter', async () => (await last('millrace.orders.dead.map-1')) !== null);
    const letter = await last('millrace.orders.dead.map-1');
    assert.match(
      letter?.header.get('Millrace-Message') ?? '',
      /^pipeline\.js:5:\d+: Cannot read properties of undefined/,
    );
  });
});
