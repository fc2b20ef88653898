/**
 * The command as a user runs it: child processes, a real broker, exit codes and what is written where.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { AdminClient } from '../../lib/control/client.ts';
import { connectNats, type NatsLink } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import { Cli, type Ended } from '../rig/cli.ts';
import { freePort } from '../rig/worker-process.ts';
import { until } from '../unit/host/fakes.ts';

const PIPELINE = `import { pipeline } from 'millrace';
interface Order { id: string; amount: number }
export default pipeline('orders', ({ from }) => {
  from<Order>('shop.order', { capture: true })
    .keyBy('id')
    .map(order => {
      if (order.amount < 0) throw new Error('a negative amount');
      return order;
    })
    .dedupe({ id: o => o.id, within: '1h' })
    .to('shop.unique.{id}');
}, { partitions: 2 });
`;

const rig = new Cli();
let broker: NatsServer;

before(async () => {
  broker = await startServer();
  for (const name of Object.keys(process.env)) if (/^(MILLRACE|NATS)_/.test(name)) delete process.env[name];
  process.env.HOME = rig.folder;
  delete process.env.XDG_CONFIG_HOME;
  process.chdir(rig.folder);
  writeFileSync(join(rig.folder, 'package.json'), '{"type":"module"}');
  writeFileSync(join(rig.folder, 'orders.ts'), PIPELINE);
});
after(async () => {
  process.chdir('/');
  rig.stop();
  await broker.stop();
});

/** In this process; as one of its own where that makes a difference. */
const run = (...args: string[]) => rig.ask(...args);
const json = (ended: Pick<Ended, 'out'>) => JSON.parse(ended.out) as Record<string, unknown>;

describe('plan', () => {
  test('against a broker alone shows stages, state and streams; mistakes come all at once with their places', async () => {
    const { code, out } = await run('plan', 'orders.ts', '--nats', broker.url);
    assert.equal(code, 0);
    assert.match(out, /pipeline orders/);
    assert.match(out, /shop\.unique/);
    assert.equal(json(await run('plan', 'orders.ts', '--nats', broker.url, '-o', 'json')).name, 'orders');
    const text = `import { pipeline } from 'millrace';
export default pipeline('orders', ({ from }) => {
  from<{ a: string }>('not.captured').to('a.b');
  from<{ a: string }>('not.captured.either', { maxOutOfOrder: 'soon' as '1s' }).to('c.d');
});
`;
    writeFileSync(join(rig.folder, 'mistaken.ts'), text);
    const wrong = await run('plan', 'mistaken.ts', '--nats', broker.url);
    assert.equal(wrong.code, 4);
    assert.match(wrong.err, /mistaken\.ts:3:\d+/);
    assert.match(wrong.err, /mistaken\.ts:4:\d+/);
    assert.doesNotMatch(wrong.err, /millrace-plan-/);
  });

  test('without a broker takes streams to be there, and says what it did not look at; mistakes are told all the same', async () => {
    const text = `import { pipeline } from 'millrace';
export default pipeline('offline', ({ from, table }) => {
  from<{ a: string }>('not.captured').keyBy('a').join(table('nowhere'), row => row).to('a.{partition}');
});
`;
    writeFileSync(join(rig.folder, 'offline.ts'), text);
    const right = await run('plan', 'offline.ts', '--offline');
    assert.equal(right.code, 0, right.err);
    assert.match(right.out, /pipeline offline[\s\S]*not checked \(--offline\): whether the streams are there/);
    writeFileSync(join(rig.folder, 'offline.ts'), text.replace("'a.{partition}'", "'a b'"));
    const wrong = await run('plan', 'offline.ts', '--offline');
    assert.deepEqual([wrong.code, wrong.out], [4, '']);
    assert.match(wrong.err, /offline\.ts:3:\d+/);
    assert.equal((await run('plan', 'offline.ts', '--offline', '--nats', broker.url)).code, 2);
  });

  test('shows what a file is where no worker answers, and does not end as if it knew more', async () => {
    const { code, out, err } = await run('plan', 'orders.ts', '--server', '127.0.0.1:1');
    assert.equal(code, 5);
    assert.match(out, /pipeline orders[\s\S]*not checked \(no worker answers\)/);
    assert.match(err, /no worker answers at 127\.0\.0\.1:1; .*millrace plan orders\.ts --nats URL\n$/);
  });

  test('refuses a file that ends its process, as a deploy does', async () => {
    writeFileSync(join(rig.folder, 'exits.ts'), `process.exit(0);\n${PIPELINE}`);
    const { code, err } = await run('plan', 'exits.ts', '--nats', broker.url);
    assert.equal(code, 4);
    assert.match(err, /exits\.ts ended its thread while it was loaded/);
  });
});

describe('a worker', () => {
  let link: NatsLink;
  let log: NatsLog;
  let worker: ReturnType<Cli['begin']>;
  let client: AdminClient;
  let flags: string[] = [];
  let natsAt = '';

  const publish = (...orders: { id: string; amount: number }[]) =>
    log.appendAll(orders.map(order => ({ subject: 'shop.order', data: Buffer.from(JSON.stringify(order)) })));
  const answers = () =>
    client.info().then(
      () => true,
      () => false,
    );
  const running = () =>
    client.get('orders').then(
      ({ status }) => status.state === 'running',
      () => false,
    );
  const total = async () => Number((await client.letters({ pipeline: 'orders' })).total);

  before(async () => {
    link = await connectNats({ servers: broker.url });
    log = new NatsLog(link);
    natsAt = `127.0.0.1:${await freePort()}`;
    flags = [
      'worker',
      '--nats',
      broker.url,
      '--data',
      join(rig.folder, 'data'),
      '--listen',
      natsAt,
      '--metrics',
      'off',
    ];
    client = new AdminClient({ address: natsAt });
    worker = rig.begin(flags);
    await until('the worker answers', answers);
    await run('config', 'set-context', 'test', '--server', natsAt);
  });
  after(async () => {
    client.close();
    await link.close();
  });

  test('is found by the current context, and named by version and get workers', async () => {
    assert.match((await run('config', 'get-contexts')).out, new RegExp(`\\* +test +${natsAt} `));
    assert.match((await run('config', 'view')).out, /server +127\S+ +context test/);
    assert.match((await run('version')).out, /^Client: [\s\S]*Worker: .*which leads\nNATS: +2\./);
    const [one] = JSON.parse((await run('get', 'wk', '-o', 'json')).out) as { active: boolean; address: string }[];
    assert.deepEqual([one?.active, one?.address], [true, natsAt]);
    assert.match((await run('describe', 'worker')).out, /Role: +leader: it says what runs where/);
  });

  test('has nothing at first, and says how to begin', async () => {
    const nothing = await run('get');
    assert.deepEqual([nothing.code, nothing.out], [0, '']);
    assert.equal(nothing.err, 'no pipelines; deploy one with: millrace deploy FILE\n');
    assert.equal((await run('get', '-o', 'json')).out, '[]\n');
    assert.equal((await run('events', 'taks')).code, 3);
    const gone = await run('get', 'taks');
    assert.equal(gone.code, 3);
    assert.match(gone.err, /no pipeline is named taks; .*did you mean: millrace get tasks\?/);
  });

  test('gets a pipeline, which is deployed when it runs, and can be seen in every form', async () => {
    const dry = await run('deploy', 'orders.ts', '--dry-run');
    assert.equal(dry.out, 'pipeline orders created (revision 1): dry run, nothing was changed\n');
    assert.equal((await run('get', 'orders')).code, 3);
    const created = await run('deploy', '-f', 'orders.ts');
    assert.equal(created.out, 'pipeline orders created (revision 1)\n');
    assert.match(created.err, /^bundling orders\.ts\nuploading \S+ KiB\n[\s\S]*running\n$/);
    assert.match(created.err, /\nstream shop_order is made; it keeps messages for 7d, at most 1 GiB; /);
    assert.equal((await run('deploy', 'orders.ts')).out, 'pipeline orders unchanged (revision 1)\n');

    assert.match((await run('get')).out, /^NAME +STATE .*\norders +running /);
    assert.match((await run('get', 'pl', '--no-headers')).out, /^orders +running /);
    assert.match((await run('get', 'orders', '-o', 'wide')).out, /FILE +BUNDLE .*\norders .* orders\.ts +[0-9a-f]{12}/);
    assert.equal((await run('get', '-o', 'name')).out, 'pipeline/orders\n');
    assert.match((await run('get', 'orders', '-o', 'yaml')).out, /^name: orders\nrevision: 1\n/);
    assert.match((await run('get', 'tasks', '-o', 'name')).out, /^task\/orders\/by-id\/0\ntask\/orders\/by-id\/1\n$/);
    assert.equal(
      (json(await run('get', 'task', 'orders/by-id/1', '-o', 'json')).status as { state: string }).state,
      'running',
    );
    assert.match((await run('describe', 'task', 'orders/by-id/1')).out, /^Name: +orders\/by-id\/1\nState: +running/);
    const described = (await run('describe', 'orders')).out;
    assert.match(described, /State: +running/);
    assert.match(described, /^by-id\/0 +running +1 +\d{1,3} /m, 'commits are counted from the first of this life');
    const coloured = await run('get', '--color', 'always');
    assert.ok(coloured.out.includes('\x1b[32mrunning'));
    assert.ok(!(await run('get')).out.includes('\x1b'));
  });

  test('shows what operators remember, and what could not be processed; letters are replayed and discarded', async () => {
    await publish({ id: 'a', amount: 1 }, { id: 'b', amount: -1 }, { id: 'c', amount: -2 }, { id: 'a', amount: 1 });
    await until('two letters are there', async () => (await total()) === 2);
    await until('the mark of a is there', async () =>
      (await run('state', 'get', 'orders', 'dedupe-shop-order', 'a', '-o', 'json')).out.includes('"key": "a"'),
    );
    assert.match(
      (await run('state', 'tables', 'orders')).out,
      /^OPERATOR +TABLE .*\ndedupe-shop-order +\w+ +by-id +1 /,
    );
    assert.match((await run('state', 'scan', 'orders', 'dedupe-shop-order')).out, /"a"/);
    assert.equal((await run('state', 'scan', 'orders', 'nothing-1')).code, 3);

    const list = await run('letters', 'list', 'orders', '-o', 'json');
    const letters = JSON.parse(list.out) as { number: number; code: string; message: string }[];
    assert.deepEqual(
      letters.map(({ code }) => code),
      ['USER_CODE', 'USER_CODE'],
    );
    assert.match(letters[0]!.message, /orders\.ts:7:\d+: a negative amount/);
    const number = String(letters[0]!.number);
    assert.match((await run('letters', 'get', 'orders', number)).out, /Operator: +map-1[\s\S]*"amount":-\d/);
    assert.equal((await run('letters', 'get', 'orders', '999999')).code, 3);
    const unasked = await run('letters', 'replay', 'orders', '--all');
    assert.equal(unasked.code, 2, 'nobody can be asked');
    assert.match(unasked.err, /^error: this would replay all 2 letters of pipeline orders; confirm with --yes\n$/);
    const undone = await run('letters', 'discard', 'orders', '--code', 'USER_CODE', '--kind', 'dead');
    assert.match(undone.err, /delete 2 letters of pipeline orders \(kind dead, code USER_CODE\) for good; confirm/);
    const none = await run('delete', 'ordes');
    assert.equal(none.code, 3, 'what is not there is not asked about');
    assert.match(none.err, /no pipeline is named ordes; there are: orders/);
    const dry = await run('letters', 'replay', 'orders', '--all', '--dry-run');
    assert.equal(dry.out, 'dry run: would replay 2 of 2 letters\n');
    const replayed = await run('letters', 'replay', 'orders', '-n', number, '--to', 'shop.elsewhere');
    assert.deepEqual([replayed.code === 0, (await total()) === 2], [false, true], 'no stream has that subject');
    const kept = await run('letters', 'replay', 'orders', '-n', number, '--to', 'shop.unique.mended', '--keep');
    assert.equal(kept.out, 'replayed 1 of 1 letters\n', kept.err);
    const discarded = await run('letters', 'discard', 'orders', '--code', 'USER_CODE', '--since', '1h', '--yes');
    assert.equal(discarded.out, 'discarded 2 of 2 letters\n');
    assert.equal((await run('letters', 'list', 'orders')).err, 'no letters\n');
  });

  test('says what happens, and goes on to say it until it is told to stop', async () => {
    assert.match((await run('events', 'orders')).out, /info +\S+ +orders +pipeline\.started/);
    const following = rig.begin(['events', '--follow', '-o', 'json']);
    const watching = rig.begin(['get', 'orders', '--watch', '--interval', '0.2']);
    await until('the first line', () => /orders +running/.test(watching.said.out));
    const paused = await run('pause', 'orders');
    assert.match(paused.out, /pipeline orders is paused \(revision 2\); to go on: millrace resume orders/);
    await until('the watch has seen it', () => /orders +paused/.test(watching.said.out));
    assert.equal((await run('restart', 'orders')).code, 2);
    assert.equal((await run('resume', 'orders')).out, 'pipeline orders runs (revision 3)\n');
    await until('the watch has seen that', () => / 3 .*$/m.test(watching.said.out));
    await until('the follower has heard it', () => following.said.out.includes('pipeline.started'));
    for (const { child } of [following, watching]) child.kill('SIGINT');
    for (const { ended } of [following, watching]) {
      const { code, err } = await ended;
      assert.deepEqual([code, err], [130, '']);
    }
  });

  test('says for a source how far it is, and what time it can be', async () => {
    const advance = (...args: string[]) => run('advance', 'orders', ...args);
    const told = await advance('shop-order', '--to', '2026-03-01T18:00:00Z');
    assert.match(told.out, /^source shop-order is complete up to 2026-03-01T18:00:00Z \(message \d+ of stream /);
    const { sequence, subject } = JSON.parse((await advance('shop-order', '--to', '2026-03-02', '-o', 'json')).out);
    assert.deepEqual([typeof sequence, subject], ['number', 'shop.order']);
    await until('it was read', async () => /heartbeat/.test((await run('describe', 'orders')).out));
    assert.match((await advance('shop-order', '--to', 'tomorrow')).err, /to is no event time/);
    assert.equal((await advance('nobody', '--to', 'end')).code, 3);
    assert.equal((await advance('shop-order')).code, 2);
    assert.match((await run('__complete', '--', 'advance', 'orders', '')).out, /^shop-order\tsource$/m);
  });

  test('completes names that are deployed', async () => {
    assert.match((await run('__complete', '--', 'pause', 'or')).out, /^orders\tpipeline, running\n$/);
    assert.match((await run('__complete', '--', 'state', 'get', 'orders', '')).out, /^dedupe-shop-order\toperator$/m);
    assert.match((await run('completion', 'bash')).out, /complete -F _millrace millrace/);
  });

  test('that was killed goes on where it was; a change that cannot read the state is refused', async () => {
    worker.child.kill('SIGKILL');
    await worker.ended;
    worker = rig.begin(flags);
    await until('it runs again', running);
    const other = await rig.run('worker', ...flags.slice(1, 5), '--listen', '127.0.0.1:0', '--metrics', 'off');
    assert.equal(other.code, 1);
    assert.match(other.err, /the data folder .* is used by another process/m);
    writeFileSync(join(rig.folder, 'changed.ts'), PIPELINE.replace('partitions: 2', 'partitions: 4'));
    const refused = await run('deploy', 'changed.ts');
    assert.equal(refused.code, 4);
    assert.match(refused.err, /has 2 partitions and would have 4/);
    assert.equal((await run('restart', 'orders')).out, 'pipeline orders runs (revision 4)\n');
  });

  test('says with its plan what a deploy would say, as its broker alone does', async () => {
    const owned = PIPELINE.replace("pipeline('orders'", "pipeline('others'").replace(
      'unique.{id}',
      'unique.{partition}',
    );
    writeFileSync(join(rig.folder, 'others.ts'), owned);
    writeFileSync(join(rig.folder, 'same.ts'), PIPELINE.replace('a negative amount', 'below zero'));
    const cases: [string, number, RegExp][] = [
      ['orders.ts', 0, /this very bundle is deployed already/],
      [
        'same.ts',
        0,
        /against revision 4 of orders\.ts, of 2\S+Z\n {2}~ code alone.*\n {2}= state goes on: dedupe-shop-order\n/,
      ],
      [
        'changed.ts',
        4,
        /~ stage by-id: 2 tasks → 4 tasks\n[\s\S]*\na deploy would be refused:\n {2}- stage by-id has 2/,
      ],
      [
        'others.ts',
        4,
        /a deploy would be refused:\n {2}- sink to-shop-unique-partition writes to .* does pipeline orders/,
      ],
    ];
    for (const [file, code, text] of cases) {
      const asked = await run('plan', file);
      assert.equal(asked.code, code, file + asked.out + asked.err);
      assert.match(asked.out, text);
      const alone = await run('plan', file, '--nats', broker.url, '-o', 'json');
      assert.equal(alone.code, code, file);
      assert.deepEqual(json(alone), json(await run('plan', file, '-o', 'json')), file);
      assert.equal((await run('deploy', file, '--dry-run')).code, code, file);
    }
  });

  test('leaves a pipeline paused that gets a new revision, and waits only when it should', async () => {
    assert.equal((await run('restart', 'orders', '--no-wait')).out, 'pipeline orders restarts (revision 5)\n');
    await run('pause', 'orders');
    const changed = PIPELINE.replace('a negative amount', 'less than nothing');
    writeFileSync(join(rig.folder, 'later.ts'), changed);
    const paused = await run('deploy', 'later.ts');
    assert.equal(paused.code, 0, paused.err);
    assert.match(paused.out, /stays paused/);
    assert.equal((await run('resume', 'orders')).code, 0);
  });

  test('hands over when told to stop, and deletes what it is asked to', async () => {
    worker.child.kill('SIGTERM');
    const ended = await worker.ended;
    assert.equal(ended.code, 0);
    const events = ended.err
      .trim()
      .split('\n')
      .map(line => (JSON.parse(line) as { event: string }).event);
    assert.ok(events.indexOf('worker.stopping') < events.lastIndexOf('pipeline.stopped'), events.join());
    worker = rig.begin(flags);
    await until('it runs once more', running);
    const unasked = await run('delete', 'orders');
    assert.equal(unasked.code, 2);
    assert.match(unasked.err, /kept will be:[\s\S]*error: this would stop pipeline orders.*confirm with --yes\n$/);
    const dry = await run('delete', 'orders', '--purge', '--dry-run');
    assert.match(
      dry.out,
      /^dry run, nothing was changed\nwould be deleted:\n[\s\S]*stream MR_orders_[0-9a-f]{10}_journal/,
    );
    const deleted = await run('delete', 'orders', '--purge', '--yes');
    assert.equal(deleted.code, 0);
    assert.match(
      deleted.out,
      /deleted:\n[\s\S]*stream MR_orders_[0-9a-f]{10}_journal[\s\S]*kept:\n[\s\S]*with results/,
    );
    assert.deepEqual(await log.streamsOf('_mr.orders.j.>'), []);
    assert.equal((await run('get', 'orders')).code, 3);
    worker.child.kill('SIGINT');
    assert.equal((await worker.ended).code, 0);
  });
});

test('a worker that is started before its broker waits for it, and ends when told to', async () => {
  const flags = ['--nats', 'nats://127.0.0.1:1', '--data', 'early', '--listen', '127.0.0.1:0', '--metrics', 'off'];
  const worker = rig.begin(['worker', ...flags]);
  await until('it says that it waits', () => worker.said.err.includes('nats.unreachable'));
  worker.child.kill('SIGTERM');
  assert.equal((await worker.ended).code, 0);
});
