/**
 * The worker: watches what should run and which parts of it are its own, and brings that about. One worker of a cluster leads
 * (`cluster/lease.ts`) and says whose each part is (`leader.ts`); all of them, the leader too, do what the assignments say.
 *
 * It runs no code of a pipeline's author and waits for none: that is the engine's, behind the seam.
 *
 * Start order: presence, which throws where somebody else has our name, then lease, specs and assignments. Stop order: what
 * it has is handed to others while it runs on, where there are any; then pipelines, specs, and the lease is released, so that
 * whoever leads next finds every task handed over already; the presence goes last.
 */
import { type Clock, sleep } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import { Assignments, ownersOf, shareOf } from '../cluster/assignments.ts';
import { Cordons } from '../cluster/cordons.ts';
import type { Identity } from '../cluster/identity.ts';
import { Lease } from '../cluster/lease.ts';
import { Members } from '../cluster/members.ts';
import { Owners } from '../cluster/owners.ts';
import { Presence, type PresenceRecord } from '../cluster/presence.ts';
import type { Member } from '../cluster/roster.ts';
import type { SpecKeys } from '../cluster/spec-keys.ts';
import { isGone, type PipelineSpec, Specs } from '../cluster/specs.ts';
import type { StateReader } from '../engine/views.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import { emptyStatus, type PipelineStatus } from '../observe/status.ts';
import type { Peers } from '../port/peers.ts';
import type { Registry } from '../port/registry.ts';
import type { Engine, RunningPipeline } from '../seam/engine.ts';
import { type Assignment, shapeOf } from '../topology/parts.ts';
import type { ClearPipeline } from './clear.ts';
import { Deletes, newer } from './deletes.ts';
import { Hosted } from './hosted.ts';
import { Leader, ledOf, type Move } from './leader.ts';
import { memberEvent } from './member-events.ts';
import type { Wanted } from './reconcile.ts';
import { type Report, Reports, type Said } from './reports.ts';
import { presenceOf, type Self, saysOf } from './self.ts';
import { asOf, type Figures, Whole } from './whole.ts';

/** The share of the time for a stop that is left for ending what nobody has taken over. */
const STOP_SHARE = 0.4;
const DRAIN_LOOK_MS = 50;

export interface WorkerOptions {
  readonly me: Identity;
  /** Where other workers reach this one's API, `host:port`; null: nowhere. */
  readonly address: string | null;
  readonly registry: Registry;
  /** How it hears of the other workers, and asks them. */
  readonly peers: Peers;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly engine: Engine;
  readonly clear: ClearPipeline;
  /** What specs are signed and known by; absent or null: every spec is taken. */
  readonly keys?: SpecKeys | null;
  /** Where it is: copies of a task's state are kept in different zones, where there are any. Default: nowhere in particular. */
  readonly zone?: string;
  /** How much it can do beside the others, 1 being one core. Default 1. */
  readonly capacity?: number;
  /** How many workers follow each task, where this one leads. Default 0. */
  readonly standbys?: number;
  /** How long a silent leader is waited for whose process cannot be asked. Default 5,000. */
  readonly leaseMs?: number;
  /** How long a pipeline may take to stop for its next revision. Default 10,000. */
  readonly stopMs?: number;
}

export class Worker {
  readonly name: string;
  /** Resolves when an invariant broke, or another process has our name: the process should end. */
  readonly fatal: Promise<MillraceError>;
  readonly cordons: Cordons;
  /** What all workers run, as far as this one knows. */
  readonly whole: Whole;
  readonly deletes: Deletes;
  readonly #options: WorkerOptions;
  readonly #specs: Specs;
  readonly #lease: Lease;
  readonly #presence: Presence;
  readonly #members: Members;
  readonly #assignments: Assignments;
  readonly #reports: Reports;
  readonly #leader: Leader;
  readonly #startedAtMs: number;
  readonly #hosted = new Map<string, Hosted>();
  readonly #desired = new Map<string, PipelineSpec>();
  #watches: { stop(): Promise<void> }[] = [];
  #isDraining = false;
  /** What runs is being ended. */
  #isStopping = false;
  #stopping: Promise<void> | null = null;
  readonly #fail: (error: MillraceError) => void;

  constructor(options: WorkerOptions) {
    this.#options = options;
    const { registry, peers, clock, observer, me, address, clear } = options;
    this.name = me.name;
    this.#specs = new Specs(registry, options.keys ?? null);
    let fail: (error: MillraceError) => void = () => {};
    this.fatal = new Promise(resolve => {
      fail = resolve;
    });
    this.#fail = fail;
    this.#lease = new Lease({
      ...{ registry, clock, observer, me, address },
      ...(options.leaseMs === undefined ? {} : { leaseMs: options.leaseMs }),
      isGone: ({ name }) => this.#members.verdictOf(name) === 'gone',
      changed: () => {
        this.#leader.stir();
        this.#reconcile();
        this.#presence.refresh();
      },
    });
    this.#members = new Members({ clock, peers, says: () => saysOf(this.#self, this.#report) });
    this.#members.onChange(change => {
      observer.emit(memberEvent(change));
      this.#lease.look();
      this.#leader.stir();
    });
    this.#assignments = new Assignments(registry, () => {
      this.#leader.stir();
      this.#reconcile();
    });
    this.cordons = new Cordons(registry, () => this.#leader.stir());
    this.#reports = new Reports({
      ...{ clock, peers, me: this.name },
      own: () => this.#report,
      state: pipeline => this.#stateHere(pipeline),
      isLeading: () => this.active,
      others: () => this.others,
      refreshed: () => {
        if (this.deletes.isAnyAsked) this.#reconcile();
      },
    });
    this.deletes = new Deletes({
      ...{ clear, clock, observer, specs: this.#specs, owners: new Owners(registry), reports: this.#reports },
    });
    this.whole = new Whole({
      me: this.name,
      reports: this.#reports,
      isLeading: () => this.active,
      specs: () => this.#desired,
      owners: name => ownersOf(this.#assignments.of(name)),
      here: (name, revision) => this.statusHere(name, revision),
    });
    this.#leader = new Leader({
      ...{ clock, observer, assignments: this.#assignments, reports: this.#reports },
      isLeading: () => this.active && !this.#isStopping && !this.#members.isolated,
      pipelines: () => ledOf(this.specs),
      members: () =>
        this.#members
          .all()
          .map(member => ({ ...member, isDraining: member.isDraining || this.cordons.has(member.name) })),
      expect: names => this.#members.expect(names),
      standbys: options.standbys ?? 0,
    });
    options.engine.onTrouble(() => {
      for (const hosted of this.#hosted.values()) hosted.stir();
    });
    this.#startedAtMs = clock.now();
    this.#presence = new Presence({
      ...{ registry, clock, observer, me },
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
    this.#members.start();
    const { holder } = this;
    if (holder !== null) this.#members.expect([holder.name]);
    this.#reports.start();
    const specs = await this.#specs.watch(
      spec => {
        const known = this.#desired.get(spec.name);
        if (known !== undefined && known.revision === spec.revision && isGone(known) === isGone(spec)) return;
        this.#desired.set(spec.name, spec);
        this.deletes.hear(spec);
        this.#leader.stir();
        this.#reconcile();
      },
      error => observer.emit({ event: 'spec.unreadable', level: 'error', ...errorFields(error) }),
    );
    this.#watches.push(specs, await this.#assignments.watch(), await this.cordons.watch());
    observer.emit({ event: 'worker.started', level: 'info', worker: this.name, active: this.active });
  }

  /** Stops everything, hands over state and the lease. What is not done after `deadlineMs` is left to recovery. */
  stop(options: { deadlineMs: number }): Promise<void> {
    this.#stopping ??= this.#stop(options.deadlineMs);
    return this.#stopping;
  }

  /** This worker leads: it says what runs where, and answers for all. */
  get active(): boolean {
    return this.#lease.holding;
  }

  /** The worker that leads, as far as this one knows; null: none. */
  get holder(): { readonly name: string; readonly address: string | null } | null {
    return this.#lease.holder;
  }

  /** What this worker tells people of itself, as of now. */
  get presence(): PresenceRecord {
    return presenceOf(this.#self, this.#report);
  }

  /** The workers as this one hears them; empty while it hears nobody. */
  get members(): readonly Member[] {
    return this.#members.isolated ? [] : this.#members.all();
  }

  /** Names of the others that are there. */
  get others(): readonly string[] {
    return this.#members.alive().flatMap(({ name }) => (name === this.name ? [] : [name]));
  }

  /** By worker, how much each has. Who does not lead asks the others; whoever does not answer is left out. */
  async figures(): Promise<ReadonlyMap<string, Figures>> {
    if (!this.active) await this.#reports.refresh();
    return this.whole.figures();
  }

  /** Every spec as this worker last heard of it, those of deleted pipelines included. */
  get specs(): PipelineSpec[] {
    return [...this.#desired.values()];
  }

  /** See `Whole`. */
  status(name: string, revision?: number): PipelineStatus {
    return this.whole.status(name, revision);
  }

  /** It should run something of the pipeline; or it leads, and nobody has been given any of it. */
  has(name: string): boolean {
    return this.#shareOf(name) !== null || (this.active && ownersOf(this.#assignments.of(name)).size === 0);
  }

  /** What of it is on this worker. */
  statusHere(name: string, revision?: number): PipelineStatus {
    const hosted = this.#hosted.get(name);
    const status = hosted?.status() ?? emptyStatus(this.active ? 'starting' : 'stopped', null);
    return asOf({ revision: hosted?.revision ?? null, status }, revision, this.name);
  }

  #stateHere(pipeline: string): StateReader {
    const running = this.running(pipeline);
    if (running !== null) return running.state;
    const text = `pipeline ${pipeline} does not run on worker ${this.name}, so its state cannot be read now`;
    throw new MillraceError('WORKER_UNAVAILABLE', `${text}; see why with: millrace describe ${pipeline}`);
  }

  get #report(): Report {
    const report = new Map<string, Said>();
    for (const [name, hosted] of this.#hosted) {
      if (hosted.revision !== null) report.set(name, { revision: hosted.revision, status: hosted.status() });
    }
    return report;
  }

  get #self(): Self {
    const { address, clock, me, zone = '', capacity = 1 } = this.#options;
    return {
      ...{ me, address, zone, capacity, draining: this.#isDraining, active: this.active },
      ...{ term: this.#lease.claimedAt, startedAtMs: this.#startedAtMs, nowMs: clock.now() },
    };
  }

  /** What would move if all stays as it is; this one must lead. */
  previewMoves(): readonly Move[] {
    return this.#leader.preview();
  }

  /** The pipeline as it runs here; null: it does not. */
  running(name: string): RunningPipeline | null {
    return this.#hosted.get(name)?.running ?? null;
  }

  async #stop(deadlineMs: number): Promise<void> {
    const { clock, observer } = this.#options;
    const endMs = clock.monotonic() + deadlineMs;
    await this.#drain(endMs - deadlineMs * STOP_SHARE);
    const leftMs = Math.max(0, endMs - clock.monotonic());
    this.#isStopping = true;
    const hosted = [...this.#hosted.values()].map(one => one.close({ deadlineMs: leftMs }));
    let late = false;
    // The engine keeps the deadline by itself; half a second more lets it say so.
    await Promise.race([
      Promise.all(hosted),
      sleep(clock, leftMs + 500).then(() => {
        late = true;
      }),
    ]);
    await this.#leader.stop();
    this.#reports.stop();
    await Promise.all(this.#watches.map(watch => watch.stop()));
    await this.#lease.stop();
    this.#members.stop();
    await this.#presence.stop();
    observer.emit({ event: 'worker.stopped', level: late ? 'warn' : 'info', worker: this.name, inTime: !late });
  }

  /** Has others take over what is here, while it runs on; where nobody is there, or they take too long, it just ends. */
  async #drain(untilMs: number): Promise<void> {
    const { clock } = this.#options;
    const isAlone = () =>
      !this.#members
        .alive()
        .some(({ name, capacity, isDraining }) => name !== this.name && capacity > 0 && !isDraining);
    const hasParts = () => [...this.#desired.keys()].some(name => (this.#shareOf(name)?.parts.length ?? 0) > 0);
    this.#isDraining = true;
    this.#presence.refresh();
    this.#leader.stir();
    while (!isAlone() && hasParts() && clock.monotonic() < untilMs) await sleep(clock, DRAIN_LOOK_MS);
  }

  #reconcile(): void {
    if (this.#isStopping) return;
    for (const spec of this.#desired.values()) {
      const wanted = this.#wantedOf(spec);
      const hosted = this.#hosted.get(spec.name);
      if (hosted !== undefined) hosted.want(wanted);
      else if (wanted !== null) this.#host(spec.name).want(wanted);
      const share = this.#shareOf(spec.name);
      if (share !== null) hosted?.running?.assign(share);
    }
  }

  /** Whoever has a part of it runs it; who leads carries out deletes, when nobody else runs it any more. */
  #wantedOf(spec: PipelineSpec): Wanted {
    const { name, desired, revision } = spec;
    if (isGone(spec) || desired === 'paused') return null;
    if (desired === 'deleted') return this.active && this.deletes.isDue(name) ? { do: 'clear', revision } : null;
    return this.#shareOf(name) === null ? null : { do: 'run', revision };
  }

  /** What of a pipeline is ours to run and to follow; null: nothing. */
  #shareOf(pipeline: string): Assignment | null {
    const held = this.#assignments.of(pipeline);
    return held === null ? null : shareOf(held, this.name);
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
      clear: revision => this.deletes.carryOut(this.#specOf(name, revision)),
      fatal: this.#fail,
    });
    this.#hosted.set(name, hosted);
    return hosted;
  }

  async #start(name: string, revision: number): Promise<RunningPipeline> {
    const { life, bundle, file, program, since, summary } = this.#specOf(name, revision);
    const assignment = this.#shareOf(name);
    if (assignment === null)
      throw new MillraceError('CONFLICT', `nothing of pipeline ${name} is this worker's any more`);
    const { engine } = this.#options;
    const order = { pipeline: name, life, revision, bundle, file, program, since, assignment };
    const running = await engine.start(order, shapeOf(summary));
    // It may have changed meanwhile.
    running.assign(this.#shareOf(name) ?? { ...assignment, parts: [], follows: [] });
    return running;
  }

  #specOf(name: string, revision: number): PipelineSpec {
    const spec = this.#desired.get(name);
    if (spec === undefined || spec.revision !== revision) throw newer(name, revision);
    return spec;
  }
}
