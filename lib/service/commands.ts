/**
 * What can be asked of a cluster: plan, deploy, list, look, pause, resume, restart, delete. Each writes or reads the
 * desired state in the registry, so any worker can answer; none works only once, and all may be repeated. Who is there
 * and what runs where is in `overview.ts`.
 */
import { createHash } from 'node:crypto';
import { type Clock, sleep } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import type { Bundle } from '../bundle/bundle.ts';
import type { Judged } from '../bundle/compile.ts';
import { bundleBlob } from '../bundle/stored.ts';
import { type Claim, Owners, refusal } from '../cluster/owners.ts';
import type { LookAtResults } from '../cluster/results.ts';
import { isGone, nextLife, nextProgram, type PipelineSpec, type Remains, Specs } from '../cluster/specs.ts';
import type { StateReader } from '../engine/views.ts';
import type { Worker } from '../host/worker.ts';
import { emptyStatus, type PipelineStatus } from '../observe/status.ts';
import type { Blobs } from '../port/blob.ts';
import type { Log } from '../port/log.ts';
import type { Registry } from '../port/registry.ts';
import type { PlanSummary } from '../topology/summary.ts';
import { advanceSource, type Heartbeat } from './advance.ts';
import { Overview } from './overview.ts';
import type { Remembered } from './remembered.ts';
import type { TaskView, WorkerView } from './views.ts';

export type DeployOutcome = 'created' | 'updated' | 'unchanged' | 'resumed' | 'incompatible';

export interface PlanAnswer {
  readonly name: string;
  readonly text: string;
  readonly summary: unknown;
  readonly fingerprint: string;
  /** What a deploy would do. */
  readonly outcome: DeployOutcome;
  readonly incompatibilities: readonly string[];
  /** Whose subjects are in the way of a deploy; empty: nobody's. */
  readonly refusals: readonly string[];
  /** What is on the output subjects already. */
  readonly notices: readonly string[];
}

export interface DeployAnswer {
  readonly name: string;
  readonly revision: number;
  readonly outcome: Exclude<DeployOutcome, 'incompatible'>;
  /** The pipeline is paused and stays so: the new revision runs when it is resumed. */
  readonly paused: boolean;
  /** What is on the output subjects already. */
  readonly notices: readonly string[];
}

export interface PipelineView {
  readonly spec: PipelineSpec;
  readonly status: PipelineStatus;
  /** The worker that runs it; null: none does, or it is not known here. */
  readonly worker: string | null;
  /** Wall clock of the snapshot, ms since 1970. */
  readonly atMs: number;
}

export interface DeleteAnswer extends Remains {
  /** False: desired, and done as soon as a worker is active. */
  readonly done: boolean;
}

/** What judges a bundle. */
export interface Judge {
  /** Throws PLAN_INVALID with all mistakes and their places. */
  plan(bundle: Bundle): Promise<Judged>;
  /** Why state of `before` cannot be read by `after`, both summaries; empty: it can. */
  incompatibilities(before: unknown, after: unknown): readonly string[];
  readonly remembered: Remembered;
  readonly results: LookAtResults;
}

/** What a deploy of `planned` over `before` comes to; pure. */
export function judgeDeploy(
  before: PipelineSpec | null,
  next: { bundle: string; summary: unknown },
  incompatibilities: Judge['incompatibilities'],
): { outcome: DeployOutcome; reasons: readonly string[] } {
  if (before === null || (isGone(before) && before.purge)) return { outcome: 'created', reasons: [] };
  const deleted = before.desired === 'deleted';
  if (!deleted && before.bundle === next.bundle) return { outcome: 'unchanged', reasons: [] };
  const reasons = incompatibilities(before.summary, next.summary);
  if (reasons.length > 0) return { outcome: 'incompatible', reasons };
  return { outcome: deleted ? 'resumed' : 'updated', reasons: [] };
}

/** How long a delete waits for the active worker before it says that it is only desired. */
const DELETE_WAIT_MS = 15_000;
const CAS_TRIES_MAX = 8;

export class Commands {
  readonly #specs: Specs;
  readonly #owners: Owners;
  readonly #blobs: Blobs;
  readonly #log: Pick<Log, 'append' | 'info'>;
  readonly #judges: Judge;
  readonly #clock: Clock;
  readonly #worker: Worker;
  readonly #connected: () => boolean;
  readonly #overview: Overview;

  /** @param options.connected false: the broker is away, so what the worker knows must do. */
  constructor(options: {
    registry: Registry;
    blobs: Blobs;
    log: Pick<Log, 'append' | 'info'>;
    judge: Judge;
    clock: Clock;
    worker: Worker;
    connected?: () => boolean;
  }) {
    this.#specs = new Specs(options.registry);
    this.#owners = new Owners(options.registry);
    this.#blobs = options.blobs;
    this.#log = options.log;
    this.#judges = options.judge;
    this.#clock = options.clock;
    this.#worker = options.worker;
    this.#connected = options.connected ?? (() => true);
    const { registry, worker } = options;
    this.#overview = new Overview({ registry, worker, connected: this.#connected });
  }

  workers(): Promise<readonly WorkerView[]> {
    return this.#overview.workers();
  }

  /** `name` null: the worker that answers. Throws NOT_FOUND. */
  worker(name: string | null): Promise<WorkerView> {
    return this.#overview.worker(name);
  }

  /** The tasks that run here; `pipeline` null: of all. Throws NOT_FOUND: no such pipeline. */
  async tasks(pipeline: string | null): Promise<readonly TaskView[]> {
    if (pipeline !== null) await this.get(pipeline);
    return this.#overview.tasks(pipeline);
  }

  /** Throws NOT_FOUND: no such task runs here. */
  async task(place: { pipeline: string; stage: string; partition: number }): Promise<TaskView> {
    await this.get(place.pipeline);
    return this.#overview.task(place);
  }

  /** Throws NOT_FOUND, WORKER_UNAVAILABLE (it does not run here). */
  async state(pipeline: string): Promise<StateReader> {
    await this.get(pipeline);
    return this.#overview.state(pipeline);
  }

  async plan(bundle: Bundle): Promise<PlanAnswer> {
    const planned = await this.#planned(bundle);
    const { summary, text } = planned;
    const { pipeline: name, fingerprint } = summary;
    const held = await this.#specs.get(name);
    const before = held?.spec ?? null;
    const { outcome, reasons } = this.#judge(before, bundle, planned);
    const { life } = await this.#next(before, planned.summary);
    const { refusals, notices } = await this.#claim(planned.summary, life, { dryRun: true, takeOver: false });
    return {
      name,
      text,
      summary,
      fingerprint,
      outcome,
      incompatibilities: reasons,
      refusals,
      notices: [...notices, ...summary.warnings],
    };
  }

  /**
   * `takeOver`: subjects that others have left, and no longer write to, are given up by them. Throws PLAN_INVALID (its
   * mistakes), PLAN_INCOMPATIBLE (the reasons), SUBJECT_OWNED (by whom), CONFLICT (being deleted; lost every race).
   */
  async deploy(bundle: Bundle, options: { dryRun: boolean; takeOver?: boolean }): Promise<DeployAnswer> {
    const planned = await this.#planned(bundle);
    const name = planned.summary.pipeline;
    for (let tries = 0; tries < CAS_TRIES_MAX; tries++) {
      const held = await this.#specs.get(name);
      const before = held?.spec ?? null;
      if (before !== null && before.desired === 'deleted' && !isGone(before)) {
        throw new MillraceError('CONFLICT', `pipeline ${name} is being deleted; try again in a moment`);
      }
      const judged = this.#judge(before, bundle, planned);
      if (judged.outcome === 'incompatible') throw incompatible(name, judged.reasons);
      const paused = before?.desired === 'paused';
      // What is lost of the same bundle is put back, and then it is a revision of its own: the one that found a part of
      // it missing will not try again.
      const isMended =
        judged.outcome === 'unchanged' &&
        !options.dryRun &&
        (await this.#blobs.put(bundleBlob(bundle.hash), bundle.code));
      const outcome = isMended ? 'updated' : judged.outcome;
      if (outcome === 'unchanged') return { name, revision: before!.revision, outcome, paused, notices: [] };
      const next = await this.#next(before, planned.summary);
      const { dryRun, takeOver = false } = options;
      const { refusals, notices, since } = await this.#claim(planned.summary, next.life, { dryRun, takeOver });
      if (refusals.length > 0) throw refusal(name, refusals);
      const told = [...notices, ...planned.summary.warnings];
      const answer = { name, revision: next.revision, outcome, paused, notices: told };
      if (dryRun) return answer;
      await this.#blobs.put(bundleBlob(bundle.hash), bundle.code);
      const spec: PipelineSpec = {
        name,
        ...next,
        since,
        bundle: bundle.hash,
        ...nextProgram(before, { ...next, bundle: bundle.hash }),
        file: bundle.file,
        desired: paused ? 'paused' : 'running',
        purge: false,
        remains: null,
        fingerprint: planned.summary.fingerprint,
        summary: planned.summary,
        text: planned.text,
        deployedAtMs: this.#clock.now(),
      };
      if (!(await this.#specs.put(spec, held?.at ?? 0))) continue;
      // Again, now that the spec names it: a sweep may have taken an old one that nobody named before.
      await this.#blobs.put(bundleBlob(bundle.hash), bundle.code);
      return answer;
    }
    throw new MillraceError('CONFLICT', `pipeline ${name} keeps changing; try again when the other deploys are done`);
  }

  /**
   * Stops the pipeline and keeps it stopped, with its state, until it is resumed; also a failed one. A deploy meanwhile
   * changes what will be resumed. Paused already: nothing changes. Throws NOT_FOUND, CONFLICT (being deleted).
   */
  pause(name: string): Promise<number> {
    return this.#wish(name, 'paused');
  }

  /** Starts a paused pipeline where it was stopped. Running already: nothing changes. Throws as `pause`. */
  resume(name: string): Promise<number> {
    return this.#wish(name, 'running');
  }

  async #wish(name: string, desired: 'running' | 'paused'): Promise<number> {
    const changed = await this.#change(name, spec => {
      if (isGone(spec)) return null;
      if (spec.desired === 'deleted') throw new MillraceError('CONFLICT', `pipeline ${name} is being deleted`);
      return spec.desired === desired ? spec : { ...spec, ...this.#changed(spec), desired };
    });
    return changed.revision;
  }

  /** The same bundle under a new revision: a failed pipeline starts again. Throws INVALID_ARGUMENT: it is paused. */
  async restart(name: string): Promise<number> {
    const changed = await this.#change(name, spec => {
      if (isGone(spec)) return null;
      if (spec.desired === 'paused') {
        const text = `pipeline ${name} is paused; resuming it starts it anew: millrace resume ${name}`;
        throw new MillraceError('INVALID_ARGUMENT', text);
      }
      return { ...spec, ...this.#changed(spec) };
    });
    return changed.revision;
  }

  /** Says how far a source is (`advance.ts`). Throws NOT_FOUND: no such pipeline, or it has no such source. */
  async advance(name: string, about: { source: string; to: string }): Promise<Heartbeat> {
    const { spec } = await this.get(name);
    return advanceSource(this.#log, spec, about);
  }

  #changed(spec: PipelineSpec): { revision: number; deployedAtMs: number } {
    return { revision: spec.revision + 1, deployedAtMs: this.#clock.now() };
  }

  /** With `dryRun` it only says what would be kept and what deleted. */
  async delete(name: string, options: { purge: boolean; dryRun?: boolean }): Promise<DeleteAnswer> {
    if (options.dryRun === true) return this.#wouldDelete(name, options);
    const { revision } = await this.#change(name, spec => {
      // A purge of what was deleted before and left its state is a delete like any other.
      if (isGone(spec) && (spec.purge || !options.purge)) return null;
      if (spec.desired === 'deleted' && (spec.purge || !options.purge)) return spec;
      return { ...spec, ...this.#changed(spec), desired: 'deleted', purge: options.purge, remains: null };
    });
    const untilMs = this.#clock.monotonic() + DELETE_WAIT_MS;
    while (this.#worker.holder !== null && this.#clock.monotonic() < untilMs) {
      const spec = (await this.#specs.get(name))?.spec;
      if (spec === undefined || spec.revision !== revision) break;
      if (spec.remains !== null) return { done: true, ...spec.remains };
      await sleep(this.#clock, 100);
    }
    return { done: false, kept: [], deleted: [] };
  }

  async #wouldDelete(name: string, options: { purge: boolean }): Promise<DeleteAnswer> {
    const spec = (await this.#specs.get(name))?.spec;
    if (spec === undefined || (isGone(spec) && (spec.purge || !options.purge))) throw await this.#missing(name);
    return { done: false, ...(await this.#worker.wouldClear(spec, options)) };
  }

  async list(): Promise<PipelineView[]> {
    return (await this.#known()).map(spec => this.#view(spec));
  }

  async get(name: string): Promise<PipelineView> {
    const spec = this.#connected()
      ? (await this.#specs.get(name))?.spec
      : this.#worker.specs.find(known => known.name === name);
    if (spec === undefined || isGone(spec)) throw await this.#missing(name);
    return this.#view(spec);
  }

  /** Without those that are gone, by name. While the broker is away: as the worker last heard of them. */
  async #known(): Promise<readonly PipelineSpec[]> {
    if (this.#connected()) return this.#specs.list();
    const known = this.#worker.specs.filter(spec => !isGone(spec));
    return known.sort((left, right) => (left.name < right.name ? -1 : 1));
  }

  #view(spec: PipelineSpec): PipelineView {
    const { active, holder, name } = this.#worker;
    const nobody =
      holder === null
        ? emptyStatus('stopped', 'no worker is active; start one, or wait for a standby to take over')
        : emptyStatus(
            'unknown',
            `worker ${holder.name} is active but cannot be asked at ${holder.address ?? 'any address'}`,
          );
    const own = active ? this.#worker.status(spec.name, spec.revision) : nobody;
    const status = spec.desired === 'paused' ? paused(own, spec) : this.#connected() ? own : withoutBroker(own);
    return { spec, status, worker: active ? name : null, atMs: this.#clock.now() };
  }

  async #next(before: PipelineSpec | null, plan: PlanSummary): Promise<ReturnType<typeof nextLife>> {
    return nextLife(before, await this.#judges.remembered(plan));
  }

  async #claim(plan: PlanSummary, life: string, options: { dryRun: boolean; takeOver: boolean }): Promise<Claim> {
    const [results, specs] = await Promise.all([this.#judges.results(plan), this.#specs.readable()]);
    return this.#owners.claim({ pipeline: plan.pipeline, life, results }, { specs, ...options });
  }

  async #planned(bundle: Bundle): Promise<Judged> {
    const hash = createHash('sha256').update(bundle.code).digest('hex');
    if (hash !== bundle.hash) {
      throw new MillraceError(
        'INVALID_ARGUMENT',
        `the bundle does not match its hash; it was damaged on the way, send it again`,
      );
    }
    return this.#judges.plan(bundle);
  }

  #judge(before: PipelineSpec | null, bundle: Bundle, planned: Judged) {
    return judgeDeploy(before, { bundle: bundle.hash, summary: planned.summary }, this.#judges.incompatibilities);
  }

  /** `change` returns null for a pipeline that is not there for it, and the spec itself when nothing is to do. */
  async #change(name: string, change: (spec: PipelineSpec) => PipelineSpec | null): Promise<PipelineSpec> {
    for (let tries = 0; tries < CAS_TRIES_MAX; tries++) {
      const held = await this.#specs.get(name);
      const next = held === null ? null : change(held.spec);
      if (held === null || next === null) throw await this.#missing(name);
      if (next === held.spec || (await this.#specs.put(next, held.at))) return next;
    }
    throw new MillraceError('CONFLICT', `pipeline ${name} keeps changing; try again when the other changes are done`);
  }

  async #missing(name: string): Promise<MillraceError> {
    const names = (await this.#known()).map(spec => spec.name);
    const there = names.length === 0 ? 'nothing is deployed yet' : `there are: ${names.join(', ')}`;
    return new MillraceError('NOT_FOUND', `no pipeline is named ${name}; ${there}`);
  }
}

/** A paused pipeline's status once it has stopped, or when nobody is there who would have to stop it. */
function paused(status: PipelineStatus, { name, deployedAtMs }: PipelineSpec): PipelineStatus {
  if (status.state !== 'stopped' && status.state !== 'starting') return status;
  const since = new Date(deployedAtMs).toISOString();
  return emptyStatus('paused', `since ${since}; to go on: millrace resume ${name}`);
}

const IN_PROGRESS: ReadonlySet<PipelineStatus['state']> = new Set(['starting', 'restoring', 'running', 'waiting']);

/** Every task waits for the broker then, each at a place of its own; this says it for all of them. */
function withoutBroker(status: PipelineStatus): PipelineStatus {
  if (!IN_PROGRESS.has(status.state)) return status;
  const reason = 'there is no connection to NATS; it goes on by itself when the broker is back';
  return { ...status, state: 'waiting', reason };
}

function incompatible(name: string, reasons: readonly string[]): MillraceError {
  return new MillraceError(
    'PLAN_INCOMPATIBLE',
    `pipeline ${name} has state that the new version cannot read on:\n${reasons.map(reason => `  - ${reason}`).join('\n')}\n` +
      'deploy it under another name, with output subjects of its own, or delete the old one with --purge first: then it begins ' +
      'anew, and sends its results again',
  );
}
