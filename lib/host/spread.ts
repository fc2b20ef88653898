/**
 * Which thread of a worker runs which part of a pipeline: a function of what is to run and of what runs already. A reader
 * weighs as much as all tasks of a stage together, since it touches each record as they do; so where there are threads enough
 * a reader and the tasks that it feeds are apart, and the tasks of a stage are divided among the rest.
 *
 * A part stays where it is unless its thread has more than its share: what moves is begun anew elsewhere.
 */
import { type Part, taskOf } from '../topology/parts.ts';

export interface SpreadOptions {
  /** What is to run here, in the order of the plan. */
  readonly parts: readonly Part[];
  /** All parts that there are of the pipeline. */
  readonly all: readonly Part[];
  /** What each thread has to do for other pipelines, as weights. At least one. */
  readonly loads: readonly number[];
  /** Where parts run now. */
  readonly present: ReadonlyMap<Part, number>;
}

/** The thread of each part. */
export function spread({ parts, all, loads, present }: SpreadOptions): Map<Part, number> {
  const weightOf = weights(all);
  // Readers are few and heavy: placed first, they leave the tasks to make it even.
  const ordered = [...parts.filter(part => taskOf(part) === null), ...parts.filter(part => taskOf(part) !== null)];
  const left = [...loads];
  let sum = 0;
  for (const load of left) sum += load;
  for (const part of ordered) sum += weightOf(part);
  const even = sum / left.length;
  const placed = new Map<Part, number>();
  const place = (part: Part, thread: number) => {
    placed.set(part, thread);
    left[thread] = left[thread]! + weightOf(part);
  };
  for (const part of ordered) {
    const thread = present.get(part);
    if (thread !== undefined && left[thread]! < even - ROUNDING) place(part, thread);
  }
  for (const part of ordered) if (!placed.has(part)) place(part, left.indexOf(Math.min(...left)));
  return placed;
}

/** What the placed parts add to each of so many threads. */
export function loadsOf(
  placed: ReadonlyMap<Part, number>,
  { all, threads }: { readonly all: readonly Part[]; readonly threads: number },
): number[] {
  const weightOf = weights(all);
  const loads = new Array<number>(threads).fill(0);
  for (const [part, thread] of placed) loads[thread] = loads[thread]! + weightOf(part);
  return loads;
}

/** Sums of weights in another order differ by less. */
const ROUNDING = 1e-9;

function weights(all: readonly Part[]): (part: Part) => number {
  const tasks = new Map<string, number>();
  for (const part of all) {
    const task = taskOf(part);
    if (task !== null) tasks.set(task.stage, (tasks.get(task.stage) ?? 0) + 1);
  }
  return part => {
    const task = taskOf(part);
    return task === null ? 1 : 1 / (tasks.get(task.stage) ?? 1);
  };
}
