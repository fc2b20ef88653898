/**
 * The engine as the host sees it: it decides *how* a pipeline runs here, the host *whether* it does. The host sees nothing of
 * it but these types, so tests put a fake behind them.
 */
import type { MillraceError } from '../base/errors.ts';
import type { StateReader } from '../engine/views.ts';
import type { PipelineStatus } from '../observe/status.ts';
import type { Assignment, Part } from '../topology/parts.ts';
import type { StartOrder } from './messages.ts';

export interface RunningPipeline {
  /** The last that the engine has said: it says so a few times a second. */
  status(): PipelineStatus;
  /** Questions are answered WORKER_UNAVAILABLE once the engine that ran it is gone. */
  readonly state: StateReader;
  /** Other parts of it are to run here from now on. */
  assign(assignment: Assignment): void;
  /**
   * Resolves when everything is stopped and state is handed over (tasks released, so that the next owner need not
   * wait), or nothing of it is left since the engine is gone. What cannot be done in `deadlineMs` is abandoned: the next
   * owner recovers from the journals. Never rejects; calling it twice waits for the same end.
   */
  stop(options: { deadlineMs: number }): Promise<void>;
  /**
   * Resolves if the pipeline stops by itself, after everything of it has ended; never otherwise, never rejects.
   * ENGINE_LOST: it has done nothing wrong, what ran it is gone, and it may be started again as soon as `trouble` is null.
   */
  readonly failed: Promise<MillraceError>;
}

/** What is ordered to be started, but the run's number. */
export type EngineOrder = Omit<StartOrder, 'kind' | 'run'>;

/** What is known of a plan without its code: what there is to divide, and in which order it is told. */
export interface PlanShape {
  readonly parts: readonly Part[];
  readonly sources: readonly string[];
}

export interface Engine {
  /** Why that pipeline cannot be started at the moment, for a person; null: it can. */
  troubleOf(pipeline: string): string | null;
  /** Why what runs it does nothing at the moment, though it takes orders, for a person; null: it does, as far as is known. */
  stallOf(pipeline: string): string | null;
  /** Calls back whenever `troubleOf` may have changed. */
  onTrouble(changed: () => void): void;
  /**
   * Starts a pipeline. Resolves as soon as it is on its way (restoring is a state, not a wait); rejects with a
   * MillraceError when it cannot start at all, and then nothing of it is left running. ENGINE_LOST: see `failed`.
   */
  start(order: EngineOrder, shape: PlanShape): Promise<RunningPipeline>;
}
