/**
 * From a bundle to a plan: load it, ask the broker about its streams, plan. What is done to every bundle, at a deploy to
 * judge it and at a start to run it. It runs the author's code, so it is never done in a worker's main thread.
 */
import { MillraceError } from '../base/errors.ts';
import type { Broker } from '../topology/broker.ts';
import { isPipeline } from '../topology/builder.ts';
import { describe } from '../topology/describe.ts';
import type { Plan } from '../topology/plan.ts';
import { planOrThrow } from '../topology/planner.ts';
import { type PlanSummary, summarize } from '../topology/summary.ts';
import type { Bundle } from './bundle.ts';
import { loadBundle } from './load.ts';

/** What is known of a bundle without its functions: plain data. */
export interface Judged {
  /** The plan as plain JSON: stored with the spec, and what the next deploy is judged by. */
  readonly summary: PlanSummary;
  /** The plan as text, for people. */
  readonly text: string;
}

/** Throws PLAN_INVALID with all mistakes and their places. */
export type PlanBundle = (bundle: Bundle) => Promise<Plan>;

/**
 * @param options.broker null: nobody is asked, and streams are taken to be as pipelines need them.
 * @param options.dir folder for bundles that are being loaded.
 * @param options.given variables that the code is given; null: nobody knows, and it may need any.
 */
export function bundlePlanner(options: {
  readonly broker: Broker | null;
  readonly dir: string;
  readonly given: readonly string[] | null;
}): PlanBundle {
  const { broker, dir, given } = options;
  return async bundle => {
    const pipeline = await loadBundle(bundle, { dir, isPipeline });
    const missing = given === null ? [] : pipeline.env.filter(name => !given.includes(name));
    if (missing.length === 0) return planOrThrow(pipeline, broker);
    const [what, names] = [missing.length === 1 ? 'the variable' : 'the variables', missing.join(',')];
    throw new MillraceError(
      'PLAN_INVALID',
      `pipeline ${pipeline.name} needs ${what} ${names}, and the worker passes none of that name: run its workers with --env ${names}`,
    );
  };
}

export function judgedOf(plan: Plan): Judged {
  const summary = summarize(plan);
  return { summary, text: describe(summary) };
}
