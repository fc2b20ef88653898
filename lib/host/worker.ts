/**
 * The worker: watches what should run and brings it about. One worker of a cluster is active at a time (`cluster/lease`);
 * the others wait as standbys, know the specs, and take over when the lease is released or falls silent.
 *
 * It runs no code of a pipeline's author and waits for none: that is the engine's, behind the seam.
 *
 * Start order: presence, which throws where somebody else has our name, then lease and specs. Stop order: pipelines, specs,
 * then the lease is released, so that whoever takes over finds every task handed over already; the presence goes last.
 */
import { type Clock, sleep } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import { VERSION } from '../base/package.ts';
import type { Identity } from '../cluster/identity.ts';
import { Lease } from '../cluster/lease.ts';
import { Owners } from '../cluster/owners.ts';
import { Presence, type PresenceRecord } from '../cluster/presence.ts';
import type { SpecKeys } from '../cluster/spec-keys.ts';
import { isGone, type PipelineSpec, type Remains, Specs } from '../cluster/specs.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import { emptyStatus, type PipelineStatus } from '../observe/status.ts';
import type { Registry } from '../port/registry.ts';
import type { Engine, RunningPipeline } from '../seam/engine.ts';
import { type Assignment, shapeOf } from '../topology/parts.ts';
import type { ClearPipeline } from './clear.ts';
import { Hosted } from './hosted.ts';
import type { Wanted } from './reconcile.ts';

export interface WorkerOptions {
  readonly me: Identity;
  /** Where other workers reach this one's API, `host:port`; null: nowhere. */
  readonly address: string | null;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly engine: Engine;
  readonly clear: ClearPipeline;
  /** What specs are signed and known by; absent or null: every spec is taken. */
  readonly keys?: SpecKeys | null;
  /** How long a silent active worker is waited for. Default 5,000. */
  readonly leaseMs?: number;
  /** How long a pipeline may take to stop for its next revision. Default 10,000. */
  readonly stopMs?: number;
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
    this.#specs = new Specs(options.registry, options.keys ?? null);
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
    options.engine.onTrouble(() => {
      for (const hosted of this.#hosted.values()) hosted.stir();
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

  /**
   * Throws STORE_IN_USE (another process is there under our name), BROKER_UNAVAILABLE; then nothing of it goes on: whoever
   * starts another in its place has one worker, not two.
   */
  async start(): Promise<void> {
    try {
      await this.#begin();
    } catch (error) {
      await this.stop({ deadlineMs: 0 });
      throw error;
    }
  }

  async #begin(): Promise<void> {
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
    if (status.state === 'failed' || status.state === 'stopped') {
      return { ...emptyStatus('starting', null), counts: status.counts };
    }
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
      hosted?.running?.assign(this.#assignment);
    }
  }

  /** All of a pipeline runs on the active worker, by the number of its claim to the lease. */
  get #assignment(): Assignment {
    return { number: this.#lease.claimedAt, parts: 'all' };
  }

  #host(name: string): Hosted {
    const { clock, engine, observer, stopMs } = this.#options;
    const hosted = new Hosted({
      name,
      clock,
      observer,
      stopMs: stopMs ?? 10_000,
      engine,
      start: revision => this.#start(name, revision),
      clear: revision => this.#clear(name, revision),
      fatal: this.#fail,
    });
    this.#hosted.set(name, hosted);
    return hosted;
  }

  async #start(name: string, revision: number): Promise<RunningPipeline> {
    const { life, bundle, file, program, since, summary } = this.#specOf(name, revision);
    const assignment = this.#assignment;
    const { engine } = this.#options;
    const order = { pipeline: name, life, revision, bundle, file, program, since, assignment };
    const running = await engine.start(order, shapeOf(summary));
    // It may have changed meanwhile.
    running.assign(this.#assignment);
    return running;
  }

  /** Carries out a delete and leaves the tombstone. */
  async #clear(name: string, revision: number): Promise<void> {
    const { clear, observer } = this.#options;
    const spec = this.#specOf(name, revision);
    const deployment = { pipeline: name, life: spec.life };
    const confirm = async () => {
      if ((await this.#specs.get(name))?.spec.revision !== revision) throw newer(name, revision);
    };
    const remains = await clear(deployment, { summary: spec.summary, purge: spec.purge, dryRun: false, confirm });
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
    const deployment = { pipeline: spec.name, life: spec.life };
    const confirm = () => Promise.resolve();
    return this.#options.clear(deployment, { summary: spec.summary, purge: options.purge, dryRun: true, confirm });
  }

  #specOf(name: string, revision: number): PipelineSpec {
    const spec = this.#desired.get(name);
    if (spec === undefined || spec.revision !== revision) throw newer(name, revision);
    return spec;
  }
}

function newer(name: string, revision: number): MillraceError {
  return new MillraceError('CONFLICT', `pipeline ${name} has a newer revision than ${revision}`);
}

function wantedOf(spec: PipelineSpec, active: boolean): Wanted {
  if (!active || isGone(spec) || spec.desired === 'paused') return null;
  return { do: spec.desired === 'running' ? 'run' : 'clear', revision: spec.revision };
}
