/**
 * The seam as the engine holds it: carries out orders, one pipeline a run, and says what becomes of each. It lives in the
 * thread that runs the author's code, with ports of its own; what it is not told in an order it fetches itself (bundles, also
 * of code that ran before).
 *
 * Statuses and counts are pushed a few times a second and only when they have changed, so that an engine at rest says nothing.
 */
import type { Clock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import type { PlanBundle } from '../bundle/compile.ts';
import { storedBundle } from '../bundle/stored.ts';
import { type Pipeline, type PipelineOptions, startPipeline } from '../engine/pipeline.ts';
import type { Observer } from '../observe/events.ts';
import { Tally } from '../observe/tally.ts';
import type { CallWatch } from '../operator/call-watch.ts';
import { OneInHand } from '../task/breaker.ts';
import { Budget } from '../task/budget.ts';
import type { Plan } from '../topology/plan.ts';
import { tellError } from './errors.ts';
import { answerState } from './far-state.ts';
import type { Answer, Port, Question, StartOrder, ToEngine, ToHost } from './messages.ts';
import { programsOf } from './programs.ts';

/** How often it is looked whether there is something to say. */
const LOOK_MS = 200;

export interface EngineEndOptions {
  readonly port: Port<ToHost>;
  /** What all pipelines share, but what the seam itself brings. */
  readonly around: Omit<PipelineOptions['around'], 'observer' | 'meter' | 'watchCalls'>;
  readonly plan: PlanBundle;
  readonly callWatch: CallWatch;
  /** What all pipelines may hold together. Default: what `Budget` says. */
  readonly budget?: Budget;
  /** The limits of every pipeline's tasks, where they are not to follow from the budget. */
  readonly limits?: PipelineOptions['limits'];
}

interface Running {
  readonly pipeline: Pipeline;
  /** The last status that was said, as JSON. */
  said: string;
}

export class EngineEnd {
  readonly #options: EngineEndOptions;
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #running = new Map<number, Running>();
  readonly #budget: Budget;
  readonly #inHand = new OneInHand();
  /** By pipeline; they stay, since what is counted is of the name. */
  readonly #tallies = new Map<string, Tally>();
  #cancelLook: (() => void) | null = null;

  constructor(options: EngineEndOptions) {
    this.#options = options;
    this.#clock = options.around.clock;
    this.#budget = options.budget ?? new Budget();
    this.#observer = { emit: event => this.#say({ kind: 'event', event }) };
  }

  /** Carries out what the host says; `close` is its owner's. */
  hear(message: ToEngine): void {
    switch (message.kind) {
      case 'start':
        void this.#start(message);
        break;
      case 'assign':
        this.#running.get(message.run)?.pipeline.assign(message.assignment);
        break;
      case 'stop':
        void this.#stop(message);
        break;
      case 'ask':
        void this.#answer(message.number, () => this.#look(message.run, message.question));
        break;
      case 'close':
        this.#cancelLook?.();
        break;
    }
  }

  async #start(order: StartOrder): Promise<void> {
    const { run, pipeline: name, life, revision, bundle } = order;
    const { around, callWatch, limits = {} } = this.#options;
    try {
      const plan = withSince(await this.#planOf(order, bundle), order.since);
      callWatch.checkStart(name, revision);
      const pipeline = await startPipeline({
        plan,
        around: {
          ...around,
          observer: this.#observer,
          meter: this.#tally(name),
          watchCalls: (operator, cursor) => callWatch.at({ pipeline: name, revision, operator }, cursor),
        },
        life,
        revision,
        programs: programsOf(order, former => this.#planOf(order, former)),
        assignment: order.assignment,
        budget: this.#budget,
        inHand: this.#inHand,
        limits,
      });
      const status = pipeline.status();
      this.#running.set(run, { pipeline, said: JSON.stringify(status) });
      this.#say({ kind: 'started', run, status });
      void pipeline.failed.then(error => this.#failed(run, error));
      this.#cancelLook ??= this.#clock.after(LOOK_MS, () => this.#push());
    } catch (error) {
      this.#failed(run, error);
    }
  }

  #failed(run: number, error: unknown): void {
    this.#pushCounts();
    this.#running.delete(run);
    this.#say({ kind: 'failed', run, error: tellError(error) });
  }

  async #stop({ run, deadlineMs }: { readonly run: number; readonly deadlineMs: number }): Promise<void> {
    await this.#running.get(run)?.pipeline.stop({ deadlineMs });
    this.#pushCounts();
    this.#running.delete(run);
    this.#say({ kind: 'stopped', run });
  }

  async #answer(number: number, answer: () => Promise<unknown>): Promise<void> {
    const told: Answer = await answer().then(
      value => ({ value }),
      error => ({ error: tellError(error) }),
    );
    this.#say({ kind: 'answer', number, answer: told });
  }

  async #look(run: number, question: Question): Promise<unknown> {
    const running = this.#running.get(run);
    if (running === undefined) {
      throw new MillraceError('WORKER_UNAVAILABLE', 'the pipeline has stopped, so its state cannot be read now');
    }
    return answerState(running.pipeline.state, question);
  }

  #push(): void {
    for (const [run, running] of this.#running) {
      const status = running.pipeline.status();
      const text = JSON.stringify(status);
      if (text === running.said) continue;
      running.said = text;
      this.#say({ kind: 'status', run, status });
    }
    this.#pushCounts();
    this.#cancelLook = this.#running.size === 0 ? null : this.#clock.after(LOOK_MS, () => this.#push());
  }

  #pushCounts(): void {
    for (const [pipeline, tally] of this.#tallies) {
      const counted = tally.take();
      if (counted !== null) this.#say({ kind: 'counted', pipeline, counted });
    }
  }

  #tally(pipeline: string): Tally {
    let tally = this.#tallies.get(pipeline);
    if (tally === undefined) this.#tallies.set(pipeline, (tally = new Tally()));
    return tally;
  }

  async #planOf({ pipeline, file }: StartOrder, bundle: string): Promise<Plan> {
    const { around, callWatch, plan } = this.#options;
    const stored = await storedBundle(around.blobs, { pipeline, bundle, file });
    return callWatch.loading(stored, () => plan(stored));
  }

  #say(message: ToHost): void {
    this.#options.port.postMessage(message);
  }
}

/** The plan with what its owned sinks must not take for their own: all that was there before the deploy. */
export function withSince(plan: Plan, since: Readonly<Record<string, number>>): Plan {
  const sinks = plan.sinks.map(sink => {
    const sinceSeq = since[sink.name];
    return sinceSeq === undefined ? sink : { ...sink, target: { ...sink.target, sinceSeq } };
  });
  return { ...plan, sinks };
}
