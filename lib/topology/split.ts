/**
 * The split: from the placed graph to programs. Each living source is walked as far as its records go without a key: to
 * `keyBy`s (that is its reader's program) and to sinks (the program of a direct stage); each stage is walked from its
 * `keyBy`s on. Stateless nodes that several sources reach are made anew in each program; a merge is no node at all.
 *
 * Node ids are a topological order (graph.ts), so nodes of a program are sorted by them; a dedupe that judges carried
 * ids stands before all others.
 */
import type { Exit, Program, ProgramNode, Target } from '../operator/program.ts';
import type { OperatorSpec } from '../operator/spec.ts';
import { type GraphNode, isUnkeyedDedupe } from './graph.ts';
import type { Edge, Placement } from './placement.ts';
import type { InputPlan } from './plan.ts';

interface DraftNode {
  readonly order: number;
  readonly name: string;
  readonly spec: OperatorSpec;
  targets: DraftTarget[];
}

type DraftTarget = { readonly node: DraftNode; readonly port: number } | { readonly exit: number };

/** Where a program runs, which decides what it takes along. */
type Home =
  | { readonly kind: 'reader'; readonly name: string }
  | { readonly kind: 'direct'; readonly name: string }
  | { readonly kind: 'stage'; readonly name: string };

/** An input of a stage while the split is made. */
interface Arrival {
  readonly plan: InputPlan;
  /** The node that its records have just passed: a `keyBy`, a table, or a dedupe that is a stage. */
  readonly root: number;
  /** The dedupe whose ids its records carry. */
  readonly carried: number | null;
}

export interface SplitStage {
  readonly name: string;
  /** The source of a direct stage. */
  readonly source: GraphNode | null;
  readonly inputs: readonly InputPlan[];
  readonly program: Program;
}

export interface SplitReader {
  readonly source: GraphNode;
  readonly program: Program;
}

export function split(placement: Placement): { readers: SplitReader[]; stages: SplitStage[] } {
  const arrivals: Arrivals = new Map([...placement.roots.keys()].map(stage => [stage, []]));
  const readers: SplitReader[] = [];
  const stages: SplitStage[] = [];
  for (const source of placement.graph.nodes) {
    if (!placement.alive[source.id] || (source.kind !== 'source' && source.kind !== 'table')) continue;
    const reader = new Draft(placement, { kind: 'reader', name: source.name }, arrivals);
    const entry = source.kind === 'table' ? reader.tableExits(source) : reader.targetsFrom(source.id, null);
    if (entry.length > 0) readers.push({ source, program: reader.finish([entry]) });
    if (source.kind === 'table') continue;
    const name = `${source.name}-direct`;
    const direct = new Draft(placement, { kind: 'direct', name }, arrivals);
    const through = direct.targetsFrom(source.id, null);
    if (through.length === 0) continue;
    const from = { kind: 'reader', reader: source.name } as const;
    const inputs = [{ name: source.name, from, bootstrap: false }];
    stages.push({ name, source, inputs, program: direct.finish([through]) });
  }
  // Every stage is walked before any is finished: walking one finds inputs of others.
  const walked = [...placement.roots].map(([stage, roots]) => {
    const draft = new Draft(placement, { kind: 'stage', name: stage }, arrivals);
    for (const root of roots) draft.rootTargets(root);
    return { stage, draft };
  });
  for (const { stage, draft } of walked) {
    const inputs = arrivals.get(stage) ?? [];
    const entries = inputs.map(arrival => draft.entry(arrival, inputs));
    stages.push({ name: stage, source: null, inputs: inputs.map(({ plan }) => plan), program: draft.finish(entries) });
  }
  return { readers, stages };
}

type Arrivals = Map<string, Arrival[]>;

/** One program in the making. */
class Draft {
  readonly #placement: Placement;
  readonly #home: Home;
  readonly #arrivals: Arrivals;
  readonly #nodes = new Map<string, DraftNode>();
  readonly #exits: Exit[] = [];

  constructor(placement: Placement, home: Home, arrivals: Arrivals) {
    this.#placement = placement;
    this.#home = home;
    this.#arrivals = arrivals;
  }

  /** Where records go that leave node `id`, with the ids that dedupe `carried` computed. */
  targetsFrom(id: number, carried: number | null): DraftTarget[] {
    return (this.#placement.edges[id] ?? []).flatMap(edge => this.#target(edge, carried));
  }

  #target({ to, port }: Edge, carried: number | null): DraftTarget[] {
    const node = this.#node(to);
    const home = this.#home.kind;
    switch (node.kind) {
      case 'source':
      case 'table':
        return [];
      case 'merge':
        return this.targetsFrom(to, carried);
      case 'sink':
        return home === 'reader' ? [] : [this.#exit({ kind: 'sink', sink: node.name })];
      case 'keyBy':
        if (home === 'direct') return [];
        return this.#place(node, {
          spec: { kind: 'keyBy', fn: node.fn },
          carried,
          targets: () => [this.#channel(node, carried)],
        });
      case 'stateless':
        return this.#place(node, { spec: node.spec, carried, targets: () => this.targetsFrom(to, carried) });
      case 'stateful':
        return this.#place(node, { spec: node.spec, carried, port, targets: () => this.targetsFrom(to, null) });
      case 'dedupe':
        if (node.keyed) {
          return this.#place(node, { spec: node.spec, carried, targets: () => this.targetsFrom(to, null) });
        }
        if (home === 'direct') return [];
        if (this.#placement.stageOf[to] !== null) {
          const spec = { kind: 'keyBy', fn: node.idOf } as const;
          const name = `${node.name}-id`;
          return this.#place(node, { spec, name, carried, targets: () => [this.#channel(node, carried)] });
        }
        return this.#place(node, {
          spec: { kind: 'carryId', fn: node.idOf },
          carried,
          targets: () => this.targetsFrom(to, to),
        });
    }
  }

  /** Makes the program's node once for each dedupe whose ids it may see; one that leads nowhere is not made. */
  #place(
    node: GraphNode,
    made: {
      spec: OperatorSpec;
      name?: string;
      carried: number | null;
      port?: number;
      targets: () => DraftTarget[];
    },
  ): DraftTarget[] {
    const identity = `${node.id} ${made.carried}`;
    let draft = this.#nodes.get(identity);
    if (draft === undefined) {
      draft = { order: node.id, name: made.name ?? node.name, spec: made.spec, targets: [] };
      this.#nodes.set(identity, draft);
      draft.targets = made.targets();
    }
    return draft.targets.length === 0 ? [] : [{ node: draft, port: made.port ?? 0 }];
  }

  /** Where records go that have entered the stage at a root; made once. */
  rootTargets(root: number): DraftTarget[] {
    const node = this.#node(root);
    if (!isUnkeyedDedupe(node)) return this.targetsFrom(root, null);
    return this.#place(node, { spec: node.spec, carried: null, targets: () => this.targetsFrom(root, null) });
  }

  /** The targets of one input: a table's joins, or what follows the root, after the dedupe of carried ids. */
  entry(arrival: Arrival, all: readonly Arrival[]): DraftTarget[] {
    const { root, carried } = arrival;
    if (this.#node(root).kind === 'table') {
      const here = (this.#placement.edges[root] ?? []).filter(({ to }) => this.#stageOf(to) === this.#home.name);
      return here.flatMap(edge => this.#target(edge, null));
    }
    if (carried === null) return this.rootTargets(root);
    const dedupe = this.#node(carried);
    if (!isUnkeyedDedupe(dedupe)) return this.rootTargets(root);
    const identity = `${root} after ${carried}`;
    let draft = this.#nodes.get(identity);
    if (draft === undefined) {
      // Behind two keyBys of one stage the same ids are judged apart, so that state must have two names.
      const once = all.every(other => other.carried !== carried || other.root === root);
      const name = once ? dedupe.name : `${dedupe.name}-${this.#node(root).name}`;
      draft = {
        order: carried - this.#placement.graph.nodes.length,
        name,
        spec: { ...dedupe.spec, id: null },
        targets: [],
      };
      this.#nodes.set(identity, draft);
      draft.targets = this.rootTargets(root);
    }
    return [{ node: draft, port: 0 }];
  }

  /** One exit for each stage that joins the table. */
  tableExits(table: GraphNode): DraftTarget[] {
    const stages = new Set((this.#placement.edges[table.id] ?? []).map(({ to }) => this.#stageOf(to)));
    return [...stages].filter(stage => stage !== null).map(stage => this.#send(stage, table, null));
  }

  #channel(root: GraphNode, carried: number | null): DraftTarget {
    return this.#send(this.#stageOf(root.id) as string, root, carried);
  }

  #send(stage: string, root: GraphNode, carried: number | null): DraftTarget {
    const from =
      this.#home.kind === 'stage'
        ? ({ kind: 'stage', stage: this.#home.name } as const)
        : ({ kind: 'reader', reader: this.#home.name } as const);
    const inputs = this.#arrivals.get(stage) as Arrival[];
    const same = ({ plan, ...other }: Arrival) =>
      other.root === root.id && other.carried === carried && writerOf(plan) === this.#home.name;
    let input = inputs.find(same);
    if (input === undefined) {
      // Called after what is its own alone, so that its channels outlive changes elsewhere. That two are called alike is a
      // mistake of the author's (validate.ts).
      const parts = [this.#home.name];
      if (root.name !== stage && root.name !== this.#home.name) parts.push(root.name);
      if (carried !== null) parts.push(this.#node(carried).name);
      const name = parts.join('-');
      input = { plan: { name, from, bootstrap: root.kind === 'table' }, root: root.id, carried };
      inputs.push(input);
    }
    return this.#exit({ kind: 'channel', stage, input: input.plan.name });
  }

  #exit(exit: Exit): DraftTarget {
    const index = this.#exits.findIndex(other =>
      exit.kind === 'sink'
        ? other.kind === 'sink' && other.sink === exit.sink
        : other.kind === 'channel' && other.stage === exit.stage && other.input === exit.input,
    );
    return { exit: index >= 0 ? index : this.#exits.push(exit) - 1 };
  }

  #node(id: number): GraphNode {
    return this.#placement.graph.nodes[id] as GraphNode;
  }

  #stageOf(id: number): string | null {
    return this.#placement.stageOf[id] ?? null;
  }

  finish(entries: readonly (readonly DraftTarget[])[]): Program {
    const drafts = [...this.#nodes.values()].filter(draft => draft.targets.length > 0);
    drafts.sort((a, b) => a.order - b.order);
    const indexes = new Map(drafts.map((draft, index) => [draft, index]));
    const bare = (target: DraftTarget): Target =>
      'exit' in target ? target : { node: indexes.get(target.node) as number, port: target.port };
    const nodes = drafts.map(({ name, spec, targets }): ProgramNode => ({ name, spec, targets: targets.map(bare) }));
    return { entries: entries.map(targets => targets.map(bare)), nodes, exits: this.#exits };
  }
}

function writerOf({ from }: InputPlan): string {
  return from.kind === 'reader' ? from.reader : from.stage;
}
