/**
 * `millrace doctor`, `init` and `dev` as a user runs them: a broker that is well, one that is too old, one without
 * JetStream, streams that somebody has changed; a project from nothing; a pipeline that is being written.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { connect } from 'nats';
import { publishDev } from '../../cmd/dev-file.ts';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { startServer } from '../../lib/nats/server.ts';
import { Cli } from '../rig/cli.ts';
import { root } from '../tidy/texts.ts';
import { until } from '../unit/host/fakes.ts';

interface Finding {
  readonly check: string;
  readonly verdict: string;
  readonly text: string;
  readonly advice?: string;
}

const rig = new Cli();
after(() => rig.stop());

async function findings(
  ...args: string[]
): Promise<{ code: number | null; of: (check: string) => Finding | undefined }> {
  const { code, out, err } = await rig.run('doctor', '-o', 'json', ...args);
  assert.match(out, /^\{/, err);
  const all = (JSON.parse(out) as { findings: Finding[] }).findings;
  for (const { verdict, advice, check } of all) assert.equal(verdict === 'good', advice === undefined, check);
  return { code, of: check => all.find(one => one.check === check) };
}

/** A server that greets as one of version 2.9 does, and says nothing else. */
async function oldServer(): Promise<{ url: string; server: Server }> {
  const server = createServer(socket => {
    socket.on('error', () => socket.destroy());
    socket.write('INFO {"server_id":"old","version":"2.9.25","proto":1,"max_payload":1048576,"headers":true}\r\n');
    socket.on('data', data => data.toString().includes('PING') && socket.write('PONG\r\n'));
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  return { url: `nats://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`, server };
}

describe('doctor', () => {
  test('finds a broker without a worker in order, but for the worker', async () => {
    const broker = await startServer();
    try {
      const { code, of } = await findings('--nats', broker.url, '--server', '127.0.0.1:1', '--data', 'data');
      assert.equal(code, 1);
      for (const check of ['node', 'data folder', 'broker', 'max_payload', 'jetstream', 'permissions', 'replicas']) {
        assert.equal(of(check)?.verdict, 'good', check);
      }
      assert.match(of('worker')?.advice ?? '', /millrace worker/);
      const text = await rig.run('doctor', '--nats', broker.url, '--server', '127.0.0.1:1', '--replicas', '3');
      assert.match(text.out, /^✓ node /);
      assert.match(text.out, /^✗ replicas .*in no cluster\n +→ /m);
    } finally {
      await broker.stop();
    }
  });

  test('names a stream that was changed by hand, and how to change it back', async () => {
    const broker = await startServer();
    const client = await connect({ servers: broker.url });
    try {
      const manager = await client.jetstreamManager();
      await manager.streams.add({ name: 'MR_a_1_journal', subjects: ['_mr.a.j.1.>'], max_age: 3_600_000_000_000 });
      await manager.streams.add({ name: 'MR_a_letters', subjects: ['millrace.a.>'] });
      const { of } = await findings('--nats', broker.url, '--server', '127.0.0.1:1');
      const journal = of('stream MR_a_1_journal');
      assert.equal(journal?.verdict, 'bad');
      assert.match(journal?.text ?? '', /changed by hand: max_age \(what it drops is needed\), discard: old/);
      assert.match(
        journal?.advice ?? '',
        /nats stream edit MR_a_1_journal --max-age 0; nats stream edit MR_a_1_journal --discard new/,
      );
      assert.match(of('stream MR_a_letters')?.text ?? '', /allow_atomic: false/);
    } finally {
      await client.close();
      await broker.stop();
    }
  });

  test('says that a server is too old, that JetStream is off, that nobody is there, that a permission is missing', async () => {
    const old = await oldServer();
    const user = (name: string, more = '') => `{ user: ${name}, password: ${name}${more} }`;
    const denied = ', permissions: { publish: { allow: ">", deny: "$JS.API.STREAM.PURGE.>" } }';
    const blocks = [
      `accounts { A { jetstream: enabled, users: [ ${user('full')}, ${user('less', denied)} ] }, B { users: [ ${user('bare')} ] } }`,
    ];
    const broker = await startServer({ config: { blocks } });
    const as = async (name: string) => {
      rig.env = { NATS_USER: name, NATS_PASSWORD: name };
      return findings('--nats', broker.url, '--server', '127.0.0.1:1');
    };
    try {
      const tooOld = (await findings('--nats', old.url, '--server', '127.0.0.1:1')).of('broker');
      assert.match(tooOld?.text ?? '', /of version 2\.9\.25, and Millrace needs 2\.12 or later/);
      const gone = (await findings('--nats', 'nats://127.0.0.1:1', '--server', '127.0.0.1:1')).of('broker');
      assert.equal(gone?.verdict, 'bad');
      assert.match(gone?.advice ?? '', /--nats/);
      assert.equal((await as('full')).of('permissions')?.verdict, 'good');
      assert.match((await as('less')).of('permissions')?.text ?? '', /publish to \$JS\.API\.STREAM\.PURGE\.\*$/);
      const bare = (await as('bare')).of('jetstream');
      assert.equal(bare?.verdict, 'bad');
      assert.match(bare?.advice ?? '', /enable JetStream for this account/);
      assert.match((await as('nobody')).of('broker')?.text ?? '', /NATS_USER/);
    } finally {
      rig.env = {};
      await broker.stop();
      old.server.close();
    }
  });
});

describe('doctor, in a project whose dev runs', () => {
  test('looks at its broker and its worker, unless others are named', async () => {
    const away = 'nats://127.0.0.1:2';
    const unpublish = publishDev({ project: rig.folder, api: '127.0.0.1:1', nats: away, pid: process.pid });
    try {
      const own = await findings();
      assert.match(own.of('broker')?.text ?? '', /127\.0\.0\.1:2/);
      assert.match(own.of('worker')?.text ?? '', /127\.0\.0\.1:1/);
      const named = await findings('--nats', 'nats://127.0.0.1:3');
      assert.match(named.of('broker')?.text ?? '', /127\.0\.0\.1:3/);
    } finally {
      unpublish();
    }
  });
});

describe('init', () => {
  for (const language of ['ts', 'js']) {
    test(`writes a project in ${language} whose test passes and which plan accepts; it overwrites nothing`, async () => {
      const broker = await startServer();
      try {
        const dir = `orders-${language}`;
        const flags = language === 'js' ? ['--js'] : [];
        const { code, out } = await rig.run('init', dir, ...flags);
        assert.equal(code, 0);
        assert.match(
          out,
          /next:\n {2}(\(cd \S+ && npm pack\)\n {2})?cd orders-\w+ && npm install\n {2}npm test\n {2}npm run dev\n$/,
        );
        const folder = join(rig.folder, dir);
        const read = (path: string) => readFileSync(join(folder, path), 'utf8');
        assert.equal((JSON.parse(read('package.json')) as { name: string }).name, dir);
        const before = read('README.md');
        const again = await rig.run('init', dir, ...flags);
        assert.equal(again.code, 2);
        assert.match(again.err, /package\.json, .* are in orders-\w+ already, and nothing is overwritten/);
        assert.equal(read('README.md'), before);
        assert.equal(existsSync(join(folder, 'tsconfig.json')), language === 'ts');

        const plan = ['plan', join(dir, `src/pipeline.${language}`), '--nats', broker.url];
        const planned = await rig.run(...plan);
        assert.equal(planned.code, 0, planned.err);
        assert.match(planned.out, /pipeline orders/);

        // As after `npm install`, with the library as it lies here.
        const paths = { millrace: [join(root, 'lib/index.ts')], 'millrace/testing': [join(root, 'lib/testing.ts')] };
        writeFileSync(join(folder, 'linked.json'), JSON.stringify({ compilerOptions: { allowJs: true, paths } }));
        mkdirSync(join(folder, 'node_modules'));
        symlinkSync(join(root, 'node_modules', 'tsx'), join(folder, 'node_modules', 'tsx'));
        const tested = await promisify(execFile)(
          process.execPath,
          ['--import', 'tsx', '--test', `test/pipeline.test.${language}`],
          { cwd: folder, env: { PATH: process.env.PATH, TSX_TSCONFIG_PATH: join(folder, 'linked.json') } },
        );
        assert.match(tested.stdout, /^# pass 1$/m);
      } finally {
        await broker.stop();
      }
    });
  }
});

describe('dev', () => {
  const PIPELINE = `import { pipeline } from 'millrace';
import { amountOf } from './amount.ts';
interface Order { id: string; amount: number }
export default pipeline('orders', ({ from }) => {
  from<Order>('shop.order', { capture: true })
    .dedupe({ id: o => o.id, within: '1h' })
    .map(order => ({ id: order.id, amount: amountOf(order.amount) }))
    .to('shop.unique.{id}');
});
`;

  test('waits for a file that can be read, deploys again when what it imports is saved, and goes on where it was', async () => {
    writeFileSync(join(rig.folder, 'package.json'), '{"type":"module"}');
    writeFileSync(join(rig.folder, 'amount.ts'), 'export const amountOf = (value: number) => value;\n');
    writeFileSync(join(rig.folder, 'orders.ts'), "import { pipeline } from 'millrace';\nexport default pipeline(;\n");
    const data = join(rig.folder, 'dev-data');
    const flags = ['dev', 'orders.ts', '--data', data, '--listen', '127.0.0.1:0', '--metrics', 'off'];
    const begin = () => rig.begin(flags);
    const publish = async (url: string, ...texts: string[]) => {
      const link = await connectNats({ servers: url });
      await new NatsLog(link).appendAll(texts.map(text => ({ subject: 'shop.order', data: Buffer.from(text) })));
      await link.close();
    };
    const brokerOf = (text: string) => /broker (nats:\S+)/.exec(text)?.[1] ?? '';

    const dev = begin();
    await until('the mistake is shown', () => /orders\.ts:2:25: [\s\S]*save the file to try again/.test(dev.said.out));
    writeFileSync(join(rig.folder, 'orders.ts'), PIPELINE);
    await until('the pipeline runs', () => /orders {2}running/.test(dev.said.out));
    assert.match(dev.said.out, /orders created \(revision 1\)/);
    assert.match(dev.said.out, /stream shop_order is made; it keeps messages for 7d, at most 1 GiB; /);
    await until('that types are not checked is said', () => /types are not checked: /.test(dev.said.out));
    await publish(brokerOf(dev.said.out), '{"id":"1","amount":5}', 'nonsense');
    await until('the result is shown', () => dev.said.out.includes('shop.unique.1  {"id":"1","amount":5}'));
    await until('the letter is shown', () => /RECORD_UNREADABLE: not JSON[^\n]*\n {4}nonsense/.test(dev.said.out));

    const asked = await rig.run('get');
    assert.match(asked.err, /^asking this project's dev at 127\.0\.0\.1:\d+\n$/);
    assert.match(asked.out, /^orders +running /m);
    writeFileSync(join(rig.folder, 'orders.ts'), PIPELINE.replace("'1h'", "'2h'"));
    await until('it is refused, and how to begin anew is said', () =>
      /orders is not updated: [\s\S]* start with: millrace dev FILE --reset\n/.test(dev.said.out),
    );
    writeFileSync(join(rig.folder, 'orders.ts'), PIPELINE);
    await until('what was deployed goes on', () => dev.said.out.includes('orders goes on (revision 1)'));

    mkdirSync(join(rig.folder, 'node_modules'));
    symlinkSync(join(root, 'node_modules', 'typescript'), join(rig.folder, 'node_modules', 'typescript'));
    const throwing = `export const amountOf = (value: number) => {
  if (value < 0) throw new Error('less than nothing');
  return value * 100;
};
export const wrong: string = 1;
`;
    writeFileSync(join(rig.folder, 'amount.ts'), throwing);
    await until('it is deployed again', () => dev.said.out.includes('orders updated (revision 2)'));
    await until('it runs again', () => /orders {2}running {2,3}revision 2/.test(dev.said.out));
    await publish(brokerOf(dev.said.out), '{"id":"2","amount":5}', '{"id":"3","amount":-1}');
    await until('the new result is shown', () => dev.said.out.includes('{"id":"2","amount":500}'));
    await until("the author's line is shown", () =>
      /USER_CODE: amount\.ts:2:\d+: less than nothing/.test(dev.said.out),
    );
    await until('the wrong type is shown', () => /wrong types[\s\S]*amount\.ts:5:14: TS2322: /.test(dev.said.out));
    writeFileSync(join(rig.folder, 'orders.ts'), PIPELINE.replace('pipeline(', 'pipeline(;'));
    await until('what goes on is said', () => /orders\.ts:4:\d+: [\s\S]*\norders goes on as it was/.test(dev.said.out));
    writeFileSync(join(rig.folder, 'orders.ts'), PIPELINE.replace("'orders'", "'sales'").replace('unique', 'sold'));
    await until('what still runs is said', () =>
      /sales created \(revision 1\)[\s\S]*pipeline orders still runs: millrace delete orders\n/.test(dev.said.out),
    );
    writeFileSync(join(rig.folder, 'orders.ts'), PIPELINE);
    await until('the former is shown', () => dev.said.out.includes('pipeline sales still runs: millrace delete sales'));
    assert.equal((await rig.run('delete', 'sales', '--purge', '--yes')).code, 0);
    dev.child.kill('SIGINT');
    const first = await dev.ended;
    assert.equal(first.code, 0, first.err);
    assert.doesNotMatch(first.out, /stream\.edited|has max_bytes/, 'the stream is as it was made');
    assert.equal(existsSync(join(rig.folder, '.millrace', 'dev.json')), false);

    const again = rig.begin([...flags, '--reset']);
    await until('the pipeline runs again', () => /orders {2}running/.test(again.said.out));
    const third = await rig.run(...flags);
    assert.equal(third.code, 1);
    assert.match(
      third.err,
      /the data folder \S*dev-data is used by another process \(pid \d+/,
      'a second dev does not touch the broker of the first',
    );
    await publish(brokerOf(again.said.out), '{"id":"1","amount":5}', '{"id":"4","amount":1}');
    await until('the result is shown', () => again.said.out.includes('shop.unique.4'));
    writeFileSync(join(rig.folder, 'orders.ts'), PIPELINE.replace("'1h'", "'2h'"));
    await until('it begins anew', () =>
      /orders begins anew: [\s\S]*orders created \(revision 4\)/.test(again.said.out),
    );
    again.child.kill('SIGINT');
    const second = await again.ended;
    assert.equal(second.code, 0, second.err);
    assert.match(second.out, /orders goes on \(revision 2\)/);
    const [goingOn = ''] = second.out.split('orders begins anew');
    assert.doesNotMatch(goingOn, /shop\.unique\.1/, 'a duplicate of what was seen before the stop');
    assert.doesNotMatch(second.out, /Call cancelled/, 'what is taken down is nobody’s error');
    assert.match(readFileSync(join(data, 'worker', 'worker-name'), 'utf8'), /^[\w-]+\n$/);
  });

  test('ends at once when there is no such file', async () => {
    const { code, err } = await rig.run('dev', 'gone.ts');
    assert.equal(code, 3);
    assert.match(err, /there is no file .*gone\.ts/);
  });
});
