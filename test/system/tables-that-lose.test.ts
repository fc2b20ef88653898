/**
 * Tables whose buckets lose rows, on a real broker and worker: rows that expire with a marker and without one, are purged
 * or lost while somebody reads and while nobody does, buckets that are made anew, one that is a mirror, and a letter of a
 * row that was mended since.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { headers as newHeaders } from 'nats';
import { isMillraceError } from '../../lib/base/errors.ts';
import type { AdminClient } from '../../lib/control/client.ts';
import type { WorkerProcess } from '../rig/worker-process.ts';
import { eventually, type Output, running, Scene, statusOf } from './scene.ts';

const TABLES = ['expiring', 'aged', 'purged', 'anew', 'copy'] as const;
type Joined = Record<(typeof TABLES)[number], string | null>;
const SECOND = 1_000_000_000;

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
let out: Output;
let probes = 0;

before(async () => {
  scene = await Scene.open();
  await bucket('expiring', { allow_msg_ttl: true, subject_delete_marker_ttl: SECOND });
  await bucket('aged', { max_age: 1.5 * SECOND });
  await bucket('purged');
  await bucket('anew');
  await bucket('origin');
  await bucket('copy', { subjects: undefined, mirror: { name: 'KV_origin' } });
  for (const name of ['expiring', 'purged', 'anew', 'origin'])
    for (const key of ['a', 'b.c']) await put(name, key, '1');
  await scene.log.ensureStream({ name: 'probes', subjects: ['probes'] });
  worker = scene.worker();
  await worker.start();
  client = scene.client(worker);
  const joins = TABLES.map(
    name =>
      `.leftJoin(table<{ v: string }>('${name}'), (row, found) => ({ ...row, ${name}: found?.v ?? null }), { name: 'with-${name}' })`,
  );
  const text = `import * as m from 'millrace';
export default m.pipeline('losing', ({ from, table }) => {
  from<{ n: number, k: string }>('probes').keyBy('k')${joins.join('')}.to('probed.{partition}');
}, { partitions: 2 });
`;
  await scene.deploy(client, { text });
  await running(client, 'losing');
  out = scene.output('probed', 'probed.*');
});
after(() => scene.close());

/** As the clients of buckets make them, with more settings. */
async function bucket(name: string, more: Record<string, unknown> = {}): Promise<void> {
  await api(`STREAM.CREATE.KV_${name}`, {
    ...{ name: `KV_${name}`, subjects: [`$KV.${name}.>`], max_msgs_per_subject: 1, discard: 'new' },
    ...{ allow_rollup_hdrs: true, deny_delete: false, allow_direct: true, duplicate_window: SECOND },
    ...more,
  });
}

async function api(topic: string, request: unknown = ''): Promise<void> {
  const answer = await scene.connection.request(`$JS.API.${topic}`, request === '' ? '' : JSON.stringify(request));
  const { error } = answer.json() as { error?: { description: string } };
  assert.equal(error?.description, undefined);
}

async function put(name: string, key: string, v: string, ttl?: string): Promise<void> {
  const headers = newHeaders();
  if (ttl !== undefined) headers.set('Nats-TTL', ttl);
  await scene.connection.jetstream().publish(`$KV.${name}.${key}`, JSON.stringify({ v }), { headers });
}

/** What a record of the key meets now. */
async function joined(k: string): Promise<Joined> {
  const n = ++probes;
  await scene.connection.jetstream().publish('probes', JSON.stringify({ n, k }));
  let found: (Joined & { n: number }) | undefined;
  await eventually('the probe is joined', async () => {
    found = (await out.rows()).map(row => JSON.parse(row) as Joined & { n: number }).find(row => row.n === n);
    return found !== undefined;
  });
  return found!;
}

function comesTo(k: string, wanted: Partial<Joined>): Promise<unknown> {
  return eventually(`a record of ${k} meets ${JSON.stringify(wanted)}`, async () => {
    const row = await joined(k);
    return Object.entries(wanted).every(([table, v]) => row[table as keyof Joined] === v);
  });
}

async function letters(): Promise<number> {
  return (await client.letters({ pipeline: 'losing' })).total;
}

test('each record meets the rows that there are, those of a mirror under their own keys', async () => {
  for (const key of ['a', 'b.c']) {
    const { n: _n, k: _k, ...row } = (await joined(key)) as Joined & { n: number; k: string };
    assert.deepEqual(row, { expiring: '1', aged: null, purged: '1', anew: '1', copy: '1' });
  }
  await put('origin', 'a', '2');
  await (await scene.connection.jetstream().views.kv('origin')).delete('b.c');
  await comesTo('a', { copy: '2' });
  await comesTo('b.c', { copy: null });
});

test('a row that expires, or is removed, is gone with the marker that the broker leaves, and makes no letter', async () => {
  await put('expiring', 'a', '2', '1s');
  await comesTo('a', { expiring: '2' });
  await comesTo('a', { expiring: null });
  await api('STREAM.PURGE.KV_expiring', { filter: '$KV.expiring.b.c' });
  await comesTo('b.c', { expiring: null });
  assert.equal(await letters(), 0);
});

test('a row that its bucket forgets by age, without a marker, is gone', async () => {
  await eventually('it is seen while it is there', async () => {
    await put('aged', 'a', '1');
    return (await joined('a')).aged === '1';
  });
  await comesTo('a', { aged: null });
});

test('rows of a bucket that is purged while it is read are gone', async () => {
  await api('STREAM.PURGE.KV_purged');
  await comesTo('a', { purged: null });
  await comesTo('b.c', { purged: null });
});

test('a bucket that is made anew while it is read is read again', async () => {
  await api('STREAM.DELETE.KV_anew');
  await bucket('anew');
  await put('anew', 'b.c', '3');
  await comesTo('b.c', { anew: '3' });
  await comesTo('a', { anew: null });
  await put('anew', 'b.c', '4');
  await comesTo('b.c', { anew: '4' });
});

test('a bucket that is deleted stops the pipeline, which goes on when it is there again', async () => {
  await api('STREAM.DELETE.KV_anew');
  const { status } = await statusOf(client, 'losing', info => info.status.state === 'failed');
  assert.match(status.reason ?? '', /STREAM_MISSING|stream KV_anew is gone/);
  await bucket('anew');
  await put('anew', 'a', '5');
  await client.restart('losing');
  await running(client, 'losing');
  await comesTo('a', { anew: '5', expiring: null });
  await comesTo('b.c', { anew: null });
});

test('what is lost while no worker runs is gone when one does: rows, their markers, and a whole bucket', async () => {
  for (const key of ['a', 'b.c']) await put('purged', key, '5');
  await put('expiring', 'a', '5');
  await comesTo('a', { purged: '5', expiring: '5' });
  await worker.kill();
  await api('STREAM.PURGE.KV_purged', { filter: '$KV.purged.a' });
  await (await scene.connection.jetstream().views.kv('expiring')).delete('a');
  await api('STREAM.PURGE.KV_expiring');
  await api('STREAM.DELETE.KV_anew');
  await bucket('anew');
  await put('anew', 'a', '6');
  await worker.start();
  await running(client, 'losing');
  await comesTo('a', { purged: null, expiring: null, anew: '6' });
  await comesTo('b.c', { purged: '5', anew: null });
});

test('a letter of a row is not put over the row that was mended since, and may go elsewhere', async () => {
  await scene.connection.jetstream().publish('$KV.purged.a', '{"v":');
  await eventually('there is a letter', async () => (await letters()) === 1);
  await put('purged', 'a', 'mended');
  await comesTo('a', { purged: 'mended' });
  const replay = async (toSubject?: string) => {
    for await (const _ of client.replayLetters({ pipeline: 'losing' }, toSubject === undefined ? {} : { toSubject }));
  };
  await assert.rejects(
    replay(),
    error => isMillraceError(error, 'INVALID_ARGUMENT') && /row of a bucket.*--to/.test(error.message),
  );
  assert.equal(await letters(), 1);
  await scene.log.ensureStream({ name: 'rows', subjects: ['rows.refused'] });
  await replay('rows.refused');
  assert.deepEqual(await scene.output('rows', 'rows.refused').rows(), ['{"v":']);
  assert.equal(await letters(), 0);
  await comesTo('a', { purged: 'mended' });
});
