/**
 * The plan: a pipeline's validated, frozen graph, cut into what runs where. Data and user functions only; everything
 * below the planner (readers, stages, sinks) is built from these values and from nothing else.
 *
 * A *reader* runs a source's stateless prefix and routes to channels. A *stage* is a chain of operators that share
 * one key, in `partitions` tasks. A *keyless stage* (`direct`) is one task that reads its source itself.
 */
import type { OperatorSpec } from '../operator/spec.ts';
import type { SourceSpec } from './source-spec.ts';

/** Where a record goes next: to input `port` of a node of the same program, or out through one of its exits. */
export type Target = { readonly node: number; readonly port: number } | { readonly exit: number };

export interface ProgramNode {
  /** Stable name within the pipeline: names state tables, metrics, dead letters. */
  readonly name: string;
  readonly spec: OperatorSpec;
  readonly targets: readonly Target[];
}

/** A record leaves its program to an input of a stage (it must carry a key), or to a sink. */
export type Exit =
  | { readonly kind: 'channel'; readonly stage: string; readonly input: string }
  | { readonly kind: 'sink'; readonly sink: string };

/** Operators fused into one run: nodes in topological order; `entries[i]` are the targets of input i. */
export interface Program {
  readonly entries: readonly (readonly Target[])[];
  readonly nodes: readonly ProgramNode[];
  readonly exits: readonly Exit[];
}

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

export type SinkMode = 'owned' | 'shared' | 'at-least-once';

export interface SinkPlan {
  readonly name: string;
  readonly mode: SinkMode;
  /** Subject template: literal tokens and `{field}`s; an owned one ends in `{partition}`. */
  readonly template: string;
  readonly stream: { readonly name: string; readonly create: boolean; readonly subjects: readonly string[] };
  /** One record a message, or all of a commit's rows for a subject in one. */
  readonly frame: 'none' | 'ndjson' | 'msgpack';
  readonly format: 'json' | 'msgpack';
}

export interface Plan {
  readonly pipeline: string;
  readonly readers: readonly ReaderPlan[];
  readonly stages: readonly StagePlan[];
  readonly sinks: readonly SinkPlan[];
  /** Hash over everything that decides whether state and positions can be read on: 32 hex digits. */
  readonly fingerprint: string;
}
