/**
 * Metrics for Prometheus: the registry, and how it is filled. What happens per batch is counted by meters, what is an
 * event is counted as one, and what is true at the moment (gauges) is looked up when somebody asks.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { METRICS, type MetricEntry, type MetricName } from './catalogue.ts';
import type { Event, Observer } from './events.ts';
import type { Meter } from './meter.ts';
import type { PipelineState, PipelineStatus } from './status.ts';

/** What is true of a worker at the moment. */
export interface Look {
  readonly active: boolean;
  readonly connected: boolean;
  /** How long each thread that runs pipelines was at work since the process began, ms. */
  readonly engineBusyMs: ReadonlyMap<string, number>;
  readonly ready: boolean;
  /** Those that this worker runs. */
  readonly pipelines: readonly { readonly name: string; readonly status: PipelineStatus }[];
}

/** In this order in the status; `unknown` is nobody's own. */
const STATES: readonly PipelineState[] = [
  'starting',
  'restoring',
  'running',
  'waiting',
  'stopping',
  'stopped',
  'failed',
  'paused',
];

/** Before there is a worker. */
const NOBODY: Look = { active: false, connected: false, engineBusyMs: new Map(), ready: false, pipelines: [] };

type Labels = Readonly<Record<string, string | number>>;

export class Metrics implements Observer {
  readonly #registry = new Registry();
  readonly #all = new Map<string, Counter | Gauge | Histogram>();
  readonly #meters = new Map<string, Meter>();
  /** What gauges are read from; null: there is no worker yet. */
  #look: (() => Look) | null = null;

  /** @param options.processMetrics also those of the process: CPU, memory, event loop, garbage collection. */
  constructor(options: { version: string; processMetrics: boolean }) {
    for (const [name, entry] of Object.entries<MetricEntry>(METRICS)) this.#all.set(name, this.#make(name, entry));
    if (options.processMetrics) collectDefaultMetrics({ register: this.#registry });
    this.#version = options.version;
    this.#inc('millrace_nats_reconnects_total', {}, 0);
    this.#inc('millrace_nats_answers_ignored_total', {}, 0);
  }

  readonly #version: string;
  /** As far as it is counted. */
  readonly #engineBusyMs = new Map<string, number>();

  #make(name: string, { type, labels, help, buckets }: MetricEntry): Counter | Gauge | Histogram {
    const options = { name, help, labelNames: [...labels], registers: [this.#registry] };
    switch (type) {
      case 'counter':
        return new Counter(options);
      case 'gauge':
        return new Gauge(options);
      case 'histogram':
        return new Histogram({ ...options, ...(buckets === undefined ? {} : { buckets: [...buckets] }) });
    }
  }

  #inc(name: MetricName, labels: Labels, more: number): void {
    (this.#all.get(name) as Counter).inc(labels, more);
  }

  #observe(name: MetricName, labels: Labels, ms: number): void {
    (this.#all.get(name) as Histogram).observe(labels, ms / 1_000);
  }

  /** Null and what is not finite are left out: no sample says more than a wrong one. */
  #set(name: MetricName, labels: Labels, value: number | null | undefined): void {
    if (value === null || value === undefined || !Number.isFinite(value)) return;
    (this.#all.get(name) as Gauge).set(labels, value);
  }

  /** The meter of a pipeline; the same for the same name. */
  meter(pipeline: string): Meter {
    let meter = this.#meters.get(pipeline);
    if (meter === undefined) this.#meters.set(pipeline, (meter = this.#newMeter(pipeline)));
    return meter;
  }

  #newMeter(pipeline: string): Meter {
    // So that a rate over the first of them is not lost.
    this.#inc('millrace_late_records_total', { pipeline }, 0);
    this.#inc('millrace_dead_letters_total', { pipeline }, 0);
    this.#inc('millrace_deadly_records_total', { pipeline }, 0);
    for (const part of ['reader', 'task']) this.#inc('millrace_restarts_total', { pipeline, part }, 0);
    return {
      read: (source, { records, bytes }) => {
        this.#inc('millrace_source_records_total', { pipeline, source }, records);
        this.#inc('millrace_source_bytes_total', { pipeline, source }, bytes);
      },
      sent: (sink, { records, bytes }) => {
        this.#inc('millrace_sink_records_total', { pipeline, sink }, records);
        this.#inc('millrace_sink_bytes_total', { pipeline, sink }, bytes);
      },
      committed: ({ stage, partition }, tookMs) => {
        this.#inc('millrace_commits_total', { pipeline, stage, partition }, 1);
        this.#observe('millrace_commit_duration_seconds', { pipeline, stage }, tookMs);
      },
      delivered: (stage, tookMs) => {
        this.#observe('millrace_end_to_end_duration_seconds', { pipeline, stage }, tookMs);
      },
      ended: ({ late, dead, dropped }) => {
        this.#inc('millrace_late_records_total', { pipeline }, late);
        this.#inc('millrace_dead_letters_total', { pipeline }, dead);
        for (const [reason, count] of dropped) {
          this.#inc('millrace_dropped_records_total', { pipeline, reason }, count);
        }
      },
      restarted: part => this.#inc('millrace_restarts_total', { pipeline, part }, 1),
    };
  }

  emit(event: Event): void {
    this.#inc('millrace_events_total', { event: event.event, level: event.level }, 1);
    const labels = { pipeline: String(event.pipeline), stage: String(event.stage) };
    switch (event.event) {
      case 'record.deadly':
        this.#inc('millrace_deadly_records_total', { pipeline: labels.pipeline }, 1);
        break;
      case 'nats.connected':
        this.#inc('millrace_nats_reconnects_total', {}, 1);
        break;
      case 'nats.misanswered':
        this.#inc('millrace_nats_answers_ignored_total', {}, Number(event.count));
        break;
      case 'task.restored':
        this.#observe('millrace_restore_duration_seconds', labels, Number(event.tookMs));
        break;
      case 'task.checkpointed':
        this.#observe('millrace_checkpoint_duration_seconds', labels, Number(event.tookMs));
        this.#inc('millrace_checkpoint_bytes_total', labels, Number(event.bytes));
        break;
    }
  }

  /** From now on gauges are read from this worker. */
  watch(worker: string, look: () => Look): void {
    this.#look = look;
    this.#set('millrace_build_info', { version: this.#version, worker }, 1);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** The text that Prometheus scrapes. */
  text(): Promise<string> {
    this.#collect();
    return this.#registry.metrics();
  }

  #collect(): void {
    const look = this.#look?.() ?? NOBODY;
    for (const [name, entry] of Object.entries<MetricEntry>(METRICS)) {
      if (entry.type === 'gauge' && entry.labels.includes('pipeline')) this.#all.get(name)!.reset();
    }
    this.#inc('millrace_engine_busy_seconds_total', {}, 0);
    for (const [thread, busyMs] of look.engineBusyMs) {
      const more = (busyMs - (this.#engineBusyMs.get(thread) ?? 0)) / 1_000;
      this.#engineBusyMs.set(thread, busyMs);
      this.#inc('millrace_engine_busy_seconds_total', {}, more);
      this.#inc('millrace_engine_thread_busy_seconds_total', { thread }, more);
    }
    this.#set('millrace_worker_active', {}, look.active ? 1 : 0);
    this.#set('millrace_worker_ready', {}, look.ready ? 1 : 0);
    this.#set('millrace_nats_connected', {}, look.connected ? 1 : 0);
    for (const { name, status } of look.pipelines) this.#collectPipeline(name, status);
  }

  #collectPipeline(pipeline: string, status: PipelineStatus): void {
    for (const state of STATES) {
      this.#set('millrace_pipeline_state', { pipeline, state }, status.state === state ? 1 : 0);
    }
    this.#set('millrace_pipeline_quarantined', { pipeline }, status.quarantine === null ? 0 : 1);
    for (const { name: source, lag, lagMs, watermarkMs, idle } of status.sources) {
      const labels = { pipeline, source };
      this.#set('millrace_source_lag_messages', labels, lag);
      this.#set('millrace_source_lag_seconds', labels, seconds(lagMs));
      this.#set('millrace_source_watermark_timestamp_seconds', labels, seconds(watermarkMs));
      this.#set('millrace_source_idle', labels, idle ? 1 : 0);
    }
    for (const task of status.tasks) {
      const labels = { pipeline, stage: task.stage, partition: task.partition };
      this.#set('millrace_task_watermark_timestamp_seconds', labels, seconds(task.watermarkMs));
      this.#set('millrace_state_bytes', labels, task.stateBytes);
      this.#set('millrace_state_entries', labels, task.stateEntries);
      this.#set('millrace_journal_bytes', labels, task.journalBytes);
      this.#set('millrace_journal_commits', labels, task.journalCommits);
      this.#set('millrace_relay_backlog_bytes', labels, task.backlogBytes);
    }
  }
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : ms / 1_000;
}
