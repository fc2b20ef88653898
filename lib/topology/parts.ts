/**
 * Parts: what a worker can be told to run of a pipeline, and the telling. A part is a task or a reader; an assignment says
 * which of them are one worker's. What of exactly-once rests on it is nothing: each part claims what it writes to, and says
 * the assignment's number there, so that of two workers that believe a part theirs the one with the later number has it.
 */
import type { Plan } from './plan.ts';
import { readSummary } from './summary.ts';

/** `<stage>/<partition>`, or the name of a reader, which has no `/`. */
export type Part = string;

export interface Assignment {
  /** Grows with every assignment of the pipeline's parts: a part that was claimed under a number is never claimed under a lower one. */
  readonly number: number;
  readonly parts: readonly Part[] | 'all';
  /** Tasks that are followed, ready to be taken over. Default: none. */
  readonly follows?: readonly Part[];
  /** Those of `parts` whose owner before is there still and hands them over: they are taken when he has released them. */
  readonly awaits?: readonly Part[];
}

export function taskPart({ stage, partition }: { readonly stage: string; readonly partition: number }): Part {
  return `${stage}/${partition}`;
}

/** The task of a part; null: it is a reader. */
export function taskOf(part: Part): { readonly stage: string; readonly partition: number } | null {
  const slash = part.indexOf('/');
  return slash < 0 ? null : { stage: part.slice(0, slash), partition: Number(part.slice(slash + 1)) };
}

/** What of a plan its parts are made of. */
interface PartsOfPlan {
  readonly stages: readonly Pick<Plan['stages'][number], 'name' | 'partitions'>[];
  readonly readers: readonly Pick<Plan['readers'][number], 'name'>[];
}

/** All parts of a plan, tasks first. */
export function partsOf(plan: PartsOfPlan): Part[] {
  const tasks = plan.stages.flatMap(({ name: stage, partitions }) =>
    Array.from({ length: partitions }, (_, partition) => taskPart({ stage, partition })),
  );
  return [...tasks, ...plan.readers.map(({ name }) => name)];
}

/**
 * All parts of a plan, and its sources, as its summary tells them; each in the plan's order. None: it was stored by another
 * version, in a form that this one does not know.
 */
export function shapeOf(summary: unknown): { readonly parts: readonly Part[]; readonly sources: readonly string[] } {
  const plan = readSummary(summary);
  if (plan === null) return { parts: [], sources: [] };
  const read = plan.readers.map(({ source }) => source.name);
  const direct = plan.stages.flatMap(stage => stage.direct?.name ?? []);
  const parts = partsOf({ stages: plan.stages, readers: read.map(name => ({ name })) });
  return { parts, sources: [...new Set([...read, ...direct])] };
}
