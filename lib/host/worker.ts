/**
 * The worker: watches what should run and brings it about. One worker of a cluster is active at a time (`cluster/lease`);
 * the others wait as standbys, know the specs, and take over when the lease is released or falls silent.
 *
 * Start order: presence, which throws where somebody else has our name, then lease and specs. Stop order: pipelines, specs,
 * then the lease is released, so that whoever takes over finds every task handed over already; the presence goes last.
 */
import { type Clock, sleep } from '../base/clock.ts';
import { BEGIN_ANEW, isMillraceError, MillraceError } from '../base/errors.ts';
import { VERSION } from '../base/package.ts';
import type { ProgramName } from '../channel/authorship.ts';
import type { Identity } from '../cluster/identity.ts';
import { Lease } from '../cluster/lease.ts';
import { Presence, type PresenceRecord } from '../cluster/presence.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import { emptyStatus, type PipelineStatus } from '../observe/status.ts';
import type { Blobs } from '../port/blob.ts';
import type { Registry } from '../port/registry.ts';
import type { Plan } from '../topology/plan.ts';
import type { Bundle, Engine, Remains, RunningPipeline } from './engine.ts';
import { Hosted } from './hosted.ts';
import { Owners } from '../cluster/owners.ts';
import type { Wanted } from './reconcile.ts';
import { isGone, type PipelineSpec, Specs } from '../cluster/specs.ts';

export interface WorkerOptions {
  readonly me: Identity;
  /** Where other workers reach this one's API, `host:port`; null: nowhere. */
  readonly address: string | null;
  readonly registry: Registry;
  readonly blobs: Blobs;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly engine: Engine;
  /** How long a silent active worker is waited for. Default 5,000. */
  readonly leaseMs?: number;
  /** How long a pipeline may take to stop for its next revision. Default 10,000. */
  readonly stopMs?: number;
}

/** Where a bundle lies in the blobs; no pipeline is called `_bundles`, so no purge finds it. */
export function bundleBlob(hash: string): string {
  return `_bundles/${hash}`;
}

export class Worker {
  readonly name: string;
  /** Resolves when an invariant broke, or another process has our name: the process should end. */
  readonly fatal: Promise<MillraceError>;
  readonly #options: WorkerOptions;
  readonly #specs: Specs;
  readonly #owners: Owners;
  readonly #lease: Lease;
  readonly #presence: Presence;
  readonly #startedAtMs: number;
  readonly #hosted = new Map<string, Hosted>();
  readonly #desired = new Map<string, PipelineSpec>();
  #watch: { stop(): Promise<void> } | null = null;
  #stopping: Promise<void> | null = null;
  readonly #fail: (error: MillraceError) => void;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.name = options.me.name;
    this.#specs = new Specs(options.registry);
    this.#owners = new Owners(options.registry);
    let fail: (error: MillraceError) => void = () => {};
    this.fatal = new Promise(resolve => {
      fail = resolve;
    });
    this.#fail = fail;
    this.#lease = new Lease({
      registry: options.registry,
      clock: options.clock,
      observer: options.observer,
      me: options.me,
      address: options.address,
      ...(options.leaseMs === undefined ? {} : { leaseMs: options.leaseMs }),
      changed: () => {
        this.#reconcile();
        this.#presence.refresh();
      },
    });
    this.#startedAtMs = options.clock.now();
    this.#presence = new Presence({
      registry: options.registry,
      clock: options.clock,
      observer: options.observer,
      me: options.me,
      record: () => this.presence,
      onDisplaced: error => this.#fail(error),
    });
  }

  /** Throws STORE_IN_USE: another process is there under our name. */
  async start(): Promise<void> {
    const { observer } = this.#options;
    await this.#presence.start();
    await this.#lease.start();
    this.#watch = await this.#specs.watch(
      spec => {
        const known = this.#desired.get(spec.name);
        if (known !== undefined && known.revision === spec.revision && isGone(known) === isGone(spec)) return;
        this.#desired.set(spec.name, spec);
        this.#reconcile();
      },
      error => observer.emit({ event: 'spec.unreadable', level: 'error', ...errorFields(error) }),
    );
    observer.emit({ event: 'worker.started', level: 'info', worker: this.name, active: this.active });
  }

  /** Stops everything, hands over state and the lease. What is not done after `deadlineMs` is left to recovery. */
  stop(options: { deadlineMs: number }): Promise<void> {
    this.#stopping ??= this.#stop(options.deadlineMs);
    return this.#stopping;
  }

  /** This worker is the one that runs pipelines. */
  get active(): boolean {
    return this.#lease.holding;
  }

  /** The active worker, as far as this one knows; null: none. */
  get holder(): { readonly name: string; readonly address: string | null } | null {
    return this.#lease.holder;
  }

  /** What this worker tells the others of itself, as of now. */
  get presence(): PresenceRecord {
    const { address, clock, me } = this.#options;
    const running = [...this.#hosted.values()].map(hosted => hosted.running).filter(pipeline => pipeline !== null);
    return {
      instance: me.instance,
      address,
      version: VERSION,
      active: this.active,
      startedAtMs: this.#startedAtMs,
      seenAtMs: clock.now(),
      pipelines: running.length,
      tasks: running.reduce((sum, pipeline) => sum + pipeline.status().tasks.length, 0),
    };
  }

  /** Every spec as this worker last heard of it, those of deleted pipelines included. */
  get specs(): PipelineSpec[] {
    return [...this.#desired.values()];
  }

  /**
   * Status of a pipeline on this worker; `stopped` when nothing of it is here. With the `revision` that is desired by now:
   * what an earlier one does (it runs on, it has failed) is not told as if it were that one's.
   */
  status(name: string, revision?: number): PipelineStatus {
    const hosted = this.#hosted.get(name);
    const status = hosted?.status() ?? emptyStatus(this.active ? 'starting' : 'stopped', null);
    const present = hosted?.revision ?? null;
    if (revision === undefined || present === null || present >= revision) return status;
    if (status.state === 'failed' || status.state === 'stopped') return emptyStatus('starting', null);
    return { ...status, state: 'stopping', reason: `revision ${present} makes room for ${revision}` };
  }

  /** The pipeline as it runs here; null: it does not. */
  running(name: string): RunningPipeline | null {
    return this.#hosted.get(name)?.running ?? null;
  }

  async #stop(deadlineMs: number): Promise<void> {
    const { clock, observer } = this.#options;
    const hosted = [...this.#hosted.values()].map(one => one.close({ deadlineMs }));
    let late = false;
    // The engine keeps the deadline by itself; half a second more lets it say so.
    await Promise.race([
      Promise.all(hosted),
      sleep(clock, deadlineMs + 500).then(() => {
        late = true;
      }),
    ]);
    await this.#watch?.stop();
    await this.#lease.stop();
    await this.#presence.stop();
    observer.emit({ event: 'worker.stopped', level: late ? 'warn' : 'info', worker: this.name, inTime: !late });
  }

  #reconcile(): void {
    if (this.#stopping !== null) return;
    for (const spec of this.#desired.values()) {
      const wanted = wantedOf(spec, this.active);
      const hosted = this.#hosted.get(spec.name);
      if (hosted !== undefined) hosted.want(wanted);
      else if (wanted !== null) this.#host(spec.name).want(wanted);
    }
  }

  #host(name: string): Hosted {
    const { clock, observer, stopMs } = this.#options;
    const hosted = new Hosted({
      name,
      clock,
      observer,
      stopMs: stopMs ?? 10_000,
      start: revision => this.#start(name, revision),
      clear: revision => this.#clear(name, revision),
      fatal: this.#fail,
    });
    this.#hosted.set(name, hosted);
    return hosted;
  }

  async #start(name: string, revision: number): Promise<RunningPipeline> {
    const { engine, observer } = this.#options;
    const spec = this.#specOf(name, revision);
    const { plan } = await engine.plan(await this.#bundleOf(spec));
    const sinks = plan.sinks.map(sink => {
      const sinceSeq = spec.since[sink.name];
      return sinceSeq === undefined ? sink : { ...sink, sinceSeq };
    });
    const present = { since: spec.program, bundle: spec.bundle };
    const programs = { present, planOf: (program: ProgramName) => this.#formerPlan(spec, program) };
    return engine.start({ ...plan, sinks }, { life: spec.life, revision, programs, worker: this.name, observer });
  }

  /** Throws PROGRAM_MISSING: it cannot be had, for a reason that does not pass. */
  async #formerPlan(spec: PipelineSpec, { since, bundle }: ProgramName): Promise<Plan> {
    try {
      if (bundle === '') throw new MillraceError('NOT_FOUND', 'which it was is not known');
      return (await this.#options.engine.plan(await this.#bundleOf({ ...spec, bundle }))).plan;
    } catch (cause) {
      if (!isMillraceError(cause) || cause.fate === 'retry' || cause.fate === 'fatal') throw cause;
      throw new MillraceError(
        'PROGRAM_MISSING',
        `pipeline ${spec.name} was killed while it sent what the code of revision ${since} had made of its input, and only that ` +
          `code can send the rest. It cannot be loaded: ${cause.message}. Deploy that code again, and then this; or ${BEGIN_ANEW}`,
        { cause },
      );
    }
  }

  /** Carries out a delete and leaves the tombstone. */
  async #clear(name: string, revision: number): Promise<void> {
    const { engine, observer } = this.#options;
    const spec = this.#specOf(name, revision);
    const deployment = { pipeline: name, life: spec.life };
    const plan = await this.#planOf(spec);
    const confirm = async () => {
      if ((await this.#specs.get(name))?.spec.revision !== revision) throw newer(name, revision);
    };
    const remains = await engine.clear(deployment, { plan, purge: spec.purge, dryRun: false, confirm });
    if (spec.purge) await this.#owners.giveUp(deployment);
    const held = await this.#specs.get(name);
    if (held === null || held.spec.revision !== revision) return;
    if (!(await this.#specs.put({ ...held.spec, remains }, held.at))) {
      throw new MillraceError('CONFLICT', `the spec of pipeline ${name} changed while it was deleted`);
    }
    observer.emit({ event: 'pipeline.deleted', level: 'info', pipeline: name, revision, purge: spec.purge });
  }

  /** What deleting the pipeline now would keep and delete. */
  async wouldClear(spec: PipelineSpec, options: { purge: boolean }): Promise<Remains> {
    const plan = await this.#planOf(spec);
    const deployment = { pipeline: spec.name, life: spec.life };
    const confirm = () => Promise.resolve();
    return this.#options.engine.clear(deployment, { plan, purge: options.purge, dryRun: true, confirm });
  }

  /** Null: it cannot be loaded any more, and must still be possible to delete. */
  async #planOf(spec: PipelineSpec): Promise<Plan | null> {
    const { engine, observer } = this.#options;
    try {
      return (await engine.plan(await this.#bundleOf(spec))).plan;
    } catch (error) {
      if (!isMillraceError(error) || error.fate === 'retry') throw error;
      observer.emit({ event: 'pipeline.unplanned', level: 'warn', pipeline: spec.name, ...errorFields(error) });
      return null;
    }
  }

  #specOf(name: string, revision: number): PipelineSpec {
    const spec = this.#desired.get(name);
    if (spec === undefined || spec.revision !== revision) throw newer(name, revision);
    return spec;
  }

  async #bundleOf(spec: Pick<PipelineSpec, 'name' | 'bundle' | 'file'>): Promise<Bundle> {
    const what = `the bundle ${spec.bundle.slice(0, 12)} of pipeline ${spec.name}`;
    const code = await this.#options.blobs.get(bundleBlob(spec.bundle)).catch(cause => {
      if (!isMillraceError(cause, 'JOURNAL_CORRUPT')) throw cause;
      throw new MillraceError('JOURNAL_CORRUPT', `${what} is damaged in the cluster's blobs; deploy it again`, {
        cause,
      });
    });
    if (code === null)
      throw new MillraceError('NOT_FOUND', `${what} is gone from the cluster's blobs; deploy it again`);
    return { code, hash: spec.bundle, file: spec.file };
  }
}

function newer(name: string, revision: number): MillraceError {
  return new MillraceError('CONFLICT', `pipeline ${name} has a newer revision than ${revision}`);
}

function wantedOf(spec: PipelineSpec, active: boolean): Wanted {
  if (!active || isGone(spec) || spec.desired === 'paused') return null;
  return { do: spec.desired === 'running' ? 'run' : 'clear', revision: spec.revision };
}
