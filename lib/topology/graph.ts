/**
 * The graph: what a pipeline's author has said, before any of it is placed. The builder adds nodes, each after its
 * inputs, so ids are a topological order. What is wrong with a single call is noted here and the call goes on with
 * something harmless: authors see all their mistakes at once.
 */
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Duration } from '../base/duration.ts';
import { durationMs, positiveDurationMs } from '../base/duration.ts';
import { MillraceError, messageOf } from '../base/errors.ts';
import { PROJECT_ROOT } from '../base/place.ts';
import { OPERATOR_NAME } from '../record/names.ts';
import type { NodeBody } from './node.ts';
import { type Making, makingOf, titleOf } from './titles.ts';

/** One mistake of the author's, and where it was made. */
export interface Mistake {
  /** The operator, source or sink; null: the pipeline itself. */
  readonly operator: string | null;
  /** `file:line:column` of the call; null: unknown. */
  readonly place: string | null;
  /** What is wrong and what to do. */
  readonly message: string;
}

export type GraphNode<B extends NodeBody = NodeBody> = B & {
  readonly id: number;
  readonly name: string;
  /** The author gave the name; else it is the node's title, or a number. */
  readonly named: boolean;
  readonly making: Making;
  readonly place: string | null;
  /** In the order of the operator's ports. */
  readonly inputs: readonly number[];
  /** Its records have a key. */
  readonly keyed: boolean;
};

/** Where in a graph a stream comes from. */
export interface GraphPlace {
  readonly graph: Graph;
  readonly id: number;
  readonly keyed: boolean;
}

/** Sources, operators and sinks of a pipeline, together: to plan them takes time that grows faster than they do. */
export const NODES_MAX = 500;

export class Graph {
  readonly nodes: GraphNode[] = [];
  /** The last number given, by kind. */
  readonly #numbers = new Map<string, number>();
  readonly mistakes: Mistake[] = [];
  #notes: string[] = [];

  /**
   * @param kind what a node that keeps nothing is numbered within: `map` → `map-1`
   * @param options.given the author's options, for the name in them
   * Throws PLAN_INVALID at once where there are too many: an author's loop may never come to an end.
   */
  add(kind: string, body: NodeBody, options: { inputs: readonly number[]; keyed: boolean; given: unknown }): number {
    const id = this.nodes.length;
    if (id >= NODES_MAX) {
      const text = `a pipeline has at most ${NODES_MAX} sources, operators and sinks (NODES_MAX): divide it into several`;
      throw new MillraceError('PLAN_INVALID', text);
    }
    const place = callPlace();
    const inputs = options.inputs.map(input => (this.nodes[input] as GraphNode).making);
    const given = nameIn(options.given);
    const named = given !== null;
    const name = given ?? (titleOf(body, inputs) || this.#numbered(kind));
    if (!OPERATOR_NAME.test(name)) {
      this.note(`the name ${JSON.stringify(name)} cannot be used: take 1 to 64 letters, digits, '-' or '_'`);
    }
    // Titles that come out alike are judged when it is known what they stand for (validate.ts).
    const namesake = this.nodes.find(node => node.name === name && (named || node.named));
    if (namesake !== undefined)
      this.note(`the name '${name}' is taken (${namesake.place}): names are unique in a pipeline`);
    for (const message of this.#notes) this.mistakes.push({ operator: name, place, message });
    this.#notes = [];
    const making = makingOf(body, name, inputs);
    this.nodes.push({ ...body, id, name, named, making, place, inputs: options.inputs, keyed: options.keyed });
    return id;
  }

  #numbered(kind: string): string {
    let number = (this.#numbers.get(kind) ?? 0) + 1;
    while (this.nodes.some(node => node.name === `${kind}-${number}`)) number++;
    this.#numbers.set(kind, number);
    return `${kind}-${number}`;
  }

  /** Notes a mistake in the node that is being made; `add` gives it name and place. */
  note(message: string): void {
    this.#notes.push(message);
  }

  /** What has been noted and is of no node is of the pipeline itself. */
  noteOverall(): void {
    const place = this.#notes.length === 0 ? null : callPlace();
    for (const message of this.#notes) this.mistakes.push({ operator: null, place, message });
    this.#notes = [];
  }

  /** Runs what may throw on the author's behalf: then the mistake is noted and `otherwise` taken. */
  attempt<V>(what: () => V, otherwise: V): V {
    try {
      return what();
    } catch (error) {
      this.note(messageOf(error));
      return otherwise;
    }
  }

  /** Reads a duration ≥ 0. */
  duration(duration: Duration, what: string): number {
    return this.attempt(() => durationMs(duration, what), 1);
  }

  /** Reads a duration > 0. */
  length(duration: Duration, what: string): number {
    return this.attempt(() => positiveDurationMs(duration, what), 1);
  }
}

/** The name in an author's options; null: none, or none that was not noted where they were judged. */
function nameIn(options: unknown): string | null {
  if (typeof options !== 'object' || options === null || !('name' in options)) return null;
  return typeof options.name === 'string' ? options.name : null;
}

/** Adds a node after `place`, and after `others` on its further ports. Its records are keyed if `place` says so. */
export function grow(
  place: GraphPlace,
  kind: string,
  body: NodeBody,
  options: unknown,
  others: readonly (GraphPlace | undefined)[] = [],
): GraphPlace {
  const { graph, keyed } = place;
  const inputs = [place.id];
  for (const other of others) {
    if (other === undefined || other.graph !== graph) graph.note('the other side is no stream of this pipeline');
    else if (keyed && !other.keyed) graph.note('the other side has no key: call keyBy on it first');
    else inputs.push(other.id);
  }
  return { graph, keyed, id: graph.add(kind, body, { inputs, keyed, given: options }) };
}

/** A dedupe before `keyBy`: the planner finds the place where copies are judged. */
export function isUnkeyedDedupe(node: GraphNode): node is GraphNode & { kind: 'dedupe' } {
  return node.kind === 'dedupe' && !node.keyed;
}

export type SourceNode = GraphNode & { kind: 'source' | 'table' };
export type SinkNode = GraphNode & { kind: 'sink' };

export function isSource(node: GraphNode): node is SourceNode {
  return node.kind === 'source' || node.kind === 'table';
}

export function isSink(node: GraphNode): node is SinkNode {
  return node.kind === 'sink';
}

const OWN_FOLDER = fileURLToPath(new URL('.', import.meta.url));
const FRAME = /\(?((?:file:\/\/|pipeline:\/\/)?\/[^()]*?):(\d+):(\d+)\)?$/;
const FRAMES_MAX = 30;

/**
 * Where in the author's code the call was made: `file:line:column` of the nearest caller outside this folder, relative
 * to the project in a bundle and to the working directory otherwise; null: unknown. Read from a stack trace, so it needs
 * no transform of the author's code and is right wherever the runtime maps its sources.
 */
function callPlace(): string | null {
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES_MAX;
  const stack = new Error().stack ?? '';
  Error.stackTraceLimit = before;
  for (const line of stack.split('\n').slice(1)) {
    const frame = FRAME.exec(line);
    if (frame === null) continue;
    const file = pathOf(frame[1] as string);
    if (file.startsWith(PROJECT_ROOT)) return `${file.slice(PROJECT_ROOT.length)}:${frame[2]}:${frame[3]}`;
    if (file.startsWith(OWN_FOLDER)) continue;
    const near = relative(process.cwd(), file);
    return `${near.startsWith('..') ? file : near}:${frame[2]}:${frame[3]}`;
  }
  return null;
}

function pathOf(file: string): string {
  return file.startsWith('file://') ? fileURLToPath(file.replace(/\?.*$/, '')) : file;
}
