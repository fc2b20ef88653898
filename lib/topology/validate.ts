/**
 * Validation of what no single call can know: the pipeline as a whole. Pure; all mistakes at once.
 */
import type { StatefulSpec } from '../operator/spec.ts';
import { bucketOf, PIPELINE_NAME } from '../record/names.ts';
import { SOURCES_MAX } from '../record/origin.ts';
import { overlaps } from '../record/subject.ts';
import { isFilter, templateOf } from './broker.ts';
import { arriving, changesOf, takesInsertsOnly } from './changes.ts';
import { operatorText } from './fingerprint.ts';
import { type Graph, type GraphNode, isSink, isSource, type Mistake } from './graph.ts';
import type { Placement } from './placement.ts';
import type { SplitStage } from './split.ts';

export const PARTITIONS_MAX = 1024;

type Tell = (node: GraphNode, message: string) => void;

export function validatePipeline(
  pipeline: { name: string; partitions: number },
  mistake: (message: string) => void,
): void {
  const { name, partitions } = pipeline;
  if (typeof name !== 'string' || !PIPELINE_NAME.test(name)) {
    mistake(
      `the pipeline's name ${JSON.stringify(name)} cannot be used: take 1 to 40 lower-case letters, digits or '-'`,
    );
  }
  if (!Number.isInteger(partitions) || partitions < 1 || partitions > PARTITIONS_MAX) {
    mistake(`partitions is ${partitions}: take a whole number from 1 to ${PARTITIONS_MAX}`);
  }
}

/** Null: they are not too many. */
export function tooManySources({ nodes }: Graph): string | null {
  const count = nodes.filter(isSource).length;
  return count <= SOURCES_MAX
    ? null
    : `${count} sources are more than a pipeline can have (SOURCES_MAX ${SOURCES_MAX})`;
}

export function validateGraph(placement: Placement, tell: { mistake: Tell; pipeline(message: string): void }): void {
  const { graph, alive } = placement;
  const { nodes } = graph;
  const sources = nodes.filter(isSource);
  const sinks = nodes.filter(isSink);
  if (sinks.length === 0) tell.pipeline('nothing leaves the pipeline: send a stream somewhere with .to(subject)');
  for (const node of sources) {
    const { subject } = node.source;
    const bucket = node.kind === 'table' ? bucketOf(subject) : null;
    if (bucket !== null && !/^[A-Za-z0-9_-]+$/.test(bucket)) {
      tell.mistake(node, `'${bucket}' cannot be a KV bucket: take letters, digits, '-' and '_'`);
    } else if (bucket === null && !isFilter(subject)) {
      tell.mistake(
        node,
        `'${subject}' is no subject: write tokens joined by dots, '*' for one of any, a last '>' for all`,
      );
    } else if (alive[node.id] === false && sinks.length > 0) {
      tell.mistake(node, 'it is never used: let it lead to a .to(subject), or leave it out');
    }
  }
  tellAlike(placement, tell.mistake);
  for (const sink of sinks) {
    const template = templateOf(sink.sink.template);
    if (typeof template === 'string') continue;
    const loop = sources.find(({ source }) => source.kind === 'stream' && overlaps(source.subject, template.covers));
    if (loop === undefined) continue;
    const both = `'${sink.sink.template}' is read again by ${loop.name} ('${loop.source.subject}')`;
    tell.mistake(sink, `${both}: records would go round for ever. Write to another subject`);
  }
  for (const node of nodes) {
    const isTableJoin = node.kind === 'stateful' && node.spec.kind === 'tableJoin';
    for (const [port, input] of node.inputs.entries()) {
      const isTable = nodes[input]?.kind === 'table';
      if (isTable !== (isTableJoin && port === 1))
        tell.mistake(node, 'a table can only be the right side of join or leftJoin');
    }
    const needed = node.kind === 'stateful' ? inputsOf(node.spec) : 1;
    if (!isSource(node) && node.inputs.length < needed && graph.mistakes.length === 0) {
      tell.mistake(node, `it needs ${needed} inputs and has ${node.inputs.length}`);
    }
    if (node.kind === 'stateful' && nodes[node.inputs[0] ?? -1]?.keyed === false) {
      tell.mistake(node, 'its records have no key: call keyBy first');
    }
  }
  tellChanges(graph, tell.mistake);
}

/** What counts or keeps records that later ones take back would be wrong from then on, and nothing would say so. */
function tellChanges(graph: Graph, mistake: Tell): void {
  const carried = changesOf(graph);
  for (const node of graph.nodes) {
    const source = takesInsertsOnly(node) ? arriving(node, carried) : null;
    if (source === null) continue;
    const origin = `${source.name} (${source.place ?? 'its place is unknown'})`;
    mistake(
      node,
      `records of ${origin} may take back others, as its option change says, and this cannot take back what it has ` +
        'counted, kept or sent: lead them past it, or leave out change there and let a filter keep the records that count',
    );
  }
}

/**
 * What has no name of its author's and is of the same title as another: state, markers and positions are kept by name,
 * and numbers would give the one's to the other as soon as they change places. Several `keyBy`s of one stage may be alike:
 * their records meet there, and it is called after them all.
 */
function tellAlike({ graph, alive, domains }: Placement, mistake: Tell): void {
  const living = graph.nodes.filter(node => alive[node.id] === true && !node.named);
  for (const node of living) {
    const alike = living.filter(other => other.name === node.name);
    const isApart = (other: GraphNode) => node.kind !== 'keyBy' || domains[other.id] !== domains[node.id];
    const other = alike.find(one => one !== node && isApart(one));
    if (other !== undefined) mistake(node, alikeText(node, other, alike.indexOf(node)));
  }
}

function alikeText({ name }: GraphNode, other: GraphNode, index: number): string {
  const suggested = `${name.slice(0, 60)}-${String.fromCharCode('a'.charCodeAt(0) + (index % 26))}`;
  return (
    `nothing tells it from the one at ${other.place ?? 'another place'}, and what they keep is kept by name: ` +
    `give each a name of its own, e.g. { name: '${suggested}' }`
  );
}

function inputsOf(spec: StatefulSpec): number {
  return spec.kind === 'join' || spec.kind === 'tableJoin' ? 2 : 1;
}

/** What shows only after the split: stages that wait for one another, and subjects with two writers. */
export function validateStages(
  stages: readonly SplitStage[],
  options: { placement: Placement; owned: ReadonlySet<string>; mistake: Tell },
): void {
  const { placement, owned, mistake } = options;
  const nodeOf = (name: string) => placement.graph.nodes.find(node => node.name === name) as GraphNode;
  for (const stage of stages) {
    const way = wayBack(stage.name, stages);
    if (way === null) continue;
    const root = placement.roots.get(stage.name)?.[0];
    mistake(
      placement.graph.nodes[root ?? 0] as GraphNode,
      `records would go in a circle between stages (${way.join(' → ')}): a stage cannot wait for what is made of its ` +
        'own results. Call keyBy again, with a name, where a stream is used for the second time, so that the two uses are two stages',
    );
    break;
  }
  for (const [i, stage] of stages.entries()) {
    const namesake = stages.slice(0, i).some(other => other.name === stage.name);
    const doubles = namesake ? [stage.name] : doubleNames(stage);
    // Names that Millrace makes up end in what they are for; an author's own may look the same.
    for (const name of doubles)
      mistake(nodeOf(name), `Millrace itself calls something '${name}' here: take another name`);
  }
  for (const { name: stage, inputs } of stages) {
    const twice = inputs.find(({ name }, i) => inputs.slice(0, i).some(other => other.name === name));
    if (twice === undefined) continue;
    const roots = (placement.roots.get(stage) ?? []).map(id => placement.graph.nodes[id] as GraphNode);
    const alike = roots.filter(root => roots.some(other => other !== root && other.name === root.name));
    for (const [i, root] of alike.entries()) {
      const other = alike.find(one => one !== root && one.name === root.name) as GraphNode;
      mistake(root, alikeText(root, other, i));
    }
    if (alike.length === 0) {
      mistake(nodeOf(stage), `two of its inputs would be called '${twice.name}': take other names`);
    }
  }
  for (const sink of owned) {
    const writers = stages.filter(({ program }) =>
      program.exits.some(exit => exit.kind === 'sink' && exit.sink === sink),
    );
    if (writers.length < 2) continue;
    const names = writers.map(({ name }) => name).join(' and ');
    mistake(
      nodeOf(sink),
      `it is written by ${names}, and a subject that ends in {partition} has one writer only: give each a .to of its own, or say mode: 'shared'`,
    );
  }
}

/** Names that two stateful operators of the stage have, so that their state could not be told apart. */
function doubleNames({ program }: SplitStage): string[] {
  const names = program.nodes.filter(({ spec }) => operatorText(spec).state).map(({ name }) => name);
  return names.filter((name, i) => names.indexOf(name) < i);
}

/** The way from a stage back to itself along its inputs' writers, or null. */
function wayBack(start: string, stages: readonly SplitStage[]): string[] | null {
  const ways: string[][] = [[start]];
  const seen = new Set<string>();
  for (let way = ways.pop(); way !== undefined; way = ways.pop()) {
    const inputs = stages.find(stage => stage.name === way?.[0])?.inputs ?? [];
    for (const { from } of inputs) {
      if (from.kind !== 'stage') continue;
      if (from.stage === start) return [start, ...way];
      if (seen.has(from.stage)) continue;
      seen.add(from.stage);
      ways.push([from.stage, ...way]);
    }
  }
  return null;
}

/** All mistakes as text, each on lines of its own: place, operator, what is wrong. */
export function mistakesText(pipeline: string, mistakes: readonly Mistake[]): string {
  const count = mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`;
  const lines = mistakes.map(({ operator, place, message }) => {
    const where = [place, operator].filter(part => part !== null).join(' ');
    return where === '' ? `  ${message}` : `  ${where}: ${message}`;
  });
  return [`pipeline '${pipeline}' has ${count}:`, ...lines].join('\n');
}
