/**
 * The command as a user runs it: child processes, a real broker, exit codes and what is written where.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { AdminClient } from '../../lib/control/client.ts';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import { freePort } from '../rig/worker-process.ts';
import { until } from '../unit/worker/fakes.ts';

const LAUNCHER = fileURLToPath(new URL('../../cmd/millrace.mjs', import.meta.url));

const PIPELINE = `import { pipeline } from 'millrace';
interface Order { id: string; amount: number }
export default pipeline('orders', ({ from }) => {
  from<Order>('shop.order', { capture: true }).keyBy('id').dedupe({ id: o => o.id, within: '1h' }).to('shop.unique.{id}');
}, { partitions: 2 });
`;

let folder = '';
let broker: NatsServer;
const children: ChildProcess[] = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'millrace-cli-test-'));
  broker = await startServer();
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  await writeFile(join(folder, 'orders.ts'), PIPELINE);
});
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  await broker.stop();
  await rm(folder, { recursive: true, force: true });
});

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function begin(args: readonly string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [LAUNCHER, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, HOME: folder, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said.err += text));
  const ended = new Promise<Ended>(resolve => child.once('close', code => resolve({ code, ...said })));
  return { child, said, ended };
}

function run(...args: readonly string[]): Promise<Ended> {
  return begin(args).ended;
}

describe('help', () => {
  test('of every command has examples, on standard output, with exit code 0', async () => {
    const commands = ['worker', 'dev', 'plan', 'deploy', 'get', 'describe', 'restart', 'delete'];
    const all = await Promise.all([[], ...commands.map(command => [command])].map(args => run(...args, '--help')));
    for (const { code, out, err } of all) {
      assert.equal(code, 0);
      assert.match(out, /Examples:\n {2}\$ millrace /);
      assert.equal(err, '');
    }
    assert.match(all[0]!.out, /MILLRACE_NATS .*default nats:/);
  });

  test('nothing at all is answered with help, and that is an error', async () => {
    const { code, out, err } = await run();
    assert.equal(code, 2);
    assert.equal(out, '');
    assert.match(err, /Usage: millrace/);
  });
});

describe('errors', () => {
  const cases: [string, string[], number, RegExp][] = [
    ['an unknown command', ['foo'], 2, /^error: unknown command 'foo'\n\(see --help\)\n$/],
    ['an unknown flag', ['get', '--wide'], 2, /^error: unknown option '--wide'/],
    ['a missing argument', ['deploy'], 2, /^error: missing required argument 'file'/],
    ['a wrong format', ['get', '-o', 'xml'], 2, /Allowed choices are table, json, yaml/],
    ['a wrong address', ['get', '--server', 'nonsense'], 2, /^error: --server is nonsense; give HOST:PORT/],
    ['a wrong number', ['worker', '--stop-seconds', 'ten'], 2, /Give a number of seconds/],
    [
      'nobody at the address',
      ['get', '--server', '127.0.0.1:1'],
      1,
      /^error: no worker answers at 127\.0\.0\.1:1; start one with: millrace worker/,
    ],
    [
      'a data folder that cannot be made',
      ['worker', '--data', 'package.json/data', '--listen', '127.0.0.1:0'],
      1,
      /^error: opening the data folder package\.json\/data failed: .*check free space, permissions and mount/,
    ],
    ['a file that is not there', ['deploy', 'gone.ts'], 1, /^error: there is no file gone\.ts; give the path/],
    [
      'a delete that nobody confirmed',
      ['delete', 'orders'],
      2,
      /^error: this would stop pipeline orders.*confirm with --yes\n$/,
    ],
  ];
  for (const [what, args, exitCode, text] of cases) {
    test(`${what}: exit code ${exitCode}, one clear line on standard error, no stack`, async () => {
      const { code, out, err } = await run(...args);
      assert.match(err, text);
      assert.doesNotMatch(err, /^\s+at /m);
      assert.equal(code, exitCode);
      assert.equal(out, '');
    });
  }

  test('a mistake in the pipeline is shown with its place', async () => {
    await writeFile(join(folder, 'broken.ts'), "import { pipeline } from 'millrace';\nexport default pipeline(;\n");
    const { code, err } = await run('deploy', 'broken.ts');
    assert.equal(code, 1);
    assert.match(err, /^error: broken\.ts:2:25: /);
  });

  test('a wrong variable in the environment is named', async () => {
    const { code, err } = await begin(['get'], { MILLRACE_LOG: 'loud' }).ended;
    assert.equal(code, 2);
    assert.match(err, /^error: MILLRACE_LOG is loud; give one of debug, info, warn, error\n$/);
  });

  test('--debug adds the stack', async () => {
    const { err } = await run('get', '--server', '127.0.0.1:1', '--debug');
    assert.match(err, /^\s+at /m);
  });
});

describe('plan', () => {
  test('against a broker alone shows stages, state and streams; mistakes come all at once with their places', async () => {
    const { code, out } = await run('plan', 'orders.ts', '--nats', broker.url);
    assert.equal(code, 0);
    assert.match(out, /pipeline orders/);
    assert.match(out, /shop\.unique/);
    const json = await run('plan', 'orders.ts', '--nats', broker.url, '-o', 'json');
    assert.equal((JSON.parse(json.out) as { pipeline: string }).pipeline, 'orders');
    const text = `import { pipeline } from 'millrace';
export default pipeline('orders', ({ from }) => {
  from('not.captured').to('a.b');
  from('not.captured.either', { maxOutOfOrder: 'soon' as '1s' }).to('c.d');
});
`;
    await writeFile(join(folder, 'mistaken.ts'), text);
    const wrong = await run('plan', 'mistaken.ts', '--nats', broker.url);
    assert.equal(wrong.code, 1);
    assert.match(wrong.err, /mistaken\.ts:3:\d+/);
    assert.match(wrong.err, /mistaken\.ts:4:\d+/);
    assert.doesNotMatch(wrong.err, /millrace-plan-/);
  });
});

describe('a worker', () => {
  test('takes a pipeline from deploy to delete, through SIGKILL and SIGTERM', async () => {
    const server = `127.0.0.1:${await freePort()}`;
    const flags = ['worker', '--nats', broker.url, '--data', join(folder, 'data'), '--listen', server];
    const client = new AdminClient({ address: server });
    const ask = (...args: string[]) => run(...args, '--server', server);
    const running = () =>
      client.get('orders').then(
        ({ status }) => status.state === 'running',
        () => false,
      );
    let worker = begin(flags);
    await until('the worker answers', () =>
      client.info().then(
        () => true,
        () => false,
      ),
    );

    const created = await ask('deploy', 'orders.ts');
    assert.equal(created.out, 'pipeline orders created (revision 1)\n');
    assert.equal((await ask('deploy', 'orders.ts')).out, 'pipeline orders unchanged (revision 1)\n');
    await until('the pipeline runs', running);
    assert.match((await ask('get')).out, /^NAME +STATE .*\norders +running /);
    const described = (await ask('describe', 'orders')).out;
    assert.match(described, /State: +running/);
    assert.match(described, /^by-id\/0 +running +1 +\d{1,3} /m, 'commits are counted from the first of this life');
    const yaml = await ask('get', 'orders', '-o', 'yaml');
    assert.match(yaml.out, /^name: orders\nrevision: 1\n/);

    const link = await connectNats({ servers: broker.url });
    const log = new NatsLog(link);
    const orders = ['1', '2', '2', '3', '1'].map(id => ({
      subject: 'shop.order',
      data: Buffer.from(JSON.stringify({ id, amount: 5 })),
    }));
    await log.appendAll(orders);
    const results = async () => {
      const stream = await log.streamOf('shop.unique.1');
      const found =
        stream === null
          ? []
          : await Promise.all(['1', '2', '3'].map(id => log.last({ stream, subject: `shop.unique.${id}` })));
      return found.filter(message => message !== null).length;
    };
    await until('three results are there', async () => (await results()) === 3);

    worker.child.kill('SIGKILL');
    await worker.ended;
    worker = begin(flags);
    await until('it runs again', running);

    const other = await begin(['worker', ...flags.slice(1, 5), '--listen', '127.0.0.1:0']).ended;
    assert.equal(other.code, 1);
    assert.match(other.err, /^error: the data folder .* is used by another process/m);

    const changed = PIPELINE.replace('partitions: 2', 'partitions: 4');
    await writeFile(join(folder, 'changed.ts'), changed);
    const refused = await ask('deploy', 'changed.ts');
    assert.equal(refused.code, 1);
    assert.match(refused.err, /has 2 partitions and would have 4/);

    worker.child.kill('SIGTERM');
    const ended = await worker.ended;
    assert.equal(ended.code, 0);
    const events = ended.err
      .trim()
      .split('\n')
      .map(line => (JSON.parse(line) as { event: string }).event);
    assert.ok(events.indexOf('worker.stopping') < events.indexOf('pipeline.stopped'), events.join());
    assert.equal(events.at(-1), 'worker.stopped');

    worker = begin(flags);
    await until('it runs once more', running);
    const deleted = await ask('delete', 'orders', '--purge', '--yes');
    assert.equal(deleted.code, 0);
    assert.match(deleted.out, /deleted:\n[\s\S]*stream MR_orders_journal[\s\S]*kept:\n[\s\S]*with results/);
    assert.equal(await log.info('MR_orders_journal'), null);
    assert.equal((await ask('get', 'orders')).code, 1);
    assert.equal((await ask('get')).out, 'no pipelines; deploy one with: millrace deploy FILE\n');
    worker.child.kill('SIGINT');
    assert.equal((await worker.ended).code, 0);
    client.close();
    await link.close();
  });

  test('started before its broker waits for it, and ends when told to', async () => {
    const flags = [
      'worker',
      '--nats',
      'nats://127.0.0.1:1',
      '--data',
      join(folder, 'early'),
      '--listen',
      '127.0.0.1:0',
    ];
    const worker = begin(flags);
    await until('it says that it waits', () => worker.said.err.includes('nats.unreachable'));
    worker.child.kill('SIGTERM');
    assert.equal((await worker.ended).code, 0);
  });
});

describe('dev', () => {
  test('shows results as plain lines, stops cleanly, and goes on where it was', async () => {
    const data = join(folder, 'dev-data');
    const dev = async (id: string) => {
      const one = begin(['dev', 'orders.ts', '--data', data, '--listen', '127.0.0.1:0']);
      await until('the pipeline runs', () => /orders {2}running/.test(one.said.out));
      const url = /broker (nats:\S+)/.exec(one.said.out)![1]!;
      const link = await connectNats({ servers: url });
      await new NatsLog(link).appendAll(
        ['0', id].map(order => ({ subject: 'shop.order', data: Buffer.from(`{"id":"${order}"}`) })),
      );
      await until('the result is shown', () => one.said.out.includes(`shop.unique.${id}`));
      await link.close();
      one.child.kill('SIGINT');
      return one.ended;
    };
    const first = await dev('1');
    assert.equal(first.code, 0, first.err);
    assert.match(first.out, /orders created \(revision 1\)/);
    assert.match(first.out, /shop\.unique\.0 {2}\{"id":"0"\}/);
    const second = await dev('2');
    assert.equal(second.code, 0, second.err);
    assert.match(second.out, /orders goes on \(revision 1\)/);
    assert.doesNotMatch(second.out, /shop\.unique\.0/, 'a duplicate of what was seen before the stop');
    assert.match(await readFile(join(data, 'worker', 'worker-name'), 'utf8'), /^[\w-]+\n$/);
  });
});
