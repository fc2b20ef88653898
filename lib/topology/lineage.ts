/**
 * Lineage: what has become of a record by the time it reaches an operator or a sink, as far as the plan can tell. A
 * record that dies or is late there leaves a letter, and whoever publishes that again must know which dedupes have its id
 * already, and whether the value in hand still is the one that was read.
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

/**
 * By operator, sink and stage. Where several ways lead to one, or several are called alike (`keyBy`s of one stage, and
 * the stage), what is on any of them.
 */
export function lineagesOf(plan: Pick<Plan, 'readers' | 'stages'>): ReadonlyMap<string, Lineage> {
  /** By node of a program, or name of a sink. */
  const pasts = new Map<ProgramNode | string, Past>();
  const stages = new Map<string, Past>();

  /** What all ways that are known have in common with this one; null: nothing new. */
  function arrive<P>(place: P, past: Past, at: Map<P, Past>): Past | null {
    const before = at.get(place);
    const merged = before === undefined ? past : either(before, past);
    if (before !== undefined && merged.passed.size === before.passed.size && merged.changed === before.changed)
      return null;
    at.set(place, merged);
    return merged;
  }

  function walk(program: Program, target: Target, from: Past): void {
    if ('exit' in target) return leave(program, target.exit, from);
    const node = program.nodes[target.node]!;
    const { name, spec, targets } = node;
    const past = arrive(node, from, pasts);
    if (past === null) return;
    const passed = spec.kind === 'dedupe' ? new Set([...past.passed, name]) : past.passed;
    const next = { passed, changed: past.changed || !PASSING.has(spec.kind) };
    for (const to of targets) walk(program, to, next);
  }

  function leave(program: Program, index: number, from: Past): void {
    const exit = program.exits[index]!;
    if (exit.kind === 'sink') {
      arrive(exit.sink, from, pasts);
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
  const named = new Map<string, Past>();
  // A stage may be called as an operator of it is, which is further on.
  for (const [name, past] of stages) named.set(name, past);
  for (const [place, past] of pasts) {
    const name = typeof place === 'string' ? place : place.name;
    const other = named.get(name);
    named.set(name, other === undefined ? past : either(other, past));
  }
  return new Map(
    Array.from(named, ([name, { passed, changed }]) => [name, { passed: [...passed].sort(), unchanged: !changed }]),
  );
}

function either(one: Past, other: Past): Past {
  return { passed: new Set([...one.passed, ...other.passed]), changed: one.changed || other.changed };
}
