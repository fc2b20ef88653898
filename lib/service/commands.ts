/**
 * What can be asked of a cluster: plan, deploy, list, look, pause, resume, restart, delete. Each writes or reads the
 * desired state in the registry, so any worker can answer; none works only once, and all may be repeated. Who is there
 * and what runs where is in `overview.ts`.
 */
import { createHash } from 'node:crypto';
import { type Clock, sleep } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import type { Bundle } from '../bundle/bundle.ts';
import { bundleBlob } from '../bundle/stored.ts';
import { type Claim, Owners, refusal } from '../cluster/owners.ts';
import type { SpecKeys } from '../cluster/spec-keys.ts';
import { isGone, nextLife, nextProgram, type PipelineSpec, type Remains, Specs } from '../cluster/specs.ts';
import type { StateReader } from '../engine/views.ts';
import type { Worker } from '../host/worker.ts';
import type { Blobs } from '../port/blob.ts';
import type { Log } from '../port/log.ts';
import type { Registry } from '../port/registry.ts';
import { captureNotices } from '../topology/describe.ts';
import type { PlanSummary } from '../topology/summary.ts';
import { advanceSource, type Heartbeat } from './advance.ts';
import { anyone, type Caller } from './caller.ts';
import { Overview } from './overview.ts';
import { Pipelines, type PipelineView } from './pipelines.ts';
import {
  beingDeletedText,
  type DeployOutcome,
  isBeingDeleted,
  type Judge,
  judgeReplaced,
  type KnownSpec,
  type PlanAnswer,
  planDeploy,
  replacedBy,
} from './plan.ts';
import type { MoveView, TaskView, WorkerView } from './views.ts';

export interface DeployAnswer {
  readonly name: string;
  readonly revision: number;
  readonly outcome: Exclude<DeployOutcome, 'incompatible'>;
  /** The pipeline is paused and stays so: the new revision runs when it is resumed. */
  readonly paused: boolean;
  /** What is on the output subjects already. */
  readonly notices: readonly string[];
}

export interface DeleteAnswer extends Remains {
  /** False: desired, and done as soon as a worker leads and all others have left it. */
  readonly done: boolean;
}

/** How long a delete waits for whoever leads before it says that it is only desired. */
const DELETE_WAIT_MS = 15_000;
const CAS_TRIES_MAX = 8;

/** What commands are given out of. */
export interface CommandsOptions {
  readonly registry: Registry;
  readonly blobs: Blobs;
  readonly log: Pick<Log, 'append' | 'info'>;
  readonly judge: Judge;
  readonly clock: Clock;
  readonly worker: Worker;
  /** False: the broker is away, so what the worker knows must do. */
  readonly connected?: () => boolean;
  /** See `Specs`. */
  readonly keys?: SpecKeys | null;
  /** On whose behalf; absent: of whoever may all. */
  readonly caller?: Caller;
}

export class Commands {
  readonly #options: CommandsOptions;
  readonly #caller: Caller;
  readonly #specs: Specs;
  readonly #owners: Owners;
  readonly #blobs: Blobs;
  readonly #log: Pick<Log, 'append' | 'info'>;
  readonly #judges: Judge;
  readonly #clock: Clock;
  readonly #worker: Worker;
  readonly #connected: () => boolean;
  readonly #pipelines: Pipelines;
  readonly #overview: Overview;
  readonly #knownSpec: KnownSpec = name => this.#worker.specs.find(spec => spec.name === name) ?? null;

  constructor(options: CommandsOptions) {
    this.#options = options;
    this.#caller = options.caller ?? anyone;
    this.#specs = new Specs(options.registry, options.keys ?? null);
    this.#owners = new Owners(options.registry);
    this.#blobs = options.blobs;
    this.#log = options.log;
    this.#judges = options.judge;
    this.#clock = options.clock;
    this.#worker = options.worker;
    this.#connected = options.connected ?? (() => true);
    const { registry, worker } = options;
    this.#pipelines = new Pipelines({ specs: this.#specs, clock: this.#clock, connected: this.#connected, worker });
    this.#overview = new Overview({ registry, worker, connected: this.#connected });
  }

  /** The same on somebody's behalf: what it may not see is not there for it, and what it changes bears its name. */
  as(caller: Caller): Commands {
    return new Commands({ ...this.#options, caller });
  }

  workers(): Promise<readonly WorkerView[]> {
    return this.#overview.workers();
  }

  /** `name` null: the worker that answers. Throws NOT_FOUND. */
  worker(name: string | null): Promise<WorkerView> {
    return this.#overview.worker(name);
  }

  /** What the worker has goes to others, and it is given nothing until `uncordon`. False: it was so. Throws NOT_FOUND. */
  drain(worker: string): Promise<boolean> {
    return this.#overview.cordon(worker, true);
  }

  /** False: it was in service. Throws NOT_FOUND: no such worker, and nobody has drained one of that name. */
  uncordon(worker: string): Promise<boolean> {
    return this.#overview.cordon(worker, false);
  }

  /** What would move, of the pipelines that the caller sees; only whoever leads knows. */
  moves(): readonly MoveView[] {
    return this.#overview.moves().filter(({ pipeline }) => this.#caller.sees(pipeline));
  }

  /** The tasks that run here; `pipeline` null: of all. Throws NOT_FOUND: no such pipeline. */
  async tasks(pipeline: string | null): Promise<readonly TaskView[]> {
    if (pipeline !== null) await this.get(pipeline);
    return this.#overview.tasks(pipeline).filter(task => this.#caller.sees(task.pipeline));
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
    checkHash(bundle);
    const known = this.#knownSpec;
    const answer = await planDeploy(bundle, this.#judges, { specs: this.#specs, owners: this.#owners, known });
    this.#caller.checkDeploy(answer.name);
    return answer;
  }

  /**
   * `takeOver`: subjects that others have left, and no longer write to, are given up by them. Throws PLAN_INVALID (its
   * mistakes), PLAN_INCOMPATIBLE (the reasons), SUBJECT_OWNED (by whom), CONFLICT (being deleted; lost every race).
   */
  async deploy(bundle: Bundle, options: { dryRun: boolean; takeOver?: boolean }): Promise<DeployAnswer> {
    checkHash(bundle);
    const planned = await this.#judges.plan(bundle);
    const name = planned.summary.pipeline;
    this.#caller.checkDeploy(name);
    for (let tries = 0; tries < CAS_TRIES_MAX; tries++) {
      const replaced = await replacedBy(name, this.#specs, this.#knownSpec);
      const { before, at } = replaced;
      if (isBeingDeleted(before)) throw new MillraceError('CONFLICT', beingDeletedText(name));
      const { summary } = planned;
      const judged = judgeReplaced(replaced, { bundle: bundle.hash, summary }, this.#judges.incompatibilities);
      if (judged.outcome === 'incompatible') throw incompatible(name, judged.reasons);
      const paused = before?.desired === 'paused';
      // What is lost of the same bundle is put back, and then it is a revision of its own: the one that found a part of
      // it missing will not try again.
      const isMended =
        judged.outcome === 'unchanged' &&
        !options.dryRun &&
        (replaced.isDamaged || (await this.#blobs.put(bundleBlob(bundle.hash), bundle.code)));
      const outcome = isMended ? 'updated' : judged.outcome;
      if (outcome === 'unchanged') return { name, revision: before!.revision, outcome, paused, notices: [] };
      const next = await this.#next(before, planned.summary);
      const { dryRun, takeOver = false } = options;
      const { refusals, notices, since } = await this.#claim(planned.summary, next.life, { dryRun, takeOver });
      if (refusals.length > 0) throw refusal(name, refusals);
      const told = [...notices, ...captureNotices(planned.summary), ...planned.summary.warnings];
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
        ...this.#made(),
      };
      if (!(await this.#specs.put(spec, at))) continue;
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

  #changed(spec: PipelineSpec): Pick<PipelineSpec, 'revision' | 'deployedAtMs' | 'deployedBy'> {
    return { revision: spec.revision + 1, ...this.#made() };
  }

  #made(): Pick<PipelineSpec, 'deployedAtMs' | 'deployedBy'> {
    return { deployedAtMs: this.#clock.now(), deployedBy: this.#caller.name };
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
    return { done: false, ...(await this.#worker.deletes.preview(spec, options)) };
  }

  async list(): Promise<PipelineView[]> {
    return (await this.#pipelines.list()).filter(({ spec }) => this.#caller.sees(spec.name));
  }

  async get(name: string): Promise<PipelineView> {
    const spec = this.#connected()
      ? (await this.#specs.get(name))?.spec
      : this.#worker.specs.find(known => known.name === name);
    if (spec === undefined || isGone(spec)) throw await this.#missing(name);
    return this.#pipelines.view(spec);
  }

  async #next(before: PipelineSpec | null, plan: PlanSummary): Promise<ReturnType<typeof nextLife>> {
    return nextLife(plan.pipeline, before, await this.#judges.remembered(plan));
  }

  async #claim(plan: PlanSummary, life: string, options: { dryRun: boolean; takeOver: boolean }): Promise<Claim> {
    const [results, specs] = await Promise.all([this.#judges.results(plan), this.#specs.readable()]);
    const { dryRun } = options;
    const takeOver = (from: string) => {
      if (options.takeOver) this.#caller.checkDeploy(from);
      return options.takeOver;
    };
    return this.#owners.claim({ pipeline: plan.pipeline, life, results }, { specs, dryRun, takeOver });
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
    const names = (await this.list()).map(({ spec }) => spec.name);
    const there = names.length === 0 ? 'nothing is deployed yet' : `there are: ${names.join(', ')}`;
    return new MillraceError('NOT_FOUND', `no pipeline is named ${name}; ${there}`);
  }
}

function checkHash(bundle: Bundle): void {
  if (createHash('sha256').update(bundle.code).digest('hex') === bundle.hash) return;
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `the bundle does not match its hash; it was damaged on the way, send it again`,
  );
}

function incompatible(name: string, reasons: readonly string[]): MillraceError {
  return new MillraceError(
    'PLAN_INCOMPATIBLE',
    `pipeline ${name} has state that the new version cannot read on:\n${reasons.map(reason => `  - ${reason}`).join('\n')}\n` +
      'deploy it under another name, with output subjects of its own, or delete the old one with --purge first: then it begins ' +
      'anew, and sends its results again',
  );
}
