/**
 * The plan: a pipeline's validated, frozen graph, split into what runs where. Data and user functions only; everything
 * below the planner (readers, stages, sinks) is built from these values and from nothing else.
 *
 * A *reader* runs a source's stateless prefix and routes to channels. A *stage* is a chain of operators that share
 * one key, in `partitions` tasks. A *keyless stage* (`direct`) is one task that reads its source itself.
 */
import type { Program } from '../operator/program.ts';
import type { SinkSpec } from '../outlet/sink-spec.ts';
import type { Inlet } from '../record/names.ts';
import type { SourceSpec } from '../source/spec.ts';

/** One input of a stage: everything that arrives from one writer side (a reader, or all tasks of a stage). */
export interface InputPlan {
  /** Unique within the stage, a subject token. */
  readonly name: string;
  readonly from:
    | { readonly kind: 'reader'; readonly reader: string }
    | { readonly kind: 'stage'; readonly stage: string };
  /** A table must have been read to its end before the stage takes from any other input. */
  readonly bootstrap: boolean;
}

export interface ReaderPlan {
  /** A subject token, unique within the pipeline; the source's name. */
  readonly name: string;
  readonly source: SourceSpec;
  readonly program: Program;
}

export interface StagePlan {
  readonly name: string;
  readonly partitions: number;
  /** Inputs in the order of `program.entries`. A direct stage has one, its source. */
  readonly inputs: readonly InputPlan[];
  readonly direct: SourceSpec | null;
  readonly program: Program;
}

/** How many letters are kept; beyond it the oldest go. */
export interface LetterLimits {
  readonly maxBytes: number;
  readonly maxAgeMs: number;
}

export interface Plan {
  readonly pipeline: string;
  readonly readers: readonly ReaderPlan[];
  readonly stages: readonly StagePlan[];
  readonly sinks: readonly SinkSpec[];
  /** Variables of the environment that its code reads. */
  readonly env: readonly string[];
  readonly letters: LetterLimits;
  /** Names of the sinks that get changes (`change/change.ts`) and not inserts alone. */
  readonly changing: readonly string[];
  /** What its streams promise less than others would: a line each, for people. */
  readonly warnings: readonly string[];
  /** Hash over everything that decides whether state and positions can be read on: 32 hex digits. */
  readonly fingerprint: string;
}

/** What is sent to the stages, each a stream of channels: what flows into one, and apart from that rows of its tables. */
export function inletsOf(plan: {
  readonly stages: readonly (Pick<StagePlan, 'name' | 'inputs'> & { readonly direct: unknown })[];
}): Inlet[] {
  return plan.stages.flatMap(({ name, direct, inputs }) => {
    if (direct !== null) return [];
    const tables = inputs.some(({ bootstrap }) => bootstrap) ? [{ stage: name, bootstrap: true }] : [];
    return [{ stage: name }, ...tables];
  });
}

/** Every source of the pipeline once, by name: a record's origin names one by its index here. */
export function sourcesOf(plan: Pick<Plan, 'readers' | 'stages'>): SourceSpec[] {
  const byName = new Map<string, SourceSpec>();
  for (const reader of plan.readers) byName.set(reader.source.name, reader.source);
  for (const stage of plan.stages) if (stage.direct !== null) byName.set(stage.direct.name, stage.direct);
  return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}
