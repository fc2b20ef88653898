/**
 * A part that a pipeline has to run here, and who plays it: the actor of the moment, and what outlives it when another takes
 * its place. `pipeline.ts` decides when that is.
 */
import type { Counts } from '../observe/counts.ts';
import { Breaker } from '../task/breaker.ts';
import type { Share } from '../task/budget.ts';
import type { Surroundings } from '../task/surroundings.ts';
import type { Part } from '../topology/parts.ts';
import type { Actor } from './statuses.ts';

export type Make = (given: { around: Surroundings; breaker: Breaker; onEnded(error: unknown): void }) => Actor;

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

/** Nobody plays it yet. */
export function emptySlot({ part, make, share }: Pick<Slot, 'part' | 'make' | 'share'>): Slot {
  return {
    part,
    make,
    actor: null as never,
    number: 0,
    restarts: 0,
    breaker: new Breaker(),
    cancelRestart: null,
    lastError: null,
    counts: null,
    isLeft: false,
    isReleased: false,
    share,
  };
}
