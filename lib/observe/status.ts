/**
 * What a running pipeline says about itself: one plain snapshot, made by the engine, passed on unchanged by the worker
 * and the API, drawn by the CLI. Whoever wants a rate subtracts two snapshots.
 */
import { type Counts, NO_COUNTS } from './counts.ts';

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
  /** Event time up to which it is complete, ms since 1970; null before the first record. */
  readonly watermarkMs: number | null;
  /** The broker's clock up to which all that it has is counted in that, ms since 1970; null: not known. */
  readonly clockMs: number | null;
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

/** A task that is followed, not owned: a standby of it, or one that is about to move here. */
export interface FollowerStatus {
  readonly stage: string;
  readonly partition: number;
  /** The last of its owner's commits that is in. */
  readonly commit: number;
  /** All is in that was heard of. */
  readonly fresh: boolean;
  readonly stateBytes: number;
}

/** What an operator holds and waits for, over all the tasks of its stage that run. */
export interface OperatorStatus {
  readonly stage: string;
  readonly name: string;
  /** What it holds: `windows`, `sessions`, `unmatched` … (`HeldUnit`, `operator/operator.ts`). */
  readonly unit: string;
  readonly held: number;
  /** There are more: so many were counted. */
  readonly more: boolean;
  /** Event time that the operator is at, ms since 1970: that of the task which is furthest behind; null: none yet. */
  readonly watermarkMs: number | null;
  /** The watermark at which the first of what it holds is done, or up to which it waits, ms since 1970; null: none waits. */
  readonly nextMs: number | null;
}

export interface PipelineCounts extends Counts {
  /** It is not known at the moment what some parts have done: there is more. */
  readonly partial: boolean;
}

export interface PipelineStatus {
  readonly state: PipelineState;
  /** Why it is in this state, for a person: what it waits for, why it failed. Null: nothing to say. */
  readonly reason: string | null;
  /** Why it runs in a thread of its own, for a person; null: it does not. */
  readonly quarantine: string | null;
  readonly sources: readonly SourceStatus[];
  readonly tasks: readonly TaskStatus[];
  readonly followers: readonly FollowerStatus[];
  readonly operators: readonly OperatorStatus[];
  /** Event time up to which its results are complete: that of the task which is furthest behind; null: none yet. */
  readonly watermarkMs: number | null;
  readonly counts: PipelineCounts;
  /** How old all this is, where what runs it does not answer, ms; 0: it does. */
  readonly ageMs: number;
}

export const UNKNOWN_COUNTS: PipelineCounts = { ...NO_COUNTS, partial: true };

/** The status of a pipeline that has nothing running. */
export function emptyStatus(state: PipelineState, reason: string | null): PipelineStatus {
  const nothing = { sources: [], tasks: [], followers: [], operators: [], watermarkMs: null, ageMs: 0 };
  return { state, reason, quarantine: null, ...nothing, counts: UNKNOWN_COUNTS };
}
