/**
 * Which streams may carry changes (`change/change.ts`) and not inserts alone: those of a source that says so, and what
 * stateless operators make of them. What comes out of an operator with state are inserts. Pure.
 */
import { CHANGES } from '../operator/spec.ts';
import type { Graph, GraphNode } from './graph.ts';

/** By node: the source of the changes that may leave it, of several the first; null: inserts alone do. */
export function changesOf({ nodes }: Graph): readonly (GraphNode | null)[] {
  const carried: (GraphNode | null)[] = [];
  for (const node of nodes) carried.push(carriedBy(node, carried));
  return carried;
}

function carriedBy(node: GraphNode, carried: readonly (GraphNode | null)[]): GraphNode | null {
  if (node.kind === 'source') return node.source.change === null ? null : node;
  return takesInsertsOnly(node) ? null : arriving(node, carried);
}

/** The source of the changes that may come to the node; null: inserts alone do. */
export function arriving(node: GraphNode, carried: readonly (GraphNode | null)[]): GraphNode | null {
  for (const input of node.inputs) {
    const source = carried[input] ?? null;
    if (source !== null) return source;
  }
  return null;
}

/** Merges, `keyBy`s and sinks take every record as it is. */
export function takesInsertsOnly(node: GraphNode): boolean {
  return 'spec' in node && CHANGES[node.spec.kind] === 'insertOnly';
}
