/**
 * Permissions, streams that others change, and the rest of what a broker may do to a pipeline that runs. What passes is
 * waited out; what would lose or double rows stops the pipeline with the reason, and stays stopped until a person acts.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, pause, running, Scene, statusOf } from './scene.ts';

const USERS = [
  '{ user: me, password: secret }',
  '{ user: worker, password: secret, permissions: { publish: { deny: ["forbidden.>", "_mr.barred.>"] } } }',
];

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
before(async () => {
  const blocks = [`authorization { users = [ ${USERS.join(', ')} ] }`];
  scene = await Scene.open({ blocks }, { login: { user: 'me', pass: 'secret' } });
  worker = scene.worker('worker', [], { NATS_USER: 'worker', NATS_PASSWORD: 'secret' });
  await worker.start();
  client = scene.client(worker);
});
after(() => scene.close());

/** Deploys a pipeline that reads `<name>.in`, and publishes some rows. */
async function begin(name: string, to: string, options: { rows?: number; keyed?: boolean } = {}): Promise<void> {
  const { rows = 30, keyed = true } = options;
  await scene.log.ensureStream({ name, subjects: [`${name}.in`] });
  const keyBy = keyed ? `.keyBy('id').dedupe({ id: r => r.id, within: '1h' })` : '';
  const text = `import { pipeline } from 'millrace';
export default pipeline('${name}', ({ from }) => {
  from<{ id: string }>('${name}.in')${keyBy}.to(${to});
}, { partitions: 2 });
`;
  await scene.deploy(client, { text });
  await fill(name, 0, rows);
}

async function fill(name: string, from: number, to: number): Promise<void> {
  const ids = Array.from({ length: to - from }, (_, i) => from + i);
  await scene.log.appendAll(
    ids.map(id => ({ subject: `${name}.in`, data: Buffer.from(JSON.stringify({ id: `${id}` })) })),
  );
}

/** Rows of an output stream so far. */
function rowsOf(stream: string): Promise<string[]> {
  return scene.output(stream, `${stream.replace('_', '.')}.*`).rows();
}

async function done(name: string, stream: string, rows: number): Promise<void> {
  await running(client, name);
  await eventually(
    'all rows are there',
    async () => (await rowsOf(stream)).length >= rows,
    () => worker.said(),
  );
}

async function stopped(name: string, reason: RegExp): Promise<void> {
  const { status } = await statusOf(client, name, info => info.status.state === 'failed');
  assert.match(status.reason ?? '', reason);
  assert.match(status.reason ?? '', /mend the cause, then restart or deploy it again/);
}

async function edit(stream: string, change: Record<string, unknown>): Promise<void> {
  const manager = await scene.connection.jetstreamManager();
  const { config } = await manager.streams.info(stream);
  await manager.streams.update(stream, { ...config, ...change });
}

describe('a missing permission', () => {
  test('to publish results stops the pipeline and names what to grant', async () => {
    await begin('denied', `'forbidden.rows.{partition}'`);
    await stopped('denied', /^BROKER_REFUSED: .*grant this user: publish to forbidden\.rows\.\d/);
    assert.match(worker.log, /nats\.refused/);
  });

  test('to publish results in atomic batches stops the pipeline and names what to grant', async () => {
    await begin('batches', `'forbidden.{id}'`, { rows: 3 });
    await stopped('batches', /^BROKER_REFUSED: .*grant this user: publish to forbidden\.\d/);
  });

  test('to write journals stops the pipeline and names what to grant', async () => {
    await begin('barred', `'barred.out.{partition}'`);
    await stopped('barred', /^BROKER_REFUSED: .*publish to _mr\.barred\..*; grant this user: publish to _mr\.>/);
  });
});

describe('a stream of results', () => {
  test('that is full and refuses is waited for, and the rest comes when there is room', async () => {
    await scene.log.ensureStream({ name: 'tight_out', subjects: ['tight.out.*'], discard: 'new', maxBytes: 3_000 });
    await begin('tight', `'tight.out.{partition}', { frame: 'none' }`, { rows: 100 });
    const { status } = await statusOf(client, 'tight', info => info.status.state === 'waiting');
    assert.match(
      status.reason ?? '',
      /taken nothing to tight\.out\..*maximum bytes exceeded \(10077\); the stream or its disk is full/,
    );
    await edit('tight_out', { max_bytes: 1 << 20 });
    await done('tight', 'tight_out', 100);
    assert.equal((await rowsOf('tight_out')).length, 100);
  });

  test('that forgets its oldest rows keeps getting new ones, each once', async () => {
    await scene.log.ensureStream({ name: 'short_out', subjects: ['short.out.*'], maxBytes: 3_000 });
    await begin('short', `'short.out.{partition}', { frame: 'none' }`, { rows: 100 });
    await running(client, 'short');
    // Which rows are left depends on which partition ends last; how many there were does not.
    await eventually('all were there', async () => (await scene.log.info('short_out'))!.lastSeq >= 100);
    await pause(300);
    assert.equal((await scene.log.info('short_out'))!.lastSeq, 100);
    const rows = await rowsOf('short_out');
    assert.ok(rows.length > 0 && rows.length < 100);
    assert.equal(new Set(rows).size, rows.length);
  });

  test('that is sealed stops the pipeline and says so', async () => {
    await begin('sealed', `'sealed.out.{partition}'`);
    await done('sealed', 'sealed_out', 30);
    await edit('sealed_out', { sealed: true });
    await fill('sealed', 30, 40);
    await stopped('sealed', /^BROKER_REFUSED: .*\(10109\); a sealed stream takes nothing any more/);
  });

  test('that somebody else writes to, on a subject that has one writer, stops the pipeline', async () => {
    await begin('foreign', `'foreign.out.{partition}'`);
    await done('foreign', 'foreign_out', 30);
    for (const partition of [0, 1]) {
      await scene.log.appendAll([{ subject: `foreign.out.${partition}`, data: Buffer.from('{"id":"mine"}') }]);
    }
    await fill('foreign', 30, 60);
    await stopped(
      'foreign',
      /^CHAIN_BROKEN: foreign\.out\.\d in stream foreign_out: the message at \d+ was written by no pipeline/,
    );
  });

  test('that is deleted and made anew under a pipeline stops it, and what was in it is not sent again', async () => {
    await begin('again', `'again.out.{partition}'`);
    await done('again', 'again_out', 30);
    const manager = await scene.connection.jetstreamManager();
    const { config } = await manager.streams.info('again_out');
    await manager.streams.delete('again_out');
    await manager.streams.add(config);
    await fill('again', 30, 40);
    await stopped('again', /^CHAIN_BROKEN: again\.out\.\d in stream again_out: .* made anew/);
    assert.equal((await rowsOf('again_out')).length, 0);
  });
});

describe("what is Millrace's own", () => {
  for (const [what, stream, how] of [
    ['a journal that is deleted', 'journal', 'delete'],
    ['a journal that is purged', 'journal', 'purge'],
    ['a channel that is deleted', 'channel', 'delete'],
    ['a channel that is purged', 'channel', 'purge'],
  ] as const) {
    test(`${what} stops the pipeline, also after a restart`, async () => {
      const name = `lost-${stream === 'journal' ? 'j' : 'x'}-${how}`;
      await begin(name, `'${name}.out.{partition}'`);
      const out = `${name}_out`;
      await done(name, out, 30);
      const manager = await scene.connection.jetstreamManager();
      const kept = await scene.ownStream(name, ...(stream === 'journal' ? [] : ['by-id']));
      await manager.streams[how](kept!);
      await fill(name, 30, 60);
      await stopped(name, /^(STREAM_MISSING|CHAIN_BROKEN|STREAM_CHANGED|JOURNAL_CORRUPT): /);
      const before = (await rowsOf(out)).length;
      await client.restart(name);
      await stopped(
        name,
        /^CHAIN_BROKEN: stream MR_lost-.* (is gone|was purged), and pipeline .* Restore it .*--purge/,
      );
      assert.equal((await rowsOf(out)).length, before, 'nothing was sent again');
    });
  }

  test('the bucket of the registry that is deleted leaves what runs running, and says what to do', async () => {
    await begin('kv', `'kv.out.{partition}'`);
    await done('kv', 'kv_out', 30);
    await scene.log.deleteStream('KV_millrace');
    await eventually('it is said', () => /registry\.troubled.*the bucket KV_millrace is gone/.test(worker.log));
    await fill('kv', 30, 40);
    await eventually('it goes on', async () => (await rowsOf('kv_out')).length >= 40);
    await worker.stop();
    await worker.start();
    assert.deepEqual(await client.list(), []);
    await begin('kv', `'kv.out.{partition}'`, { rows: 0 });
    await fill('kv', 40, 50);
    await done('kv', 'kv_out', 50);
    assert.equal((await rowsOf('kv_out')).length, 50);
  });
});
