/** Metrics as Prometheus is shown them, over HTTP, and the probes beside them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { readinessOf } from '../../../lib/host/readiness.ts';
import { ObserveServer, type Probe, probeOf } from '../../../lib/observe/http.ts';
import { EndsReporter } from '../../../lib/observe/meter.ts';
import { type Look, Metrics } from '../../../lib/observe/metrics.ts';
import { emptyStatus, type PipelineStatus } from '../../../lib/observe/status.ts';

const task = {
  stage: 'join-1',
  partition: 3,
  state: 'running',
  epoch: 2,
  commits: 5,
  recordsIn: 7,
  recordsOut: 4,
  watermarkMs: 1_500,
  stateBytes: 100,
  stateEntries: 9,
  journalBytes: 2_000,
  journalCommits: 5,
  backlogBytes: 10,
  waitsFor: null,
};
const source = { name: 'orders', position: 7, lag: 3, lagMs: 2_500, watermarkMs: null, recordsIn: 7, bytesIn: 70 };
const status: PipelineStatus = {
  ...emptyStatus('running', null),
  tasks: [task],
  sources: [{ ...source, idle: false, clockMs: null, quietMs: 0 }],
};

async function samples(metrics: Metrics): Promise<Map<string, number>> {
  const lines = (await metrics.text()).split('\n').filter(line => line !== '' && !line.startsWith('#'));
  return new Map(lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]));
}

const fresh = () => new Metrics({ version: '1.2.3', processMetrics: false });

describe('metrics', () => {
  test('of what happens are counted by the name of the pipeline, whoever counts', async () => {
    const metrics = fresh();
    for (const meter of [metrics.meter('p'), metrics.meter('p')]) {
      meter.read('orders', { records: 10, bytes: 100 });
      meter.sent('out', { records: 4, bytes: 40 });
      meter.committed({ stage: 's', partition: 1 }, 4);
      meter.delivered('s', 30);
      meter.restarted('task');
    }
    const now = await samples(metrics);
    assert.equal(now.get('millrace_source_records_total{pipeline="p",source="orders"}'), 20);
    assert.equal(now.get('millrace_source_bytes_total{pipeline="p",source="orders"}'), 200);
    assert.equal(now.get('millrace_sink_records_total{pipeline="p",sink="out"}'), 8);
    assert.equal(now.get('millrace_commits_total{pipeline="p",stage="s",partition="1"}'), 2);
    assert.equal(now.get('millrace_commit_duration_seconds_count{pipeline="p",stage="s"}'), 2);
    assert.equal(now.get('millrace_commit_duration_seconds_bucket{le="0.005",pipeline="p",stage="s"}'), 2);
    assert.equal(now.get('millrace_commit_duration_seconds_bucket{le="0.0025",pipeline="p",stage="s"}'), 0);
    assert.equal(now.get('millrace_end_to_end_duration_seconds_sum{pipeline="p",stage="s"}'), 0.06);
    assert.equal(now.get('millrace_restarts_total{pipeline="p",part="task"}'), 2);
  });

  test('of records that ended are told once, though their sums are told again and again', async () => {
    const metrics = fresh();
    const reporter = new EndsReporter(metrics.meter('p'));
    const dropped = new Map([['duplicate', 2]]);
    reporter.report({ late: 1, dead: 0, dropped });
    reporter.report({ late: 1, dead: 0, dropped });
    dropped.set('duplicate', 5).set('filtered', 1);
    reporter.report({ late: 1, dead: 2, dropped });
    const now = await samples(metrics);
    assert.equal(now.get('millrace_late_records_total{pipeline="p"}'), 1);
    assert.equal(now.get('millrace_dead_letters_total{pipeline="p"}'), 2);
    assert.equal(now.get('millrace_dropped_records_total{pipeline="p",reason="duplicate"}'), 5);
    assert.equal(now.get('millrace_dropped_records_total{pipeline="p",reason="filtered"}'), 1);
  });

  test('of events are made of what the events say', async () => {
    const metrics = fresh();
    const about = { pipeline: 'p', stage: 's', partition: 0 };
    metrics.emit({ event: 'task.restored', level: 'info', ...about, tookMs: 250 });
    metrics.emit({ event: 'task.checkpointed', level: 'debug', ...about, tookMs: 40, bytes: 5_000 });
    metrics.emit({ event: 'nats.disconnected', level: 'warn' });
    metrics.emit({ event: 'nats.connected', level: 'info', server: 'a' });
    const now = await samples(metrics);
    assert.equal(now.get('millrace_restore_duration_seconds_sum{pipeline="p",stage="s"}'), 0.25);
    assert.equal(now.get('millrace_checkpoint_duration_seconds_sum{pipeline="p",stage="s"}'), 0.04);
    assert.equal(now.get('millrace_checkpoint_bytes_total{pipeline="p",stage="s"}'), 5_000);
    assert.equal(now.get('millrace_nats_reconnects_total'), 1);
    assert.equal(now.get('millrace_events_total{event="nats.disconnected",level="warn"}'), 1);
  });

  test('of the moment are read when somebody asks, and are gone with what they spoke of', async () => {
    const metrics = fresh();
    let look: Look = {
      active: true,
      connected: true,
      engineBusyMs: new Map([['1', 1_500]]),
      ready: true,
      pipelines: [{ name: 'p', status }],
    };
    metrics.watch('w-1', () => look);
    const now = await samples(metrics);
    assert.equal(now.get('millrace_pipeline_state{pipeline="p",state="running"}'), 1);
    assert.equal(now.get('millrace_pipeline_state{pipeline="p",state="failed"}'), 0);
    assert.equal(now.get('millrace_source_lag_messages{pipeline="p",source="orders"}'), 3);
    assert.equal(now.get('millrace_source_lag_seconds{pipeline="p",source="orders"}'), 2.5);
    assert.equal(now.has('millrace_source_watermark_timestamp_seconds{pipeline="p",source="orders"}'), false);
    assert.equal(now.get('millrace_state_bytes{pipeline="p",stage="join-1",partition="3"}'), 100);
    assert.equal(now.get('millrace_journal_commits{pipeline="p",stage="join-1",partition="3"}'), 5);
    assert.equal(now.get('millrace_build_info{version="1.2.3",worker="w-1"}'), 1);
    look = { active: false, connected: false, engineBusyMs: new Map([['1', 1_500]]), ready: false, pipelines: [] };
    const later = await samples(metrics);
    assert.deepEqual(
      [...later.keys()].filter(name => name.includes('pipeline="p"')),
      [],
    );
    assert.equal(later.get('millrace_worker_active'), 0);
    assert.equal(later.get('millrace_nats_connected'), 0);
    assert.equal(later.get('millrace_engine_busy_seconds_total'), 1.5);
  });
});

describe('over HTTP', () => {
  test('metrics are text, probes say yes or why not, and nothing else is there', async () => {
    const metrics = new Metrics({ version: '1', processMetrics: true });
    let ready: Probe = probeOf(['pipeline p is restoring']);
    const server = new ObserveServer({
      host: '127.0.0.1',
      port: 0,
      metrics: async () => ({ type: metrics.contentType, text: await metrics.text() }),
      live: () => probeOf([]),
      ready: () => ready,
    });
    const port = await server.start();
    const get = (path: string, method = 'GET') => fetch(`http://127.0.0.1:${port}${path}`, { method });
    try {
      const page = await get('/metrics');
      assert.match(page.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
      assert.match(await page.text(), /^process_cpu_seconds_total /m);
      const live = await get('/livez?verbose');
      assert.equal(live.status, 200);
      assert.deepEqual(await live.json(), { ok: true, reasons: [] });
      const no = await get('/readyz');
      assert.equal(no.status, 503);
      assert.deepEqual(await no.json(), { ok: false, reasons: ['pipeline p is restoring'] });
      ready = probeOf([]);
      assert.equal((await get('/readyz')).status, 200);
      assert.equal((await get('/')).status, 404);
      assert.equal((await get('/metrics', 'POST')).status, 405);
      const second = new ObserveServer({
        host: '127.0.0.1',
        port,
        metrics: async () => ({ type: '', text: '' }),
        live: () => ready,
        ready: () => ready,
      });
      await assert.rejects(second.start(), error => isMillraceError(error, 'INVALID_ARGUMENT'));
    } finally {
      await server.stop();
    }
  });
});

describe('a worker is ready', () => {
  const facts = { connected: true, stopping: false, holder: 'other', active: false, pipelines: [] };
  const up = { ...facts, holder: 'me', active: true };

  test('with no part of anything, once it knows who leads', () => {
    assert.deepEqual(readinessOf(facts), { ok: true, reasons: [] });
    assert.deepEqual(readinessOf({ ...facts, holder: null }).reasons, ['no worker is known to lead']);
  });

  test('leading or not, when every pipeline has come up, also those that have failed or wait', () => {
    const pipelines = (['running', 'failed', 'waiting', 'stopping'] as const).map(state => ({ name: state, state }));
    for (const one of [facts, up]) assert.equal(readinessOf({ ...one, pipelines }).ok, true);
    const coming = [
      ...pipelines,
      { name: 'a', state: 'restoring' as const },
      { name: 'b', state: 'starting' as const },
    ];
    for (const one of [facts, up]) {
      assert.deepEqual(readinessOf({ ...one, pipelines: coming }).reasons, [
        'pipeline a is restoring',
        'pipeline b is starting',
      ]);
    }
  });

  test('never without NATS, and not while it stops', () => {
    assert.deepEqual(readinessOf({ ...up, connected: false, stopping: true }).reasons, [
      'the worker is stopping',
      'there is no connection to NATS',
    ]);
  });
});
