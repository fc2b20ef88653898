/**
 * Lineage: what has become of a record by the time it reaches an operator or a sink, as far as the plan can tell. A
 * record that dies there leaves a letter, and whoever publishes that again must know which dedupes have its id already,
 * and whether the value in hand still is the one that was read.
 */
import type { Program, ProgramNode, Target } from '../operator/program.ts';
import type { Plan } from './plan.ts';

export interface Lineage {
  /** The dedupe operators on the way, which have let it pass. */
  readonly passed: readonly string[];
  /** Nothing on the way makes other values of values. */
  readonly unchanged: boolean;
}

interface Past {
  readonly passed: ReadonlySet<string>;
  readonly changed: boolean;
}

const BEGINNING: Past = { passed: new Set(), changed: false };
/** These pass values on as they are. */
const PASSING: ReadonlySet<ProgramNode['spec']['kind']> = new Set(['filter', 'keyBy', 'carryId', 'dedupe']);

/** By operator, sink and stage. Where several ways lead to one, what is on any of them. */
export function lineagesOf(plan: Pick<Plan, 'readers' | 'stages'>): ReadonlyMap<string, Lineage> {
  const pasts = new Map<string, Past>();
  /** A stage may be called as an operator of it is, which is further on. */
  const stages = new Map<string, Past>();

  /** What all ways that are known have in common with this one; null: nothing new. */
  function arrive(name: string, past: Past, at = pasts): Past | null {
    const before = at.get(name);
    const passed = new Set([...(before?.passed ?? []), ...past.passed]);
    const changed = past.changed || before?.changed === true;
    if (before !== undefined && passed.size === before.passed.size && changed === before.changed) return null;
    const merged = { passed, changed };
    at.set(name, merged);
    return merged;
  }

  function walk(program: Program, target: Target, from: Past): void {
    if ('exit' in target) return leave(program, target.exit, from);
    const { name, spec, targets } = program.nodes[target.node]!;
    const past = arrive(name, from);
    if (past === null) return;
    const passed = spec.kind === 'dedupe' ? new Set([...past.passed, name]) : past.passed;
    const next = { passed, changed: past.changed || !PASSING.has(spec.kind) };
    for (const to of targets) walk(program, to, next);
  }

  function leave(program: Program, index: number, from: Past): void {
    const exit = program.exits[index]!;
    if (exit.kind === 'sink') {
      arrive(exit.sink, from);
      return;
    }
    const stage = plan.stages.find(candidate => candidate.name === exit.stage)!;
    arrive(stage.name, from, stages);
    const input = stage.inputs.findIndex(candidate => candidate.name === exit.input);
    for (const to of stage.program.entries[input] ?? []) walk(stage.program, to, from);
  }

  for (const { program } of plan.readers) for (const to of program.entries[0] ?? []) walk(program, to, BEGINNING);
  for (const { direct, program } of plan.stages) {
    if (direct !== null) for (const to of program.entries[0] ?? []) walk(program, to, BEGINNING);
  }
  return new Map(
    Array.from([...stages, ...pasts], ([name, { passed, changed }]) => [
      name,
      { passed: [...passed].sort(), unchanged: !changed },
    ]),
  );
}
