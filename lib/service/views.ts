/**
 * What can be seen of a cluster beside its pipelines: workers, tasks, letters, events (state: `engine/views.ts`). Plain values,
 * made here, passed on by the API, drawn by the CLI. Times are ms since 1970.
 */

import type { Page } from '../engine/views.ts';
import type { ToldEvent } from '../host/cluster-events.ts';
import type { TaskStatus } from '../observe/status.ts';

export interface WorkerView {
  readonly name: string;
  /** `host:port` of its API; null: other workers are not told. */
  readonly address: string | null;
  readonly version: string;
  /** It leads: it says what runs where. */
  readonly active: boolean;
  readonly startedAtMs: number;
  readonly seenAtMs: number;
  /** Pipelines of which it has a part. */
  readonly pipelines: number;
  readonly tasks: number;
  /** Empty: nowhere in particular. */
  readonly zone: string;
  /** Its share beside the others; 0: it stands by. */
  readonly capacity: number;
  /** It is on its way out. */
  readonly draining: boolean;
  /** A person has taken it out of service. */
  readonly cordoned: boolean;
  /** Nobody hears it. */
  readonly silent: boolean;
  /** Tasks of others that it follows. */
  readonly follows: number;
}

/** Who keeps a replica of a task. */
export interface FollowerView {
  readonly worker: string;
  /** Commits of the task that are not in, about. */
  readonly behind: number;
  /** All is in that was heard of: it could take over now. */
  readonly fresh: boolean;
}

export interface TaskView {
  readonly pipeline: string;
  readonly worker: string;
  readonly status: TaskStatus;
  readonly followers: readonly FollowerView[];
}

export type LetterKind = 'dead' | 'late';

export interface LetterView {
  /** By it a letter is asked for: grows in the order in which letters are written. */
  readonly number: number;
  readonly kind: LetterKind;
  readonly operator: string;
  /** Null for late records. */
  readonly code: string | null;
  readonly message: string;
  readonly atMs: number;
  /** Subject of the message that it came in; null: it was made by the pipeline. */
  readonly subject: string | null;
  /** Which record of that message it is, from 0. */
  readonly index: number;
  readonly sizeBytes: number;
  readonly truncated: boolean;
  /** Null where it was not asked for. */
  readonly content: Uint8Array | null;
  readonly headers: Readonly<Record<string, string>> | null;
}

/** All that meet every condition given; null and empty mean no condition. */
export interface LetterFilter {
  readonly pipeline: string;
  readonly kind: LetterKind | null;
  readonly operator: string | null;
  readonly code: string | null;
  readonly numbers: readonly number[];
  readonly sinceMs: number | null;
}

export interface ReplayProgress {
  readonly seen: number;
  readonly replayed: number;
  readonly skipped: number;
  readonly total: number;
  /** Why some were skipped, each reason once. */
  readonly reasons: readonly string[];
}

export interface DiscardProgress {
  readonly seen: number;
  readonly discarded: number;
  readonly total: number;
}

export interface LetterPage extends Page<LetterView> {
  /** All letters that are kept, whatever the filter; where there are very many, about. */
  readonly total: number;
  /** Messages under the subjects of letters that were met and passed over: no task has written them. */
  readonly forged: number;
}

/** The letters of pipelines. Methods throw NOT_FOUND when there is no such pipeline or letter. */
export interface Letters {
  list(
    filter: LetterFilter,
    page: { pageSize: number; pageToken: string | null; content: boolean },
  ): Promise<LetterPage>;
  get(pipeline: string, number: number): Promise<LetterView>;
  /** Publishes contents again where they came from, or at `toSubject`; yields now and then, and at the end. */
  replay(
    filter: LetterFilter,
    options: { toSubject: string | null; dryRun: boolean; keep: boolean },
  ): AsyncIterable<ReplayProgress>;
  discard(filter: LetterFilter, options: { dryRun: boolean }): AsyncIterable<DiscardProgress>;
}

export type { ToldEvent } from '../host/cluster-events.ts';
export type { Move as MoveView } from '../host/leader.ts';
export type { SeenEvent } from '../observe/history.ts';

/** The last events of all workers, and each that follows. */
export interface EventHistory {
  /**
   * Resolves with what all remember, by time; `seen` is called with what happens from the call on, until `stop` is. What
   * cannot be reached is told as an event.
   */
  watch(seen: (event: ToldEvent) => void): Promise<{ readonly past: readonly ToldEvent[]; stop(): void }>;
}
