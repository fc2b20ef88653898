/**
 * Metrics and probes of a worker process, with traffic whose every number is known.
 *
 *   shop.order ──► reader ──► dedupe ──┬─► shop.unique.{partition}
 *                                      └─► filter ─► direct results
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { AdminClient } from '../../lib/control/client.ts';
import { freePort, type WorkerProcess } from '../rig/worker-process.ts';
import { eventually, running, Scene } from './scene.ts';

const PIPELINE = `import { pipeline } from 'millrace';
interface Order { id: string; amount: number; at: string }
export default pipeline('shop', ({ from }) => {
  const capture = { maxBytes: 2 ** 24 };
  from<Order>('shop.order', { capture, time: 'at' })
    .keyBy('id')
    .dedupe({ id: order => order.id, within: '1h' })
    .to('shop.unique.{partition}');
  from<Order>('shop.raw', { capture }).filter(order => order.amount > 0).to('shop.paid.{partition}');
}, { partitions: 2 });
`;

let scene: Scene;
let worker: WorkerProcess;
let client: AdminClient;
let metrics = '';

before(async () => {
  scene = await Scene.open();
  metrics = `127.0.0.1:${await freePort()}`;
  worker = scene.worker('worker', ['--metrics', metrics]);
  await worker.start();
  client = scene.client(worker);
});
after(() => scene.close());

async function scrape(): Promise<Map<string, number>> {
  const text = await (await fetch(`http://${metrics}/metrics`)).text();
  const lines = text.split('\n').filter(line => line !== '' && !line.startsWith('#'));
  return new Map(lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]));
}

function sum(samples: ReadonlyMap<string, number>, name: string, ...labels: readonly string[]): number {
  let total = 0;
  for (const [key, value] of samples) {
    if (key.split('{')[0] === name && labels.every(label => key.includes(label))) total += value;
  }
  return total;
}

async function probe(page: string): Promise<{ status: number; reasons: string[] }> {
  const answer = await fetch(`http://${metrics}/${page}`);
  const { reasons } = (await answer.json()) as { reasons: string[] };
  return { status: answer.status, reasons };
}

test('what went in and came out, was dropped and failed is counted exactly', async () => {
  await scene.deploy(client, { text: PIPELINE });
  await running(client, 'shop');
  const at = '2026-03-01T12:00:00.000Z';
  let bytes = 0;
  const say = (subject: string, body: string) => {
    scene.connection.publish(subject, body);
    if (subject === 'shop.order') bytes += body.length;
  };
  for (let i = 0; i < 300; i++) say('shop.order', JSON.stringify({ id: `o${i % 200}`, amount: i, at }));
  for (let i = 0; i < 5; i++) say('shop.order', 'no json');
  for (let i = 0; i < 40; i++) say('shop.raw', JSON.stringify({ id: `r${i}`, amount: i % 4, at }));
  await scene.connection.flush();

  const out = (samples: ReadonlyMap<string, number>, sink: string) =>
    sum(samples, 'millrace_sink_records_total', `sink="${sink}"`);
  const done = (samples: ReadonlyMap<string, number>) =>
    sum(samples, 'millrace_sink_records_total') === 230 &&
    sum(samples, 'millrace_dead_letters_total') === 5 &&
    sum(samples, 'millrace_dropped_records_total') === 110 &&
    sum(samples, 'millrace_relay_backlog_bytes') === 0 &&
    sum(samples, 'millrace_source_lag_messages') === 0;
  let now = new Map<string, number>();
  await eventually(
    'all of it is counted',
    async () => done((now = await scrape())),
    () => [...now].filter(([name]) => name.startsWith('millrace_')).join('\n'),
  );

  const sources = [...now.keys()].filter(name => name.startsWith('millrace_source_records_total')).sort();
  assert.equal(sources.length, 2, sources.join());
  assert.deepEqual(
    sources.map(name => now.get(name)).sort((a, b) => (a ?? 0) - (b ?? 0)),
    [40, 300],
  );
  const bytesIn = [...now].filter(([name]) => name.startsWith('millrace_source_bytes_total')).map(([, value]) => value);
  assert.ok(bytesIn.includes(bytes), `${bytesIn} has ${bytes}`);
  const sinks = [...now.keys()].filter(name => name.startsWith('millrace_sink_records_total'));
  assert.deepEqual(
    sinks.map(name => now.get(name)).sort((a, b) => (a ?? 0) - (b ?? 0)),
    [30, 200],
  );
  assert.equal(out(now, 'nowhere'), 0);
  assert.equal(sum(now, 'millrace_dropped_records_total', 'reason="duplicate"'), 100);
  assert.equal(sum(now, 'millrace_dropped_records_total', 'reason="filtered"'), 10);
  assert.equal(sum(now, 'millrace_late_records_total'), 0);
  assert.equal(sum(now, 'millrace_restarts_total'), 0);
  // The ids of an hour are the state: one entry each at least.
  assert.ok(sum(now, 'millrace_state_entries') >= 200);
  assert.ok(sum(now, 'millrace_state_bytes') > 0);
  const commits = sum(now, 'millrace_commits_total');
  assert.ok(commits > 0);
  assert.equal(sum(now, 'millrace_commit_duration_seconds_count'), commits);
  assert.ok(sum(now, 'millrace_journal_commits') > 0 && sum(now, 'millrace_journal_commits') <= commits + 3);
  const delivered = sum(now, 'millrace_end_to_end_duration_seconds_count');
  assert.ok(delivered >= 2 && delivered <= commits, `${delivered} of ${commits}`);
  assert.equal(sum(now, 'millrace_end_to_end_duration_seconds_bucket', 'le="+Inf"'), delivered);
  assert.equal(sum(now, 'millrace_pipeline_state', 'state="running"'), 1);
  assert.equal(sum(now, 'millrace_pipeline_state'), 1);
  assert.equal(sum(now, 'millrace_worker_active'), 1);
  assert.equal(sum(now, 'millrace_nats_connected'), 1);
  assert.equal(sum(now, 'millrace_restore_duration_seconds_count'), 3);
  assert.ok([...now.keys()].some(name => name.startsWith('millrace_build_info{')));
  assert.ok((now.get('process_cpu_seconds_total') ?? 0) > 0);
  assert.ok((now.get('millrace_engine_busy_seconds_total') ?? 0) > 0);
  const watermark = [...now].filter(([name]) => name.startsWith('millrace_source_watermark_timestamp_seconds'));
  assert.ok(
    watermark.some(([, value]) => value <= Date.parse(at) / 1_000 && value > Date.parse(at) / 1_000 - 86_400),
    watermark.join(),
  );
});

test('a worker is alive without its broker, and ready only with it', async () => {
  assert.deepEqual(await probe('readyz'), { status: 200, reasons: [] });
  assert.deepEqual(await probe('livez'), { status: 200, reasons: [] });
  const address = `127.0.0.1:${await freePort()}`;
  const lonely = scene.worker('lonely', ['--nats', `127.0.0.1:${await freePort()}`, '--metrics', address]);
  const started = lonely.start().catch((error: unknown) => error);
  const ask = (page: string) => fetch(`http://${address}/${page}`).catch(() => null);
  await eventually('it answers', async () => (await ask('livez'))?.status === 200);
  assert.equal((await ask('readyz'))?.status, 503);
  const samples = await (await ask('metrics'))!.text();
  assert.match(samples, /^millrace_nats_connected 0$/m);
  await lonely.kill();
  await started;
});
