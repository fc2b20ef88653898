/**
 * A running pipeline in one worker: those of its parts that the worker is told to run, and what becomes of each that ends.
 * `startPipeline` is what a worker calls; `assign` says anew what runs here, while the rest goes on.
 *
 * Errors have a fate: what passes (`retry`) is started again after a while; anything else stops the whole pipeline with the
 * reason. A part that was fenced has another owner, and nobody takes back by himself what he was fenced from: it is left until
 * an assignment with a later number gives it to us again. So two workers that are told different things by two assignments
 * come to rest with the later one, and do not take a part from each other for ever.
 */
import { backoffMs } from '../base/backoff.ts';
import { sleep } from '../base/clock.ts';
import { fateOfPart, isMillraceError, MillraceError, messageOf } from '../base/errors.ts';
import { sumOfCounts } from '../observe/counts.ts';
import { noMeter } from '../observe/meter.ts';
import type { OperatorStatus, PipelineState, PipelineStatus } from '../observe/status.ts';
import { outletKinds } from '../outlet/kinds.ts';
import type { Replica } from '../replica/replica.ts';
import { Turns } from '../replica/turns.ts';
import { carefulText, OneInHand } from '../task/breaker.ts';
import { Budget } from '../task/budget.ts';
import type { Programs, Surroundings, TaskLimits } from '../task/surroundings.ts';
import { Task } from '../task/task.ts';
import { type Assignment, type Part, partsOf, taskOf } from '../topology/parts.ts';
import type { Plan } from '../topology/plan.ts';
import { Followers } from './followers.ts';
import { LetterKeeper } from './letter-keeper.ts';
import { Reader } from './reader.ts';
import { type Slot, slotOf } from './slot.ts';
import { Stalls } from './stalls.ts';
import { PipelineStateReader } from './state-reader.ts';
import { type Actor, countsOf, leastWatermark, operatorsOf, sourceStatus, taskStatus } from './statuses.ts';
import { StreamWatch } from './stream-watch.ts';
import { ensureStreams } from './streams.ts';

/** Tasks that write checkpoints at a time: a second one goes on while one waits for disk or broker. */
const CHECKPOINTS_AT_ONCE = 2;
const RESTART_BASE_MS = 250;
const RESTART_MAX_MS = 10_000;
/** How often it is looked at what operators hold. */
const OPERATORS_MS = 1000;
/** How long a part may take to be handed over to whoever has it next. */
const RELEASE_MS = 10_000;
/** The share of the time for a stop that readers may take to have all land that they have read. */
const READERS_SHARE = 0.3;

export interface PipelineOptions {
  readonly plan: Plan;
  readonly around: Omit<Surroundings, 'deployment' | 'revision' | 'assignment' | 'outlets' | 'meter' | 'inHand'> &
    Partial<Pick<Surroundings, 'meter'>>;
  readonly limits?: Partial<TaskLimits>;
  /** See `Deployment`. Default `0`, for who starts it without a registry. */
  readonly life?: string;
  /** Grows with every change of what is desired of the pipeline. Default 1. */
  readonly revision?: number;
  /** See `Surroundings`. */
  readonly programs?: Programs;
  /** What of it runs here, to begin with. Default: all, as assignment 1. */
  readonly assignment?: Assignment;
  /** The worker's, shared by all its pipelines. Default: one of this pipeline's own. */
  readonly budget?: Budget;
  /** The worker's, as the budget. */
  readonly inHand?: OneInHand;
}

export class Pipeline {
  readonly failed: Promise<MillraceError>;
  /** For those who only want to see it. */
  readonly state: PipelineStateReader;
  #options: PipelineOptions;
  #around: Omit<Surroundings, 'assignment'>;
  #stalls: Stalls;
  #watch: StreamWatch;
  #letters: LetterKeeper;
  #slots = new Map<Part, Slot>();
  #followers: Followers;
  /** Ours, and about to be opened: a replica is on its way, or its owner before has not released it. */
  #coming = new Set<Part>();
  #assignment: Assignment;
  #budget: Budget;
  #resolveFailed!: (error: MillraceError) => void;
  #phase: 'starting' | 'running' | 'stopping' | 'stopped' | 'failed' = 'starting';
  #reason: string | null = null;
  #stopped: Promise<void> | null = null;
  #operators: { readonly seenMs: number; readonly seen: readonly OperatorStatus[] } | null = null;

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.failed = new Promise(resolve => {
      this.#resolveFailed = resolve;
    });
    const { plan, life = '0', revision = 1 } = options;
    this.#assignment = options.assignment ?? { number: 1, parts: 'all' };
    this.#budget = options.budget ?? new Budget();
    const { clock, random, observer, blobs } = options.around;
    this.#stalls = new Stalls({ clock, observer, pipeline: plan.pipeline });
    const log = this.#stalls.log(options.around.log);
    const deployment = { pipeline: plan.pipeline, life };
    this.#watch = new StreamWatch({ plan, deployment, ...options.around }, error => this.#fail(error));
    const { pipeline, letters: limits } = plan;
    this.#letters = new LetterKeeper({ pipeline, limits, ...options.around }, error => this.#fail(error));
    this.state = new PipelineStateReader({ plan, clock, tasks: () => this.tasks });
    this.#around = {
      meter: noMeter,
      inHand: options.inHand ?? new OneInHand(),
      ...options.around,
      deployment,
      revision,
      ...(options.programs === undefined ? {} : { programs: options.programs }),
      log,
      blobs: this.#stalls.blobs(blobs),
      checkpointTurns: new Turns(CHECKPOINTS_AT_ONCE),
      outlets: outletKinds({ log, clock, random }),
    };
    const around = this.#around;
    this.#followers = new Followers({ plan, around, budget: this.#budget, limits: options.limits ?? {} });
  }

  /** Those that are here at the moment, to be looked at. */
  get tasks(): readonly Task[] {
    return this.#actors.filter(actor => actor instanceof Task);
  }

  /** Likewise: the replicas that are followed here. */
  get followed(): ReadonlyMap<Part, Replica> {
    return this.#followers.replicas;
  }

  /**
   * Makes what streams are missing, then starts every reader and task. Where the broker is away, or has no room, it goes
   * on trying by itself, and says so in its status: a caller that waited could neither ask nor stop it.
   */
  async start(): Promise<void> {
    if (await this.#ensureStreams()) this.#begin();
    else this.#startLater().catch(error => this.#fail(error));
  }

  /** False: not now, for a reason that may pass. */
  async #ensureStreams(): Promise<boolean> {
    try {
      await ensureStreams(this.#options.plan, this.#around);
      return true;
    } catch (error) {
      if (!isMillraceError(error) || error.fate !== 'retry') throw error;
      if (this.#phase === 'starting') this.#reason = messageOf(error);
      return false;
    }
  }

  async #startLater(): Promise<void> {
    const { clock, random } = this.#around;
    for (let attempt = 0; this.#phase === 'starting'; attempt++) {
      await sleep(clock, backoffMs(attempt, { baseMs: RESTART_BASE_MS, maxMs: RESTART_MAX_MS, random }));
      if (this.#phase === 'starting' && (await this.#ensureStreams())) return this.#begin();
    }
  }

  #begin(): void {
    if (this.#phase !== 'starting') return;
    this.#reason = null;
    this.#phase = 'running';
    this.#watch.start();
    this.#letters.start();
    this.#reconcile();
  }

  /** What runs here from now on; an assignment that is older than the last one counts for nothing. */
  assign(assignment: Assignment): void {
    if (assignment.number <= this.#assignment.number) return;
    this.#assignment = assignment;
    this.#reconcile();
  }

  /** Hands over what is not ours any more, and starts what is and does not run. */
  #reconcile(): void {
    if (this.#phase !== 'running') return;
    const { plan } = this.#options;
    const ours = this.#ours;
    for (const slot of this.#slots.values()) if (!ours.has(slot.part) && !slot.isReleased) this.#release(slot);
    this.#follow(ours);
    // In the order of the plan, so that tasks are there before readers send to them.
    for (const part of partsOf(plan)) {
      if (!ours.has(part)) continue;
      const slot = this.#slots.get(part);
      if (slot === undefined) void this.#come(part);
      else if (slot.isLeft && !slot.isReleased) this.#fill(slot);
    }
  }

  get #ours(): ReadonlySet<Part> {
    const { parts } = this.#assignment;
    return new Set(parts === 'all' ? partsOf(this.#options.plan) : parts);
  }

  /** Whoever has just been an owner here follows as soon as he has closed what he had open; whoever awaits one follows, too. */
  #follow(ours: ReadonlySet<Part>): void {
    const { follows = [], awaits = [] } = this.#assignment;
    const isFree = (part: Part) => !this.#slots.has(part);
    const wanted = [...follows.filter(part => !ours.has(part)), ...awaits.filter(part => ours.has(part))];
    // What is followed and is ours from now on is about to be taken over as it is.
    const coming = [...this.#coming, ...this.#followers.replicas.keys()].filter(part => ours.has(part));
    this.#followers.want(new Set([...wanted.filter(isFree), ...coming]));
  }

  /**
   * A part that is ours begins. A task goes on from its replica, where it is followed here; where its owner before is there,
   * once he has released it.
   */
  async #come(part: Part): Promise<void> {
    if (this.#coming.has(part)) return;
    if (!this.#isAwaited(part) && !this.#followers.holds(part)) return this.#open(part, null);
    this.#coming.add(part);
    if (this.#isAwaited(part)) await this.#followers.released(part, () => this.#isAwaited(part));
    const replica = await this.#followers.take(part);
    this.#coming.delete(part);
    const isOurs = this.#phase === 'running' && this.#ours.has(part) && !this.#slots.has(part);
    if (isOurs) this.#open(part, replica);
    else await replica?.stop();
  }

  #isAwaited(part: Part): boolean {
    const { awaits = [] } = this.#assignment;
    return taskOf(part) !== null && awaits.includes(part) && this.#ours.has(part);
  }

  #open(part: Part, replica: Replica | null): void {
    const { plan, limits = {} } = this.#options;
    const slot = slotOf(part, { plan, limits, budget: this.#budget, replica });
    this.#slots.set(part, slot);
    this.#fill(slot);
  }

  #fill(slot: Slot): void {
    const { number } = this.#assignment;
    slot.cancelRestart = null;
    slot.isLeft = false;
    slot.number = number;
    slot.actor = slot.make({
      around: { assignment: number, ...this.#around },
      breaker: slot.breaker,
      onEnded: error => this.#ended(slot, error),
    });
    slot.actor.start();
  }

  #release(slot: Slot): void {
    slot.isReleased = true;
    slot.cancelRestart?.();
    slot.cancelRestart = null;
    void slot.actor.stop({ deadlineMs: RELEASE_MS }).then(() => {
      this.#remember(slot);
      if (this.#phase !== 'running') return;
      slot.share?.leave();
      this.#slots.delete(slot.part);
      // It may be ours again by now.
      this.#reconcile();
    });
  }

  #ended(slot: Slot, error: unknown): void {
    this.#remember(slot);
    if (this.#phase !== 'running') return;
    const fate = fateOfPart(error);
    // A part that is fenced has another owner; of an outdated revision nothing must run here, its readers least of all.
    const isOutdated = isMillraceError(error, 'REVISION_OUTDATED');
    if ((fate !== 'retry' && fate !== 'fence') || isOutdated) return this.#fail(error);
    slot.breaker.excuse();
    if (slot.isReleased) return;
    slot.lastError = messageOf(error);
    if (fate === 'fence' && slot.number >= this.#assignment.number) {
      slot.isLeft = true;
      return;
    }
    // It goes on more slowly, so nothing is gained by waiting: as often as this happens, it comes to the record that is to blame.
    if (isMillraceError(error, 'BATCH_OUTGROWN')) return this.#fill(slot);
    this.#around.meter.restarted(slot.actor instanceof Reader ? 'reader' : 'task');
    const { clock, random } = this.#around;
    const delayMs = backoffMs(slot.restarts++, { baseMs: RESTART_BASE_MS, maxMs: RESTART_MAX_MS, random });
    slot.cancelRestart = clock.after(delayMs, () => this.#fill(slot));
  }

  #fail(error: unknown): void {
    this.#reason = messageOf(error);
    const known = isMillraceError(error) ? error : new MillraceError('INVARIANT', messageOf(error), { cause: error });
    this.stop({ deadlineMs: 5000 }).then(() => {
      this.#phase = 'failed';
      this.#resolveFailed(known);
    });
  }

  #remember(slot: Slot): void {
    slot.counts = countsOf(slot.actor) ?? slot.counts;
    // What it held is gone with it.
    if (slot.share !== null) slot.share.stateBytes = 0;
  }

  /** In the order of the plan, whenever they have come. */
  get #actors(): Actor[] {
    return partsOf(this.#options.plan).flatMap(part => this.#slots.get(part)?.actor ?? []);
  }

  status(): PipelineStatus {
    const slots = [...this.#slots.values()];
    const { tasks } = this;
    const readers = this.#actors.filter(actor => actor instanceof Reader);
    const waiting = slots.find(slot => slot.cancelRestart !== null || slot.isLeft);
    const stalled = this.#phase === 'running' ? this.#stalls.reason : null;
    const counts = slots.map(slot => countsOf(slot.actor) ?? slot.counts);
    const known = counts.filter(one => one !== null);
    return {
      state: this.#state(tasks, readers, waiting !== undefined || stalled !== null),
      reason: this.#reason ?? waiting?.lastError ?? stalled ?? this.#caution(slots),
      quarantine: null,
      sources: [...readers, ...tasks].flatMap(actor =>
        actor.source === null ? [] : [sourceStatus(actor, actor.source)],
      ),
      tasks: tasks.map(taskStatus),
      followers: this.#followers.status(),
      operators: this.#look(tasks),
      watermarkMs: leastWatermark(tasks),
      counts: { ...sumOfCounts(known), partial: slots.length === 0 || known.length < slots.length },
      ageMs: 0,
    };
  }

  #caution(slots: readonly Slot[]): string | null {
    const careful = this.#phase === 'running' ? slots.find(({ breaker }) => breaker.isCareful) : undefined;
    return careful === undefined ? null : `${careful.part}: ${carefulText(careful.breaker.starts)}`;
  }

  /** What the operators hold is looked at once a second, whoever asks. */
  #look(tasks: readonly Task[]): readonly OperatorStatus[] {
    const nowMs = this.#around.clock.monotonic();
    if (this.#operators === null || nowMs - this.#operators.seenMs >= OPERATORS_MS) {
      this.#operators = { seenMs: nowMs, seen: operatorsOf(tasks) };
    }
    return this.#operators.seen;
  }

  #state(tasks: readonly Task[], readers: readonly Reader[], waiting: boolean): PipelineState {
    if (this.#phase !== 'running') return this.#phase;
    if (waiting) return 'waiting';
    if (this.#coming.size > 0) return 'restoring';
    const ready = tasks.every(task => task.phase === 'running') && readers.every(reader => reader.phase === 'running');
    return ready ? 'running' : 'restoring';
  }

  /** Readers first, so that tasks are not sent more while they finish what they have. */
  stop(options: { deadlineMs: number }): Promise<void> {
    this.#stopped ??= this.#stopAll(options);
    return this.#stopped;
  }

  async #stopAll({ deadlineMs }: { deadlineMs: number }): Promise<void> {
    this.#phase = 'stopping';
    this.#watch.stop();
    this.#letters.stop();
    for (const slot of this.#slots.values()) slot.cancelRestart?.();
    const { clock } = this.#around;
    const sinceMs = clock.monotonic();
    const readers = this.#actors.filter(actor => actor instanceof Reader);
    await Promise.all(readers.map(reader => reader.stop({ deadlineMs: deadlineMs * READERS_SHARE })));
    const leftMs = Math.max(0, deadlineMs - (clock.monotonic() - sinceMs));
    await Promise.all([this.#followers.stop(), ...this.tasks.map(task => task.stop({ deadlineMs: leftMs }))]);
    for (const { share } of this.#slots.values()) share?.leave();
    this.#phase = 'stopped';
  }
}

/** Starts a plan here. Resolves when its readers and tasks are on their way. */
export async function startPipeline(options: PipelineOptions): Promise<Pipeline> {
  const pipeline = new Pipeline(options);
  await pipeline.start();
  return pipeline;
}
