/** A part that is ours, whoever plays it at the moment: what outlives the actors that come and go in it. */
import type { Counts } from '../observe/counts.ts';
import type { Replica } from '../replica/replica.ts';
import { Breaker } from '../task/breaker.ts';
import type { Budget, Share } from '../task/budget.ts';
import { Pace } from '../task/pace.ts';
import { limitsOf, type Surroundings, type TaskLimits } from '../task/surroundings.ts';
import { Task } from '../task/task.ts';
import { type Part, taskOf } from '../topology/parts.ts';
import type { Plan } from '../topology/plan.ts';
import { Reader } from './reader.ts';
import type { Actor } from './statuses.ts';

type Make = (given: { around: Surroundings; breaker: Breaker; onEnded(error: unknown): void }) => Actor;

export interface Slot {
  readonly part: Part;
  readonly make: Make;
  actor: Actor;
  /** The number of the assignment under which it was last claimed. */
  number: number;
  restarts: number;
  readonly breaker: Breaker;
  cancelRestart: (() => void) | null;
  lastError: string | null;
  /** What its actor, or the one before it, has said last; null: it is not known. */
  counts: Counts | null;
  /** It has another owner by now. */
  isLeft: boolean;
  /** It is not ours any more, and is being handed over. */
  isReleased: boolean;
  /** A task's; null: it is a reader's. */
  readonly share: Share | null;
}

/** @param options.replica what follows the task here, to be taken over; null: nothing does */
export function slotOf(
  part: Part,
  options: { plan: Plan; limits: Partial<TaskLimits>; budget: Budget; replica: Replica | null },
): Slot {
  return {
    part,
    ...playedBy(part, options),
    actor: null as never,
    number: 0,
    restarts: 0,
    breaker: new Breaker(),
    cancelRestart: null,
    lastError: null,
    counts: null,
    isLeft: false,
    isReleased: false,
  };
}

function playedBy(
  part: Part,
  { plan, limits: fixed, budget, replica: followed }: Parameters<typeof slotOf>[1],
): Pick<Slot, 'make' | 'share'> {
  const task = taskOf(part);
  if (task === null) {
    const reader = plan.readers.find(({ name }) => name === part)!;
    return { make: given => new Reader({ plan, reader, ...given }), share: null };
  }
  const { partition } = task;
  const stage = plan.stages.find(({ name }) => name === task.stage)!;
  const share = budget.join();
  const limits = limitsOf(share, fixed);
  const pace = new Pace(limits);
  let replica = followed ?? undefined;
  const make: Make = given => {
    const made = new Task({ plan, stage, partition, limits, share, pace, replica, ...given });
    // Whoever comes after it begins with an empty one.
    replica = undefined;
    return made;
  };
  return { make, share };
}
