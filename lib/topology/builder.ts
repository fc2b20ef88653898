/**
 * The builder: `pipeline(name, build)` runs the author's function once and keeps the graph that it described.
 */
import type { Duration } from '../base/duration.ts';
import { bucketSubjects } from '../record/names.ts';
import { Graph, type GraphPlace, grow } from './graph.ts';
import { lettersDraft } from './letter-limits.ts';
import { type Fit, judged, judgedFunction, OBJECT } from './options.ts';
import type { LetterLimits } from './plan.ts';
import { type FromOptions, perStream, streamDraft, type TableOptions, tableDraft } from './sources.ts';
import { Stream, Table } from './stream.ts';

export const PARTITIONS_DEFAULT = 16;

/** What `pipeline` can be told. */
export interface PipelineOptions {
  /**
   * Into how many slots each stage's keys are cut: the most tasks that can ever share its work. Fixed at the first
   * deploy; 1 to 1024. Default 16.
   */
  readonly partitions?: number;
  /**
   * Names of variables that its code reads from its process's environment. Workers pass those that they were told to
   * (`millrace worker --env STRIPE_URL`) and nothing else; where one of these is missing, it is not deployed.
   */
  readonly env?: readonly string[];
  /**
   * How many dead letters and late records are kept: so many bytes, for so long; the oldest go, and that is told
   * (`letters.dropped`). Any deploy may change it. Default: 1 GiB, 30 days.
   */
  readonly letters?: { readonly maxBytes?: number; readonly maxAge?: Duration };
}

/** What a pipeline begins with. */
export interface Beginnings {
  /**
   * The records of a subject (wildcards allowed) that a JetStream stream keeps. Say what they are, by a type or by a schema;
   * without either they are `unknown`, and nothing can be read from them before `evolve` or `map` has said more. A type is
   * the author's word, a schema is checked.
   *
   *   from<Order>('shop.order', { time: 'at', maxOutOfOrder: '10m' })
   *   from('shop.order', { schema: z.object({ id: z.string() }) })
   */
  from<T = unknown>(subject: string, options?: FromOptions<T>): Stream<T>;
  /**
   * The rows of a NATS KV bucket, by their keys, for joins. Say what they are as for `from`.
   *
   *   orders.keyBy('shop').join(table<Shop>('shops'), (order, shop) => ({ city: shop.city, ...order }))
   */
  table<V = unknown>(bucket: string, options?: TableOptions<V>): Table<string, V>;
}

const PIPELINE = {
  partitions: { be: 'a number', is: value => typeof value === 'number' },
  env: {
    be: `a list of names of variables, e.g. ['STRIPE_URL']`,
    is: value => Array.isArray(value) && value.every(name => typeof name === 'string' && VARIABLE.test(name)),
  },
  letters: OBJECT,
} satisfies Record<string, Fit>;

const VARIABLE = /^[A-Za-z_]\w*$/;
const BRAND = Symbol.for('millrace.pipeline');

/** A pipeline as its author described it: what a pipeline file exports by default. */
export class Pipeline {
  readonly [BRAND] = true;
  /** Names all that the pipeline keeps in the broker. */
  readonly name: string;
  /** Slots of each stage's keys. */
  readonly partitions: number;
  /** How many letters are kept. */
  readonly letters: LetterLimits;
  /** What `build` has described. */
  readonly graph: Graph;
  /** Variables that its code reads. */
  readonly env: readonly string[];

  constructor(
    name: string,
    options: { partitions: number; env: readonly string[]; letters: LetterLimits; graph: Graph },
  ) {
    this.name = name;
    this.partitions = options.partitions;
    this.env = options.env;
    this.letters = options.letters;
    this.graph = options.graph;
  }
}

/**
 * Describes a pipeline. `build` is called once, now; mistakes in it are reported together when the pipeline is planned.
 * @param name 1 to 40 lower-case letters, digits and '-'; names all that the pipeline keeps in the broker.
 *
 *   export default pipeline('hires', ({ from }) => {
 *     from<Hired>('hr.hired').keyBy('site').window(tumbling('1h')).aggregate({ hires: count() }).to('hires.{site}');
 *   });
 */
export function pipeline(name: string, build: (beginnings: Beginnings) => void, options?: PipelineOptions): Pipeline {
  const graph = new Graph();
  const { partitions = PARTITIONS_DEFAULT, env = [], letters = {} } = judged(graph, 'pipeline', options, PIPELINE);
  const kept = lettersDraft(graph, letters);
  graph.noteOverall();
  const built: unknown = judgedFunction(
    graph,
    'pipeline',
    build,
  )({
    from<T>(subject: string, from?: FromOptions<T>) {
      const draft = streamDraft(graph, typeof subject === 'string' ? subject : '', from);
      const places = perStream(draft, from).map(({ source, given }): GraphPlace => {
        const id = graph.add('source', { kind: 'source', source }, { inputs: [], keyed: false, given });
        return { graph, id, keyed: false };
      });
      const [first, ...others] = places as [GraphPlace, ...GraphPlace[]];
      return new Stream<T>(others.length === 0 ? first : grow(first, 'merge', { kind: 'merge' }, {}, others));
    },
    table<V>(bucket: string, table?: TableOptions<V>) {
      const source = tableDraft(graph, bucketSubjects(typeof bucket === 'string' ? bucket : ''), table);
      const id = graph.add('table', { kind: 'table', source }, { inputs: [], keyed: true, given: table });
      return new Table<string, V>({ graph, id, keyed: true });
    },
  });
  if (built instanceof Promise) {
    // Its own failure, if it has one, is nobody's news any more.
    built.catch(() => {});
    graph.note(
      'the function that describes it is asynchronous: what it waits for, wait for before, at the top of the file',
    );
  }
  graph.noteOverall();
  return new Pipeline(name, { partitions, env, letters: kept, graph });
}

/** Whether it is what `pipeline` gives, of whichever copy of the library. */
export function isPipeline(value: unknown): value is Pipeline {
  return typeof value === 'object' && value !== null && (value as Partial<Pipeline>)[BRAND] === true;
}
