/**
 * The seam between a worker and the engine that runs a pipeline's tasks. The worker decides *whether* a pipeline runs
 * here; the engine decides *how*. The worker sees nothing of the engine but these types, so tests put a fake behind
 * them, and `cmd/wiring.ts` is the only place that names the real one.
 *
 * Ports (log, stores, blobs, clock) are bound when the engine is made; a start is told only what differs from one
 * pipeline to the next.
 */
import type { MillraceError } from '../base/errors.ts';
import type { Observer } from '../observe/events.ts';
import type { PipelineStatus } from '../observe/status.ts';
import type { Deployment } from '../record/names.ts';
import type { Programs } from '../task/surroundings.ts';
import type { Plan } from '../topology/plan.ts';
import type { LookAtResults } from '../cluster/results.ts';
import type { StateReader } from '../service/views.ts';

export type { PipelineStatus } from '../observe/status.ts';

export interface RunningPipeline {
  /** A fresh snapshot; cheap enough to be asked for several times a second. */
  status(): PipelineStatus;
  readonly state: StateReader;
  /**
   * Resolves when everything is stopped and state is handed over (tasks released, so that the next owner need not
   * wait). What cannot be done in `deadlineMs` is abandoned: the next owner recovers from the journals. Never rejects;
   * calling it twice waits for the same end.
   */
  stop(options: { deadlineMs: number }): Promise<void>;
  /** Resolves if the pipeline stops by itself, after everything of it has ended; never otherwise, never rejects. */
  readonly failed: Promise<MillraceError>;
}

export interface StartOptions {
  /** See `Deployment`. */
  readonly life: string;
  /** The pipeline's revision, for logs and journals; grows with every deploy. */
  readonly revision: number;
  readonly programs: Programs;
  /** This worker's name, a subject token. */
  readonly worker: string;
  readonly observer: Observer;
}

/**
 * Starts a pipeline. Resolves as soon as it is on its way (restoring is a state, not a wait); rejects with a
 * MillraceError when it cannot start at all, and then nothing of it is left running.
 */
export type StartPipeline = (plan: Plan, options: StartOptions) => Promise<RunningPipeline>;

/** What deleting a pipeline left behind, or with a purge took away; each a line for a person. */
export interface Remains {
  readonly kept: readonly string[];
  readonly deleted: readonly string[];
}

/**
 * Says what a pipeline that no longer runs has left (journals, channels, snapshots, output streams), and with `purge`
 * deletes all that is Millrace's own; streams that users read are kept always. With `dryRun` it only says what it would
 * do. `plan` is null when the pipeline can no longer be loaded; then what is derived from its name alone is found. May
 * be repeated after a failure, and carried out by a worker that was frozen in the middle of it: it touches this life alone.
 */
export type ClearPipeline = (
  deployment: Deployment,
  options: {
    plan: Plan | null;
    purge: boolean;
    dryRun: boolean;
    /** Throws CONFLICT once the pipeline is no longer to be deleted: asked before what has no life in its name goes. */
    confirm(): Promise<void>;
  },
) => Promise<Remains>;

/** What the broker remembers of a pipeline that the registry does not know; null: nothing. */
export type Remembered = (plan: Plan) => Promise<{ readonly life: string; readonly revision: number } | null>;

/** A pipeline as code: one ES module that brings everything but Millrace itself. */
export interface Bundle {
  /** UTF-8 text of the module. */
  readonly code: Uint8Array;
  /** SHA-256 of the code, 64 hex digits. */
  readonly hash: string;
  /** Name of the user's file, for messages. */
  readonly file: string;
}

/** A bundle that was loaded and planned. */
export interface Planned {
  readonly plan: Plan;
  /** The plan as plain JSON: stored with the spec, and what the next deploy is judged by. */
  readonly summary: unknown;
  /** The plan as text, for people. */
  readonly text: string;
}

/** All that a worker can ask of what lies below it. */
export interface Engine {
  /** Throws PLAN_INVALID with all mistakes and their places. */
  plan(bundle: Bundle): Promise<Planned>;
  /** Why state of `before` cannot be read by `after`, both summaries; empty: it can. */
  incompatibilities(before: unknown, after: unknown): readonly string[];
  readonly remembered: Remembered;
  readonly results: LookAtResults;
  readonly start: StartPipeline;
  readonly clear: ClearPipeline;
}
