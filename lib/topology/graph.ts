/**
 * The graph: what a pipeline's author has said, before any of it is placed. The builder adds nodes, each after its
 * inputs, so ids are a topological order. What is wrong with a single call is noted here and the call goes on with
 * something harmless: authors see all their mistakes at once.
 */
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Duration } from '../base/duration.ts';
import { durationMs, positiveDurationMs } from '../base/duration.ts';
import { messageOf } from '../base/errors.ts';
import { PROJECT_ROOT } from '../base/place.ts';
import type { SinkMode, SinkSpec } from '../commit/sink-spec.ts';
import type { StatefulSpec, StatelessSpec } from '../operator/spec.ts';
import { OPERATOR_NAME } from '../record/names.ts';
import type { SourceSpec } from '../source/spec.ts';

/** One mistake of the author's, and where it was made. */
export interface Mistake {
  /** The operator, source or sink; null: the pipeline itself. */
  readonly operator: string | null;
  /** `file:line:column` of the call; null: unknown. */
  readonly place: string | null;
  /** What is wrong and what to do. */
  readonly message: string;
}

/** What `to` was told; the planner decides the rest. */
export interface SinkDraft {
  readonly template: string;
  readonly mode: SinkMode | null;
  readonly frame: SinkSpec['frame'] | null;
  readonly format: SinkSpec['format'] | null;
  /** The stream that the author named. */
  readonly stream: string | null;
}

/** A source or table, but for the stream, which only the broker knows. */
export type SourceDraft = Omit<SourceSpec, 'stream' | 'name'>;

export type DedupeSpec = Extract<StatefulSpec, { kind: 'dedupe' }>;

export type NodeBody =
  | { readonly kind: 'source'; readonly source: SourceDraft }
  | { readonly kind: 'table'; readonly source: SourceDraft }
  /** `arm`: one of a branch's outputs, which share no record. */
  | { readonly kind: 'stateless'; readonly spec: StatelessSpec; readonly arm: boolean }
  | { readonly kind: 'merge' }
  | { readonly kind: 'keyBy'; readonly fn: (value: unknown) => string | null }
  /** `across`: copies of one event may differ in their keys. `carry` computes the id ahead of its judgement. */
  | {
      readonly kind: 'dedupe';
      readonly spec: DedupeSpec;
      readonly idOf: (value: unknown) => string;
      readonly across: boolean;
    }
  | { readonly kind: 'stateful'; readonly spec: StatefulSpec }
  | { readonly kind: 'sink'; readonly sink: SinkDraft };

export type GraphNode<B extends NodeBody = NodeBody> = B & {
  readonly id: number;
  readonly name: string;
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

/** Nodes without a name are numbered within their kind; what is called after the author's own words stands alone. */
const KINDS = new Set('map filter flatMap evolve branch merge dedupe join tableJoin window process to'.split(' '));

export class Graph {
  readonly nodes: GraphNode[] = [];
  readonly mistakes: Mistake[] = [];
  #names = new Set<string>();
  #notes: string[] = [];

  /** @param title the kind, or what else an unnamed node is called after: `join` → `join-1`, `by-site` → `by-site`. */
  add(title: string, body: NodeBody, options: { inputs: readonly number[]; keyed: boolean; name?: string }): number {
    const id = this.nodes.length;
    const place = callPlace();
    const name = options.name ?? this.#nextName(title);
    if (!OPERATOR_NAME.test(name)) {
      this.note(`the name ${JSON.stringify(name)} cannot be used: take 1 to 64 letters, digits, '-' or '_'`);
    }
    const namesake = this.nodes.find(node => node.name === name);
    if (namesake !== undefined)
      this.note(`the name '${name}' is taken (${namesake.place}): names are unique in a pipeline`);
    this.#names.add(name);
    for (const message of this.#notes) this.mistakes.push({ operator: name, place, message });
    this.#notes = [];
    this.nodes.push({ ...body, id, name, place, inputs: options.inputs, keyed: options.keyed });
    return id;
  }

  #nextName(title: string): string {
    let name = title;
    for (let number = KINDS.has(title) ? 1 : 2; KINDS.has(name) || this.#names.has(name); number++) {
      name = `${title}-${number}`;
    }
    return name;
  }

  /** Notes a mistake in the node that is being made; `add` gives it name and place. */
  note(message: string): void {
    this.#notes.push(message);
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

/** Adds a node after `place`, and after `others` on its further ports. Its records are keyed if `place` says so. */
export function grow(
  place: GraphPlace,
  title: string,
  body: NodeBody,
  options: { readonly name?: string },
  others: readonly (GraphPlace | undefined)[] = [],
): GraphPlace {
  const { graph, keyed } = place;
  const inputs = [place.id];
  for (const other of others) {
    if (other === undefined || other.graph !== graph) graph.note('the other side is no stream of this pipeline');
    else if (keyed && !other.keyed) graph.note('the other side has no key: call keyBy on it first');
    else inputs.push(other.id);
  }
  const named = options.name === undefined ? {} : { name: options.name };
  return { graph, keyed, id: graph.add(title, body, { inputs, keyed, ...named }) };
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
