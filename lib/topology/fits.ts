/**
 * Whether streams that exist are kept as a pipeline needs them, by the table of settings: what refuses is a mistake of the
 * source or sink, what promises less is a warning of the plan. Pure.
 */
import type { StreamInfo } from '../port/log.ts';
import { lettersSubjects } from '../record/names.ts';
import { templateOf } from './broker.ts';
import type { Graph, GraphNode } from './graph.ts';
import type { StreamUse } from './stream-effects.ts';
import { judgeStream, verdictText } from './stream-settings.ts';
import { ownUse } from './stream-uses.ts';

/** False: it does not, and that has been told. */
export type Fits = (
  node: GraphNode,
  stream: StreamInfo,
  use: Pick<StreamUse, 'role' | 'subjects' | 'batches' | 'keeps'>,
) => boolean;

export function fitsFor(
  graph: Graph,
  tell: { mistake: (node: GraphNode, message: string) => void; warn: (message: string) => void },
): Fits {
  const reads: string[] = [];
  const writes: string[] = [];
  for (const node of graph.nodes) {
    if (node.kind === 'source' || node.kind === 'table') reads.push(node.source.subject);
    if (node.kind !== 'sink') continue;
    const template = templateOf(node.sink.template);
    if (typeof template !== 'string') writes.push(template.covers);
  }
  return (node, stream, use) => {
    const verdicts = judgeStream(stream, { ...use, reads, writes });
    const against = verdicts.filter(({ verdict }) => verdict === 'refused');
    for (const verdict of against) tell.mistake(node, verdictText(stream.name, verdict));
    if (against.length === 0) for (const verdict of verdicts) tell.warn(verdictText(stream.name, verdict));
    return against.length === 0;
  };
}

/**
 * What refuses the stream of the pipeline's letters, where there is one. It is made by the pipeline, but outlives it, and
 * somebody else may have made it; what promises less there is told while the pipeline runs.
 */
export function lettersAgainst(pipeline: string, stream: StreamInfo | null): string[] {
  if (stream === null) return [];
  return judgeStream(stream, ownUse('letters', lettersSubjects(pipeline)))
    .filter(({ verdict }) => verdict === 'refused')
    .map(verdict => verdictText(stream.name, verdict));
}
