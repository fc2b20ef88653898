/**
 * The planner: from a pipeline as its author described it to the plan that everything is built from.
 *
 *   1 askBroker       what is known of streams (the only step that waits); assumedView, where nobody can be asked
 *   2 place           which nodes share a stage
 *   3 validate        the whole; what has mistakes is not split
 *   4 resolve         sources and sinks to their streams
 *   5 split           into readers and stages
 */
import { MillraceError } from '../base/errors.ts';
import { lettersStream } from '../record/names.ts';
import { assumedView } from './assumed.ts';
import { askBroker, type Broker, type BrokerView } from './broker.ts';
import type { Pipeline } from './builder.ts';
import { arriving, changesOf } from './changes.ts';
import { loopsOf, loopText } from './copies.ts';
import { fingerprintOf } from './fingerprint.ts';
import { fitsFor, lettersAgainst } from './fits.ts';
import { type Graph, type GraphNode, isSink, isSource, type Mistake } from './graph.ts';
import { place } from './placement.ts';
import type { Plan } from './plan.ts';
import { resolveSinks } from './sink-streams.ts';
import { resolveSources } from './source-streams.ts';
import { split } from './split.ts';
import { mistakesText, tooManySources, validateGraph, validatePipeline, validateStages } from './validate.ts';

export type Planned = { readonly plan: Plan } | { readonly mistakes: readonly Mistake[] };

/** @param broker null: nobody is asked, and streams are taken to be as the pipeline needs them. */
export async function plan(pipeline: Pipeline, broker: Broker | null): Promise<Planned> {
  const { graph } = pipeline;
  // Nobody is asked about each of too many.
  const isAssumed = broker === null || tooManySources(graph) !== null;
  return planWith(pipeline, isAssumed ? assumedView(graph) : await askBroker(broker, pipeline));
}

/** As `plan`, for those who cannot go on with mistakes. Throws PLAN_INVALID that lists them all. */
export async function planOrThrow(pipeline: Pipeline, broker: Broker | null): Promise<Plan> {
  const planned = await plan(pipeline, broker);
  if ('plan' in planned) return planned.plan;
  throw new MillraceError('PLAN_INVALID', mistakesText(pipeline.name, planned.mistakes));
}

/** Pure: the same pipeline and the same answers of the broker make the same plan. */
export function planWith(pipeline: Pipeline, view: BrokerView): Planned {
  const { graph, name } = pipeline;
  const many = tooManySources(graph);
  if (many !== null) return { mistakes: [{ operator: null, place: null, message: many }] };
  const mistakes: Mistake[] = [];
  const mistake = (node: GraphNode, message: string) =>
    mistakes.push({ operator: node.name, place: node.place, message });
  const overall = (message: string) => mistakes.push({ operator: null, place: null, message });

  validatePipeline(pipeline, overall);
  mistakes.push(...graph.mistakes);
  const placement = place(graph);
  const wrong = new Set<number>();
  const whole = (node: GraphNode, message: string) => wrong.add(node.id) && mistake(node, message);
  validateGraph(placement, { mistake: whole, pipeline: overall });
  // A source or sink whose subject is wrong needs no advice about its stream.
  const right = graph.nodes.filter(node => !wrong.has(node.id));
  const warnings = new Set<string>();
  const fits = fitsFor(graph, { mistake, warn: text => warnings.add(text) });
  const sources = resolveSources(right.filter(isSource), { view, mistake, fits });
  const taken = new Set([...sources.values()].filter(({ capture }) => capture !== null).map(({ stream }) => stream));
  const sinks = resolveSinks(right.filter(isSink), { pipeline: name, view, mistake, fits, taken });
  for (const { sink, source } of loopsOf(sinks, { sources: [...sources.values()], infoOf: view.info })) {
    const node = right.find(({ name: own }) => own === sink.name);
    if (node !== undefined) mistake(node, loopText(sink, source));
  }
  for (const text of lettersAgainst(name, view.info(lettersStream(name)))) overall(text);
  if (mistakes.length > 0) return { mistakes };

  const { readers, stages } = split(placement);
  const owned = new Set(sinks.filter(sink => sink.target.mode === 'owned').map(sink => sink.name));
  validateStages(stages, { placement, owned, mistake });
  if (mistakes.length > 0) return { mistakes };

  const specOf = (node: GraphNode) => {
    const spec = sources.get(node.id);
    if (spec === undefined) throw new MillraceError('INVARIANT', `source ${node.name} has no stream`);
    return spec;
  };
  const draft: Omit<Plan, 'fingerprint'> = {
    pipeline: name,
    readers: readers.map(({ source, program }) => ({ name: source.name, source: specOf(source), program })),
    stages: stages.map(({ source, ...stage }) => ({
      ...stage,
      partitions: source === null ? pipeline.partitions : 1,
      direct: source === null ? null : specOf(source),
    })),
    sinks,
    env: pipeline.env,
    letters: pipeline.letters,
    changing: changingOf(graph),
    warnings: [...warnings],
  };
  return { plan: { ...draft, fingerprint: fingerprintOf(draft) } };
}

function changingOf(graph: Graph): string[] {
  const carried = changesOf(graph);
  return graph.nodes.filter(node => isSink(node) && arriving(node, carried) !== null).map(({ name }) => name);
}
