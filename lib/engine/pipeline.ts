/**
 * A running pipeline in one worker: its readers and tasks, and what becomes of each that ends. `startPipeline` is what a
 * worker calls.
 *
 * Errors have a fate: what passes (`retry`) is started again after a while; a fenced task is left to its new owner, and
 * claimed again later in case there is none; anything else stops the whole pipeline with the reason.
 */
import { backoffMs } from '../base/backoff.ts';
import { sleep } from '../base/clock.ts';
import { isMillraceError, MillraceError, messageOf } from '../base/errors.ts';
import { noMeter } from '../observe/meter.ts';
import type { PipelineState, PipelineStatus, SourceStatus } from '../observe/status.ts';
import { SharedStream } from '../outlet/shared-outlet.ts';
import type { Replica } from '../replica/replica.ts';
import { Turns } from '../replica/turns.ts';
import type { Source } from '../source/source.ts';
import { Pace } from '../task/pace.ts';
import { defaultLimits, type Programs, type Surroundings, type TaskLimits } from '../task/surroundings.ts';
import { Task } from '../task/task.ts';
import type { Plan } from '../topology/plan.ts';
import { Reader } from './reader.ts';
import { Stalls } from './stalls.ts';
import { PipelineStateReader } from './state-reader.ts';
import { ensureStreams } from './streams.ts';

/** Tasks that write checkpoints at a time: a second one goes on while one waits for disk or broker. */
const CHECKPOINTS_AT_ONCE = 2;
const RESTART_BASE_MS = 250;
const RESTART_MAX_MS = 10_000;
/** A fenced task waits at least so long, since somebody else is at work on it. */
const RECLAIM_MS = 3000;

/** Of the time for a stop: what readers may take to have all land that they have read. */
const READERS_SHARE = 0.3;

export interface PipelineOptions {
  readonly plan: Plan;
  readonly around: Omit<Surroundings, 'deployment' | 'revision' | 'assignment' | 'shared' | 'meter'> &
    Partial<Pick<Surroundings, 'meter'>>;
  readonly limits?: Partial<TaskLimits>;
  /** See `Deployment`. Default `0`, for who starts it without a registry. */
  readonly life?: string;
  /** Of the pipeline: grows with every change of what is desired. Default 1. */
  readonly revision?: number;
  /** See `Surroundings`. Default 1, for who starts it without assigning anything. */
  readonly assignment?: number;
  /** See `Surroundings`. */
  readonly programs?: Programs;
  /** Replicas of tasks, each taken over by the first task that runs in its place; null or absent: there is none. */
  readonly replicaOf?: (task: { stage: string; partition: number }) => Replica | null;
  /** Which tasks run here; all by default. */
  readonly hosts?: (task: { stage: string; partition: number }) => boolean;
}

type Part = Reader | Task;

/** A place for one reader or task, whoever is in it at the moment. */
interface Slot {
  readonly make: (onEnded: (error: unknown) => void) => Part;
  part: Part;
  restarts: number;
  cancelRestart: (() => void) | null;
  lastError: string | null;
}

export class Pipeline {
  readonly failed: Promise<MillraceError>;
  /** For those who only want to see it. */
  readonly state: PipelineStateReader;
  #options: PipelineOptions;
  #around: Surroundings;
  #stalls: Stalls;
  #slots: Slot[] = [];
  #resolveFailed!: (error: MillraceError) => void;
  #phase: 'starting' | 'running' | 'stopping' | 'stopped' | 'failed' = 'starting';
  #reason: string | null = null;
  #stopped: Promise<void> | null = null;
  /** Counts of parts that have ended, so that totals only grow. */
  #past = { in: 0, out: 0, late: 0, dead: 0, dropped: new Map<string, number>() };

  constructor(options: PipelineOptions) {
    this.#options = options;
    this.failed = new Promise(resolve => {
      this.#resolveFailed = resolve;
    });
    const { plan, life = '0', revision = 1, assignment = 1 } = options;
    const { clock, random, observer, blobs } = options.around;
    this.#stalls = new Stalls({ clock, observer, pipeline: plan.pipeline });
    const log = this.#stalls.log(options.around.log);
    this.state = new PipelineStateReader({
      plan,
      clock,
      tasks: () => this.tasks,
    });
    const streams = new Map<string, SharedStream>();
    this.#around = {
      meter: noMeter,
      ...options.around,
      deployment: { pipeline: plan.pipeline, life },
      revision,
      assignment,
      ...(options.programs === undefined ? {} : { programs: options.programs }),
      log,
      blobs: this.#stalls.blobs(blobs),
      checkpointTurns: new Turns(CHECKPOINTS_AT_ONCE),
      shared(stream) {
        let shared = streams.get(stream);
        if (shared === undefined) streams.set(stream, (shared = new SharedStream({ stream, log, clock, random })));
        return shared;
      },
    };
  }

  /** Those that are here at the moment, to be looked at. */
  get tasks(): readonly Task[] {
    return this.#slots.map(slot => slot.part).filter(part => part instanceof Task);
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
    const { plan, hosts } = this.#options;
    const around = this.#around;
    this.#reason = null;
    const places = plan.stages.flatMap(stage =>
      Array.from({ length: stage.partitions }, (_, partition) => ({ stage, partition })),
    );
    const hosted = places.filter(({ stage, partition }) => hosts?.({ stage: stage.name, partition }) ?? true);
    const limits = { ...defaultLimits(hosted.length), ...this.#options.limits };
    for (const { stage, partition } of hosted) {
      const pace = new Pace(limits);
      let replica = this.#options.replicaOf?.({ stage: stage.name, partition }) ?? undefined;
      this.#open(onEnded => {
        const task = new Task({ plan, stage, partition, around, limits, pace, replica, onEnded });
        replica = undefined;
        return task;
      });
    }
    for (const reader of plan.readers) this.#open(onEnded => new Reader({ plan, reader, around, onEnded }));
    this.#phase = 'running';
  }

  #open(make: Slot['make']): void {
    const slot: Slot = { make, part: null as never, restarts: 0, cancelRestart: null, lastError: null };
    this.#slots.push(slot);
    this.#fill(slot);
  }

  #fill(slot: Slot): void {
    slot.cancelRestart = null;
    slot.part = slot.make(error => this.#ended(slot, error));
    slot.part.start();
  }

  #ended(slot: Slot, error: unknown): void {
    this.#remember(slot.part);
    if (this.#phase !== 'running') return;
    const fate = isMillraceError(error) ? error.fate : 'fatal';
    // A task that is fenced has another owner; of an outdated revision nothing must run here, its readers least of all.
    const isOutdated = isMillraceError(error, 'REVISION_OUTDATED');
    if ((fate !== 'retry' && fate !== 'fence') || isOutdated) return this.#fail(error);
    slot.lastError = messageOf(error);
    // It goes on more slowly, so nothing is gained by waiting: as often as this happens, it comes to the record that is to blame.
    if (isMillraceError(error, 'BATCH_OUTGROWN')) return this.#fill(slot);
    this.#around.meter.restarted(slot.part instanceof Reader ? 'reader' : 'task');
    const { clock, random } = this.#around;
    const delayMs =
      (fate === 'fence' ? RECLAIM_MS : 0) +
      backoffMs(slot.restarts++, { baseMs: RESTART_BASE_MS, maxMs: RESTART_MAX_MS, random });
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

  #remember(part: Part): void {
    const past = this.#past;
    const counts = countsOf(part);
    past.in += counts.in;
    past.out += counts.out;
    past.late += counts.late;
    past.dead += counts.dead;
    addTo(past.dropped, counts.dropped);
  }

  status(): PipelineStatus {
    const { tasks } = this;
    const readers = this.#slots.map(slot => slot.part).filter(part => part instanceof Reader);
    const waiting = this.#slots.find(slot => slot.cancelRestart !== null);
    const stalled = this.#phase === 'running' ? this.#stalls.reason : null;
    const past = this.#past;
    const counts = { in: past.in, out: past.out, late: past.late, dead: past.dead };
    const dropped = new Map(past.dropped);
    for (const { part, cancelRestart } of this.#slots) {
      if (cancelRestart !== null) continue;
      const own = countsOf(part);
      counts.in += own.in;
      counts.out += own.out;
      counts.late += own.late;
      counts.dead += own.dead;
      addTo(dropped, own.dropped);
    }
    return {
      state: this.#state(tasks, readers, waiting !== undefined || stalled !== null),
      reason: this.#reason ?? waiting?.lastError ?? stalled,
      sources: [...readers, ...tasks].flatMap(({ source }) => (source === null ? [] : [sourceStatus(source)])),
      tasks: tasks.map(task => ({
        stage: task.stage,
        partition: task.partition,
        state: task.phase,
        epoch: task.journal.epoch,
        commits: task.journal.commit,
        recordsIn: task.recordsIn,
        recordsOut: task.relayedRows,
        watermarkMs: finiteOrNull(task.watermarkMs),
        stateBytes: task.processor.state.bytes,
        stateEntries: task.processor.state.entries,
        journalBytes: task.uncut.bytes,
        journalCommits: task.uncut.commits,
        backlogBytes: task.backlogBytes,
        waitsFor: task.waitsFor?.name ?? null,
      })),
      counts: { ...counts, dropped: Object.fromEntries(dropped) },
    };
  }

  #state(tasks: readonly Task[], readers: readonly Reader[], waiting: boolean): PipelineState {
    if (this.#phase !== 'running') return this.#phase;
    if (waiting) return 'waiting';
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
    for (const slot of this.#slots) slot.cancelRestart?.();
    const parts = this.#slots.map(slot => slot.part);
    const { clock } = this.#around;
    const sinceMs = clock.monotonic();
    const readers = parts.filter(part => part instanceof Reader);
    await Promise.all(readers.map(reader => reader.stop({ deadlineMs: deadlineMs * READERS_SHARE })));
    const leftMs = Math.max(0, deadlineMs - (clock.monotonic() - sinceMs));
    await Promise.all(parts.filter(part => part instanceof Task).map(task => task.stop({ deadlineMs: leftMs })));
    this.#phase = 'stopped';
  }
}

function countsOf(part: Part) {
  if (part instanceof Reader) {
    return { in: part.source.recordsIn, out: 0, late: 0, dead: 0, dropped: part.dropped };
  }
  const { late, dead, dropped } = part.processor;
  return { in: part.source?.recordsIn ?? 0, out: part.relayedRows, late, dead, dropped };
}

function sourceStatus(source: Source): SourceStatus {
  const { spec, position, lag, lagMs, recordsIn, bytesIn, idle, time } = source;
  const [watermarkMs, quietMs] = [finiteOrNull(time.watermarkMs), finiteOrNull(time.quietMs)];
  return { name: spec.name, position, lag, lagMs, watermarkMs, recordsIn, bytesIn, idle, quietMs };
}

function addTo(sums: Map<string, number>, more: ReadonlyMap<string, number>): void {
  for (const [name, count] of more) sums.set(name, (sums.get(name) ?? 0) + count);
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** Starts a plan here. Resolves when its readers and tasks are on their way. */
export async function startPipeline(options: PipelineOptions): Promise<Pipeline> {
  const pipeline = new Pipeline(options);
  await pipeline.start();
  return pipeline;
}
