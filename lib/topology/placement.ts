/**
 * Placement: which nodes share a stage, and where copies are judged. Pure: a function of the graph.
 *
 * - *no dead ends*: what leads to no sink is left out.
 * - *one key, one stage*: keyed nodes that touch (through a join, a merge, or one after the other) share a stage: they
 *   share their key, and so their partitions. A stage is called after that `keyBy` in it whose name comes first in the
 *   alphabet, so that it is called the same whichever of them the author calls first.
 * - *judged where copies meet*: a dedupe before `keyBy` costs nothing where copies share the key: the id is computed in
 *   place (`carryId`) and judged first thing in the next stage. That is only right if one record reaches each next
 *   `keyBy` at most once and unmultiplied; else, or with `across: 'keys'`, the dedupe is a stage of its own, keyed by
 *   the id.
 */
import { type Graph, type GraphNode, isUnkeyedDedupe } from './graph.ts';

/** A node takes records on one of its ports. */
export interface Edge {
  readonly to: number;
  readonly port: number;
}

export interface Placement {
  readonly graph: Graph;
  readonly alive: readonly boolean[];
  /** Living consumers of each node. */
  readonly edges: readonly (readonly Edge[])[];
  /** For a keyed node, the first node of those that share its stage; −1 for others. */
  readonly domains: readonly number[];
  /** Name of the stage of a keyed node, or of a dedupe that is a stage of its own; null: none. */
  readonly stageOf: readonly (string | null)[];
  /** Where records enter stages: `keyBy` nodes, and dedupes that are stages of their own. By stage. */
  readonly roots: ReadonlyMap<string, readonly number[]>;
}

export function place(graph: Graph): Placement {
  const { nodes } = graph;
  const alive = findAlive(nodes);
  const edges: Edge[][] = nodes.map(() => []);
  for (const node of nodes) {
    if (alive[node.id]) for (const [port, input] of node.inputs.entries()) edges[input]?.push({ to: node.id, port });
  }
  const domains = findDomains(nodes, alive);
  const names = new Map<number, string>();
  for (const { id, kind, name } of nodes) {
    const domain = domains[id] as number;
    if (kind === 'keyBy' && domain >= 0 && name < (names.get(domain) ?? `${name}~`)) names.set(domain, name);
  }
  const stageOf: (string | null)[] = nodes.map(() => null);
  const roots = new Map<string, number[]>();
  for (const node of nodes) {
    if (!alive[node.id]) continue;
    const own = isUnkeyedDedupe(node) && !canBeCarried(node.id, nodes, edges);
    const stage = own ? node.name : names.get(domains[node.id] as number);
    if (stage === undefined) continue;
    stageOf[node.id] = stage;
    if (own || node.kind === 'keyBy') roots.set(stage, [...(roots.get(stage) ?? []), node.id]);
  }
  return { graph, alive, edges, domains, stageOf, roots };
}

function findAlive(nodes: readonly GraphNode[]): boolean[] {
  const alive = nodes.map(node => node.kind === 'sink');
  for (const node of nodes.toReversed()) {
    if (alive[node.id]) for (const input of node.inputs) alive[input] = true;
  }
  return alive;
}

/** For each keyed node the first `keyBy` of its domain; −1 for others. Inputs come before their nodes (union-find). */
function findDomains(nodes: readonly GraphNode[], alive: readonly boolean[]): number[] {
  const parent = nodes.map(node => node.id);
  const find = (id: number): number => {
    let root = id;
    while (parent[root] !== root) root = parent[root] as number;
    return root;
  };
  const inDomain = (node: GraphNode | undefined) =>
    node?.keyed === true && node.kind !== 'table' && alive[node.id] === true;
  for (const node of nodes) {
    if (!inDomain(node) || node.kind === 'keyBy') continue;
    for (const input of node.inputs) {
      if (!inDomain(nodes[input])) continue;
      const [a, b] = [find(node.id), find(input)];
      parent[Math.max(a, b)] = Math.min(a, b);
    }
  }
  return nodes.map(node => (inDomain(node) ? find(node.id) : -1));
}

function canBeCarried(id: number, nodes: readonly GraphNode[], edges: readonly (readonly Edge[])[]): boolean {
  const dedupe = nodes[id];
  if (dedupe?.kind !== 'dedupe' || dedupe.across) return false;
  const arrivals = new Map<number, number>();
  return countArrivals(id, { nodes, edges, arrivals }) && [...arrivals.values()].every(count => count <= 1);
}

/**
 * Counts how often one record that leaves node `id` may arrive at each `keyBy`. False: on its way lies what needs
 * copies judged before.
 */
function countArrivals(
  id: number,
  graph: {
    nodes: readonly GraphNode[];
    edges: readonly (readonly Edge[])[];
    arrivals: Map<number, number>;
  },
): boolean {
  const { nodes, edges, arrivals } = graph;
  // Only one of a branch's arms takes the record: the most that any of them brings counts.
  const most = new Map<number, number>();
  for (const { to } of edges[id] ?? []) {
    const node = nodes[to] as GraphNode;
    if (node.kind === 'keyBy') {
      arrivals.set(to, (arrivals.get(to) ?? 0) + 1);
    } else if (node.kind === 'merge' || (node.kind === 'stateless' && node.spec.kind !== 'flatMap')) {
      const isArm = node.kind === 'stateless' && node.arm;
      const below = isArm ? new Map<number, number>() : arrivals;
      if (!countArrivals(to, { nodes, edges, arrivals: below })) return false;
      if (isArm) for (const [keyBy, count] of below) most.set(keyBy, Math.max(count, most.get(keyBy) ?? 0));
    } else {
      return false;
    }
  }
  for (const [keyBy, count] of most) arrivals.set(keyBy, (arrivals.get(keyBy) ?? 0) + count);
  return true;
}
