/**
 * One run of a pipeline over the threads that have parts of it: orders are divided among them, statuses and state put
 * together. A thread that has no part gets no order.
 *
 * What one of them ends with ends the run: the others are stopped, and whoever wanted the pipeline starts it again.
 */
import type { Clock } from '../base/clock.ts';
import type { MillraceError } from '../base/errors.ts';
import { MergedState } from '../engine/merged-state.ts';
import type { StateReader } from '../engine/views.ts';
import { mergedStatus, type PlanOrder } from '../observe/merged.ts';
import { emptyStatus, type PipelineStatus } from '../observe/status.ts';
import type { Engine, EngineOrder, PlanShape, RunningPipeline } from '../seam/engine.ts';
import type { Assignment, Part } from '../topology/parts.ts';

/** How long the other threads may take to hand over what they have when one is lost. */
const STOP_MS = 5_000;
/** How much longer a stop may take until its thread does not answer. */
const GRACE_MS = 1_000;

/** What each thread is to run of an assignment; null: nothing. In the order of the threads. */
export type Divide = (assignment: Assignment) => readonly (Assignment | null)[];

export interface JoinedRunOptions {
  readonly order: EngineOrder;
  readonly shape: PlanShape;
  readonly threads: readonly Pick<Engine, 'start'>[];
  readonly divide: Divide;
  /** Why it runs in a thread of its own; null: it does not. */
  readonly quarantine: string | null;
  readonly clock: Clock;
  /** Ends the thread that has all of it, where it does not stop in time; null: others are in there. */
  readonly cut: (() => void) | null;
  /** All of it has ended. @param error null: as it was told to */
  ended(error: MillraceError | null): void;
}

/** What a thread has of it. */
interface Lane {
  readonly thread: number;
  /** Null: nothing at present. */
  assignment: Assignment | null;
  /** Null: it is being started. */
  run: RunningPipeline | null;
  /** Resolves with that, once it is; with null where it could not start. */
  opened: Promise<RunningPipeline | null>;
}

export class JoinedRun implements RunningPipeline {
  readonly failed: Promise<MillraceError>;
  /** Why it runs in a thread of its own; null: it does not. */
  readonly quarantine: string | null;
  readonly state: StateReader;
  readonly #options: JoinedRunOptions;
  readonly #planOrder: PlanOrder;
  readonly #lanes = new Map<number, Lane>();
  #assignment: Assignment;
  #resolveFailed!: (error: MillraceError) => void;
  /** It ends: the lanes are being stopped, or are. */
  #ending: Promise<void> | null = null;
  #isStopped = false;
  /** What ended it; null: it was told to, or goes on. */
  #error: MillraceError | null = null;

  private constructor(options: JoinedRunOptions) {
    this.#options = options;
    this.quarantine = options.quarantine;
    this.#planOrder = planOrderOf(options.shape);
    this.#assignment = options.order.assignment;
    this.failed = new Promise(resolve => {
      this.#resolveFailed = resolve;
    });
    this.state = new MergedState(() => this.#present.flatMap(({ run }) => run?.state ?? []));
  }

  /** See `Engine.start`. */
  static async start(options: JoinedRunOptions): Promise<JoinedRun> {
    const joined = new JoinedRun(options);
    joined.#divide();
    await Promise.all([...joined.#lanes.values()].map(({ opened }) => opened));
    if (joined.#ending === null) return joined;
    await joined.#ending;
    throw joined.#error;
  }

  assign(assignment: Assignment): void {
    if (this.#ending !== null || assignment.number <= this.#assignment.number) return;
    this.#assignment = assignment;
    this.#divide();
  }

  /** Gives each thread what is its, and starts it where there is nothing of it yet. */
  #divide(): void {
    for (const [thread, assignment] of this.#options.divide(this.#assignment).entries()) {
      const lane = this.#lanes.get(thread);
      if (lane === undefined) {
        if (assignment !== null) this.#open(thread, assignment);
        continue;
      }
      lane.assignment = assignment;
      lane.run?.assign(ordered(lane, this.#assignment));
    }
  }

  #open(thread: number, assignment: Assignment): void {
    const { order, shape, threads } = this.#options;
    const present = this.#assignment;
    const lane: Lane = { thread, assignment, run: null, opened: Promise.resolve(null) };
    this.#lanes.set(thread, lane);
    lane.opened = threads[thread]!.start({ ...order, assignment }, shape).then(
      run => {
        lane.run = run;
        void run.failed.then(error => this.fail(error));
        if (this.#assignment !== present) run.assign(ordered(lane, this.#assignment));
        return run;
      },
      error => {
        this.fail(error);
        return null;
      },
    );
  }

  /** Stops what goes on of it, and then has failed with the error. */
  fail(error: MillraceError): void {
    if (this.#ending !== null) return;
    this.#error = error;
    void this.#end(STOP_MS).then(() => {
      if (!this.#isStopped) this.#resolveFailed(error);
    });
  }

  stop({ deadlineMs }: { deadlineMs: number }): Promise<void> {
    this.#isStopped = true;
    return this.#end(deadlineMs);
  }

  #end(deadlineMs: number): Promise<void> {
    this.#ending ??= this.#stopAll(deadlineMs);
    return this.#ending;
  }

  async #stopAll(deadlineMs: number): Promise<void> {
    const lanes = [...this.#lanes.values()];
    const { clock, cut } = this.#options;
    const cancel = cut === null ? null : clock.after(deadlineMs + GRACE_MS, cut);
    await Promise.all(lanes.map(async ({ opened }) => (await opened)?.stop({ deadlineMs })));
    cancel?.();
    this.#options.ended(this.#error);
  }

  status(): PipelineStatus {
    const statuses = this.#present.map(({ run }) => run?.status() ?? emptyStatus('starting', null));
    return { ...mergedStatus(statuses, this.#planOrder), quarantine: this.quarantine };
  }

  /** Lanes that have a part. */
  get #present(): Lane[] {
    const lanes = [...this.#lanes.values()].filter(({ assignment }) => assignment !== null);
    return lanes.sort((a, b) => a.thread - b.thread);
  }
}

function ordered({ assignment }: Lane, { number }: Assignment): Assignment {
  return assignment ?? { number, parts: [] };
}

function planOrderOf({ parts, sources }: PlanShape): PlanOrder {
  return { stages: [...new Set(parts.map(stageOf))], sources };
}

function stageOf(part: Part): string {
  return part.split('/')[0]!;
}
