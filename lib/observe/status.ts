/**
 * What a running pipeline says about itself: one plain snapshot, made by the engine, passed on unchanged by the worker
 * and the API, drawn by the CLI. Counters grow from 0 since the pipeline was started in this process; whoever wants a
 * rate subtracts two snapshots.
 */

/** `unknown` and `paused` are never the engine's: nobody could be asked, nothing of it should run. */
export type PipelineState =
  | 'starting'
  | 'restoring'
  | 'running'
  | 'waiting'
  | 'stopping'
  | 'stopped'
  | 'paused'
  | 'failed'
  | 'unknown';

/** A source as one who reads it sees it: a reader, or the task of a keyless stage. Where both read, there are two. */
export interface SourceStatus {
  readonly name: string;
  /** Sequence of the last message that was read, 0: none yet. */
  readonly position: number;
  /** Messages left to read, as the broker said with its last delivery; null when that is not known yet. */
  readonly lag: number | null;
  /** How long ago the next unread message was published, ms; 0: all is read, null: not known. */
  readonly lagMs: number | null;
  /** Event time, ms since 1970; null before the first record. */
  readonly watermarkMs: number | null;
  readonly recordsIn: number;
  readonly bytesIn: number;
  /** When the broker was last asked, everything had been read, and nothing had come for the source's `idleAfter`. */
  readonly idle: boolean;
  /** How long it had been without a message then, ms; null: it never had one. */
  readonly quietMs: number | null;
}

export interface TaskStatus {
  readonly stage: string;
  readonly partition: number;
  /** The phase of the task's actor, e.g. `restoring`. */
  readonly state: string;
  readonly epoch: number;
  readonly commits: number;
  readonly recordsIn: number;
  readonly recordsOut: number;
  readonly watermarkMs: number | null;
  readonly stateBytes: number;
  readonly stateEntries: number;
  /** Journal that no cut has dropped yet, about. */
  readonly journalBytes: number;
  readonly journalCommits: number;
  /** Bytes of commits that are journaled and not wholly sent. */
  readonly backlogBytes: number;
  /** The source or stage that its event time waits for while others are further; null: none. */
  readonly waitsFor: string | null;
}

export interface PipelineCounts {
  readonly in: number;
  readonly out: number;
  readonly late: number;
  /** Records that became dead letters. */
  readonly dead: number;
  /** Records that ended without a result, by reason (`duplicate`, `filtered`, …). */
  readonly dropped: Readonly<Record<string, number>>;
}

export interface PipelineStatus {
  readonly state: PipelineState;
  /** Why it is in this state, for a person: what it waits for, why it failed. Null: nothing to say. */
  readonly reason: string | null;
  readonly sources: readonly SourceStatus[];
  readonly tasks: readonly TaskStatus[];
  readonly counts: PipelineCounts;
}

/** The status of a pipeline that has nothing running. */
export function emptyStatus(state: PipelineState, reason: string | null): PipelineStatus {
  return { state, reason, sources: [], tasks: [], counts: { in: 0, out: 0, late: 0, dead: 0, dropped: {} } };
}
