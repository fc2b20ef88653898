/**
 * A program: the operators that run fused in one place (a reader, or a stage's task), as data.
 */
import type { OperatorSpec } from './spec.ts';

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
