/** Placements: which member owns each part and which follow it, and what is known of members and parts to decide that. */
import { type Part, taskOf } from '../topology/parts.ts';

/** `<pipeline>/<part>`. */
export type PartKey = string;

export interface Place {
  /** Null: nobody. */
  readonly owner: string | null;
  /** Who reads along. Never the owner, nobody twice. */
  readonly followers: readonly string[];
}

/** What the assignment documents say, or should. */
export type Placement = ReadonlyMap<PartKey, Place>;

export interface MemberView {
  readonly name: string;
  readonly zone: string;
  /** How much it can do beside the others: one with 2 has twice the share of one with 1. With 0 it is given nothing. */
  readonly capacity: number;
  /** It is given nothing, and what it has moves away. */
  readonly isDraining: boolean;
}

export interface PartLoad {
  readonly pipeline: string;
  readonly part: Part;
  /**
   * The busy fraction of one core that it takes, scaled so that the mean of all parts is 1; 1 as long as it is not measured.
   * It counts in eighths, and one at least: what is measured trembles, and what is idle now need not stay so.
   */
  readonly load: number;
  /** How many follow it; absent: as many as everywhere. */
  readonly standbys?: number | undefined;
  /** Members on whose disk its state lies. */
  readonly disks: readonly string[];
}

export const NOWHERE: Place = { owner: null, followers: [] };

export function partKey({ pipeline, part }: { readonly pipeline: string; readonly part: Part }): PartKey {
  return `${pipeline}/${part}`;
}

/** Whether it is a task, whose state can be followed; a reader has none. */
export function hasState(key: PartKey): boolean {
  return taskOf(key.slice(key.indexOf('/') + 1)) !== null;
}

/** In the order of the keys. */
export function placementOf(places: readonly (readonly [PartKey, Place])[]): Placement {
  return new Map([...places].sort(([left], [right]) => order(left, right)));
}

/** By code units, as in every place and language alike. */
export function order(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
