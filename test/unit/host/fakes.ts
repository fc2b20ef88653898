/**
 * A cluster in memory for tests of the host, the service and the API: registry, blobs, and an engine whose pipelines are
 * started and stopped by the test. Its "bundles" are JSON: `{name, shape}`; pipelines of another shape cannot read on.
 */

import { createHash } from 'node:crypto';
import { type Clock, systemClock } from '../../../lib/base/clock.ts';
import { MillraceError } from '../../../lib/base/errors.ts';
import type { Bundle } from '../../../lib/bundle/bundle.ts';
import type { Judged } from '../../../lib/bundle/compile.ts';
import type { Results } from '../../../lib/cluster/results.ts';
import type { SpecKeys } from '../../../lib/cluster/spec-keys.ts';
import type { StateReader } from '../../../lib/engine/views.ts';
import type { ClearPipeline } from '../../../lib/host/clear.ts';
import { Worker } from '../../../lib/host/worker.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { PeerExchange } from '../../../lib/memory/peers.ts';
import { MemoryBucket, MemoryRegistry } from '../../../lib/memory/registry.ts';
import type { Event, Observer } from '../../../lib/observe/events.ts';
import { emptyStatus } from '../../../lib/observe/status.ts';
import type { SinkSpec } from '../../../lib/outlet/sink-spec.ts';
import type { Engine, RunningPipeline } from '../../../lib/seam/engine.ts';
import { Commands } from '../../../lib/service/commands.ts';
import type { Judge } from '../../../lib/service/plan.ts';
import { type Assignment, taskOf } from '../../../lib/topology/parts.ts';
import type { PlanSummary } from '../../../lib/topology/summary.ts';

export class Recorder implements Observer {
  readonly events: Event[] = [];
  emit(event: Event): void {
    this.events.push(event);
  }
  names(): string[] {
    return this.events.map(event => event.event);
  }
  count(name: string): number {
    return this.names().filter(one => one === name).length;
  }
}

export class FakePipeline implements RunningPipeline {
  readonly name: string;
  readonly revision: number;
  readonly failed: Promise<MillraceError>;
  fail: (error: MillraceError) => void = () => {};
  stopped = false;
  stopDelayMs = 0;
  recordsIn = 0;

  constructor(name: string, revision: number) {
    this.name = name;
    this.revision = revision;
    this.failed = new Promise(resolve => {
      this.fail = resolve;
    });
  }

  readonly assignments: unknown[] = [];

  assign(assignment: unknown): void {
    this.assignments.push(assignment);
  }

  readonly state: StateReader = {
    tables: async () => [{ operator: 'join-1', table: 'left', stage: 'join-1', entries: 9, bytes: 100 }],
    get: async () => [],
    scan: async () => ({ items: [], nextPageToken: null }),
  };

  status() {
    const empty = emptyStatus('running', null);
    const source = {
      name: 'orders',
      position: 7,
      lag: null,
      watermarkMs: 1_000,
      clockMs: 2_000,
      recordsIn: 7,
      bytesIn: 0,
      lagMs: null,
      idle: false,
      quietMs: 0,
    };
    const task = {
      stage: 'join-1',
      partition: 3,
      state: 'running',
      epoch: 2,
      commits: 5,
      recordsIn: 7,
      recordsOut: 4,
      watermarkMs: null,
      stateBytes: 100,
      stateEntries: 9,
      journalBytes: 0,
      journalCommits: 0,
      backlogBytes: 0,
      waitsFor: null,
    };
    const { follows = [] } = (this.assignments.at(-1) as Assignment | undefined) ?? {};
    const followers = follows.flatMap(part => {
      const task = taskOf(part);
      return task === null ? [] : [{ ...task, commit: 5, fresh: true, stateBytes: 100 }];
    });
    return {
      ...empty,
      sources: [source],
      tasks: [task],
      followers,
      counts: { in: this.recordsIn, out: 4, late: 1, dead: 2, dropped: { duplicate: 3 }, partial: false },
    };
  }

  async stop(): Promise<void> {
    if (this.stopDelayMs > 0) await new Promise(resolve => setTimeout(resolve, this.stopDelayMs));
    this.stopped = true;
  }
}

export class FakeEngine implements Engine {
  readonly started: FakePipeline[] = [];
  readonly orders: Parameters<Engine['start']>[0][] = [];
  /** Thrown by the next starts, in order. */
  readonly startErrors: Error[] = [];
  trouble: string | null = null;
  stall: string | null = null;
  #changed: () => void = () => {};

  troubleOf(): string | null {
    return this.trouble;
  }

  stallOf(): string | null {
    return this.stall;
  }

  onTrouble(changed: () => void): void {
    this.#changed = changed;
  }

  /** Null: it takes orders again; else it is gone, and all that ran in it is lost. */
  become(trouble: string | null): void {
    this.trouble = trouble;
    if (trouble !== null) {
      for (const pipeline of this.running) {
        pipeline.stopped = true;
        pipeline.fail(new MillraceError('ENGINE_LOST', trouble));
      }
    }
    this.#changed();
  }

  async start(order: Parameters<Engine['start']>[0]): Promise<FakePipeline> {
    const error = this.startErrors.shift();
    if (error !== undefined) throw error;
    this.orders.push(order);
    const pipeline = new FakePipeline(order.pipeline, order.revision);
    pipeline.assign(order.assignment);
    this.started.push(pipeline);
    return pipeline;
  }

  get running(): FakePipeline[] {
    return this.started.filter(pipeline => !pipeline.stopped);
  }
}

export class FakeJudge implements Judge {
  planError: Error | null = null;
  /** Names of the sinks of the next plans. */
  sinks: readonly string[] = [];
  /** What is on the subjects of the next plans. */
  found: readonly Results[] = [];

  async plan(bundle: Bundle): Promise<Judged> {
    if (this.planError !== null) throw this.planError;
    const { name, shape } = JSON.parse(Buffer.from(bundle.code).toString()) as { name: string; shape: string };
    return { summary: fakeSummary(name, shape, this.sinks), text: `pipeline ${name}, shape ${shape}` };
  }

  incompatibilities(before: unknown, after: unknown): readonly string[] {
    const shapes = [before, after].map(summary => (summary as PlanSummary).fingerprint);
    return shapes[0] === shapes[1] ? [] : [`shape was ${shapes[0]}, now ${shapes[1]}`];
  }

  remembered: Judge['remembered'] = () => Promise.resolve(null);

  readonly results: Judge['results'] = () => Promise.resolve(this.found);
}

/** What deletes have done. */
export class FakeClearing {
  readonly cleared: { pipeline: string; purge: boolean; summary: unknown }[] = [];
  /** Thrown by the next ones, in order. */
  readonly errors: Error[] = [];

  readonly clear: ClearPipeline = async ({ pipeline }, { summary, purge, dryRun }) => {
    const error = this.errors.shift();
    if (error !== undefined) throw error;
    if (!dryRun) this.cleared.push({ pipeline, purge, summary });
    return purge ? { kept: [], deleted: [`stream MR_${pipeline}_journal`] } : { kept: ['state'], deleted: [] };
  };
}

export function fakeSummary(pipeline: string, shape: string, sinks: readonly string[] = []): PlanSummary {
  const layout = { tables: {} } as unknown as PlanSummary['layout'];
  return {
    version: 3,
    pipeline,
    fingerprint: shape,
    readers: [],
    stages: [{ name: 'join-1', partitions: 4, direct: null, inputs: [], operators: [], exits: [] }],
    sinks: sinks.map(sinkNamed),
    changing: [],
    warnings: [],
    layout,
  };
}

function sinkNamed(name: string): SinkSpec {
  const stream = { name: 'OUT', create: false, subjects: [] };
  return { name, kind: 'nats', format: 'json', target: { mode: 'shared', template: name, stream, frame: 'none' } };
}

export function fakeBundle(name: string, options: { shape?: string; salt?: string } = {}): Bundle {
  const code = Buffer.from(JSON.stringify({ name, shape: options.shape ?? 'a', salt: options.salt }));
  return { code, hash: createHash('sha256').update(code).digest('hex'), file: `${name}.ts` };
}

export class FakeCluster {
  readonly clock: Clock = systemClock;
  readonly bucket = new MemoryBucket(systemClock);
  readonly exchange = new PeerExchange({ clock: systemClock });
  readonly blobs = new MemoryBlobs({ clock: systemClock });
  readonly broker = new MemoryBroker({ clock: systemClock });
  readonly log = this.broker.client('commands');
  readonly #workers: Worker[] = [];
  #instances = 0;

  /**
   * A worker that is not started yet, everything it is made of, and commands that it answers. All but the first only stand by,
   * unless a capacity is given.
   */
  worker(name: string, options: { address?: string; leaseMs?: number; keys?: SpecKeys; capacity?: number } = {}) {
    const registry = new MemoryRegistry(this.bucket);
    const peers = this.exchange.client(name);
    const engine = new FakeEngine();
    const judge = new FakeJudge();
    const clearing = new FakeClearing();
    const observer = new Recorder();
    const { clock, blobs } = this;
    const keys = options.keys ?? null;
    const worker = new Worker({
      me: { name, instance: `${name}${++this.#instances}`, formers: [] },
      address: options.address ?? null,
      registry,
      peers,
      clear: clearing.clear,
      clock,
      observer,
      engine,
      capacity: options.capacity ?? (this.#workers.length === 0 ? 1 : 0),
      leaseMs: options.leaseMs ?? 150,
      stopMs: 1_000,
      keys,
    });
    this.#workers.push(worker);
    const commands = new Commands({ registry, blobs, log: this.log, judge, clock, worker, keys });
    return { worker, registry, peers, engine, judge, clearing, observer, commands };
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map(worker => worker.stop({ deadlineMs: 500 })));
  }
}

/** Resolves as soon as `holds`; fails, naming `what`, when that takes longer than a hung test should. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1_000; tries++) {
    if (await holds()) return;
    await new Promise(resolve => setTimeout(resolve, 10));
  }
  throw new Error(`waited in vain until ${what}`);
}
