/**
 * What the readers and tasks of a worker are given: the ports they share, and every bound of a task by its name.
 */
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/random.ts';
import type { ProgramName } from '../channel/authorship.ts';
import type { Observer } from '../observe/events.ts';
import type { Meter } from '../observe/meter.ts';
import type { Tracing } from '../observe/tracing.ts';
import type { WatchCalls } from '../operator/call-watch.ts';
import type { OutletKinds } from '../outlet/outlet.ts';
import type { Blobs } from '../port/blob.ts';
import type { Log } from '../port/log.ts';
import type { Stores } from '../port/store.ts';
import type { Deployment } from '../record/names.ts';
import type { CheckpointLimits } from '../replica/checkpoint.ts';
import type { Turns } from '../replica/turns.ts';
import type { Plan } from '../topology/plan.ts';
import type { OneInHand } from './breaker.ts';
import type { Share } from './budget.ts';

/** Every bound of a task, by name. Some of them move. */
export interface TaskLimits extends CheckpointLimits {
  /** A batch ends at so many records or bytes of input. */
  readonly batchRecordsMax: number;
  readonly batchBytesMax: number;
  /** A batch that has made so much (rows, frames, letters, changes of state) takes no more input, and nothing more fires in it. */
  readonly commitBytesMax: number;
  /** What one record may make, or one window or timer that fires. A record that makes more is a dead letter. */
  readonly recordBytesMax: number;
  /** Results that wait to be sent before the task stops reading. */
  readonly relayBytesMax: number;
}

const LIMITS: Omit<TaskLimits, 'stateBytesMax' | 'checkpointBytes'> = {
  batchRecordsMax: 8192,
  batchBytesMax: 2 << 20,
  commitBytesMax: 4 << 20,
  // With the rest of its commit within what can be packed (`PACKED_BYTES_MAX`); a value counts as state and as a row.
  recordBytesMax: 48 << 20,
  relayBytesMax: 16 << 20,
  checkpointSliceEntries: 1000,
};

/** Those of a task with that share of the worker's budget, as it is at the moment; what is `fixed` is as it says. */
export function limitsOf(share: Share, fixed: Partial<TaskLimits> = {}): TaskLimits {
  return {
    get stateBytesMax() {
      return share.stateBytesMax;
    },
    get checkpointBytes() {
      return share.journalBytesMax;
    },
    ...LIMITS,
    ...fixed,
  };
}

/** What tasks and readers of a pipeline share in a worker. */
export interface Surroundings {
  readonly deployment: Deployment;
  /** The pipeline's: grows with every change of what is desired. */
  readonly revision: number;
  /** The number of the assignment under which a part runs here. */
  readonly assignment: number;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly meter: Meter;
  /** Absent: nobody traces. */
  readonly tracing?: Tracing | undefined;
  readonly stores: Stores;
  readonly blobs: Blobs;
  /** When which task is at its checkpoint; absent: each when it likes. */
  readonly checkpointTurns?: Turns;
  /** Who has a record in hand by itself. */
  readonly inHand: OneInHand;
  /** How user code of an operator or source is called, so that it is seen at work; absent: nobody looks. */
  readonly watchCalls?: WatchCalls;
  /** Absent: all revisions have run one program. */
  readonly programs?: Programs;
  /** See `ReplicaOptions`. Absent: what has a snapshot has a journal. */
  readonly standsAlone?: boolean;
  /** The ways out for rows. */
  readonly outlets: OutletKinds;
}

/** What a pipeline runs, and has run. */
export interface Programs {
  readonly present: ProgramName;
  /** What a former one was. Throws PROGRAM_MISSING, or what passes. */
  planOf(program: ProgramName): Promise<Plan>;
}
