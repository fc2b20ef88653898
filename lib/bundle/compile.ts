/**
 * From a bundle to a plan: load it, ask the broker about its streams, plan. What a worker does to every bundle, at a
 * deploy to judge it and at a start to run it.
 */
import type { Log } from '../port/log.ts';
import { isPipeline } from '../topology/builder.ts';
import { describe } from '../topology/describe.ts';
import { planOrThrow } from '../topology/planner.ts';
import { incompatibilities, summarize } from '../topology/summary.ts';
import type { Bundle, Engine, Planned } from '../host/engine.ts';
import { loadBundle } from './load.ts';

export interface CompileOptions {
  readonly log: Log;
  /** Folder for loaded bundles. */
  readonly dir: string;
}

/** The half of an engine that needs no tasks: enough for `plan` against a broker. */
export function pipelineCompiler({ log, dir }: CompileOptions): Pick<Engine, 'plan' | 'incompatibilities'> {
  return {
    async plan(bundle: Bundle): Promise<Planned> {
      const pipeline = await loadBundle(bundle, { dir, isPipeline });
      const plan = await planOrThrow(pipeline, log);
      const summary = summarize(plan);
      return { plan, summary, text: describe(summary) };
    },
    incompatibilities,
  };
}
