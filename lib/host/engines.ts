/**
 * The engine of a worker: so many threads that share its pipelines, and one more for each pipeline in quarantine. It decides
 * which threads a pipeline has (`quarantine.ts`) and what of it each of them runs (`spread.ts`), when the pipeline is started;
 * to change that is to end its run, and whoever wants it starts it again. A shared thread that is held up by a pipeline's
 * functions again and again is ended for the sake of the others in it, as one that is stuck: to wait for its turn may take for
 * ever.
 *
 * A thread of one's own has a limit of memory, so that whoever takes all of it takes his own; it lives as long as the run.
 */
import { getHeapStatistics } from 'node:v8';
import type { Clock } from '../base/clock.ts';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import type { Observer } from '../observe/events.ts';
import { LOADING, type Site, type Suspect } from '../operator/call-watch.ts';
import type { Engine, EngineOrder, PlanShape, RunningPipeline } from '../seam/engine.ts';
import type { Assignment, Part } from '../topology/parts.ts';
import { EngineThread, type EngineThreadOptions } from './engine-thread.ts';
import { type Divide, JoinedRun } from './joined-run.ts';
import { Quarantine } from './quarantine.ts';
import { loadsOf, spread } from './spread.ts';

/** What a pipeline in quarantine may take for its objects, MiB, where the process may have as much. */
export const QUARANTINE_MB = 512;
/** Its share of what state a worker's pipelines may hold in memory: with all that is made of it, it fits into that limit. */
const QUARANTINE_SHARE = 1 / 8;
/** How often it is looked who may come back. */
const LOOK_MS = 10_000;
/** How long a thread of nobody may take to end. */
const CLOSE_MS = 1_000;

export interface EnginesOptions<T>
  extends Omit<EngineThreadOptions<T>, 'name' | 'options' | 'memoryMb' | 'suspects' | 'isTooSlow' | 'harmed'> {
  /** How many threads share the pipelines, 1 or more. */
  readonly threads: number;
  /** For a thread that may hold that share of the state. */
  optionsOf(share: number): T;
}

/** A pipeline that is started here, or comes again since it was lost. */
interface Hosting {
  readonly bundle: string;
  readonly all: readonly Part[];
  /** Where each part is, by the shared threads' numbers from 0; empty where there is one thread. */
  placed: Map<Part, number>;
  run: JoinedRun | 'starting' | 'lost';
}

export class Engines<T> implements Engine {
  /** Resolves when an invariant broke in one of them: the process should end. */
  readonly fatal: Promise<MillraceError>;
  readonly #options: EnginesOptions<T>;
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #quarantine = new Quarantine();
  readonly #suspects: Suspect[] = [];
  readonly #shared: readonly EngineThread<T>[];
  /** By pipeline. */
  readonly #own = new Map<string, EngineThread<T>>();
  readonly #hosted = new Map<string, Hosting>();
  /** What threads that are gone were busy for, ms, by their names. */
  readonly #pastBusyMs = new Map<string, number>();
  #changed: () => void = () => {};
  #fail!: (error: MillraceError) => void;
  #cancelLook: (() => void) | null = null;

  constructor(options: EnginesOptions<T>) {
    this.#options = options;
    this.#clock = options.clock;
    this.#observer = options.observer;
    this.fatal = new Promise(resolve => {
      this.#fail = resolve;
    });
    const { threads } = options;
    this.#shared = Array.from({ length: threads }, (_, i) =>
      this.#made({ name: String(i + 1), share: 1 / threads, memoryMb: null, isShared: true, changed: () => {} }),
    );
  }

  open(): void {
    for (const thread of this.#shared) thread.open();
  }

  /** Nothing must run any more. What is not done after `deadlineMs` is cut off. */
  async close(options: { deadlineMs: number }): Promise<void> {
    this.#cancelLook?.();
    await Promise.all([...this.#shared, ...this.#own.values()].map(thread => thread.close(options)));
  }

  /** How long each thread was at work since the process began, ms; that of a pipeline in quarantine has its name. */
  get busyMs(): ReadonlyMap<string, number> {
    const busyMs = new Map(this.#pastBusyMs);
    for (const { name, busyMs: ms } of [...this.#shared, ...this.#own.values()]) {
      busyMs.set(name, (busyMs.get(name) ?? 0) + ms);
    }
    return busyMs;
  }

  onTrouble(changed: () => void): void {
    this.#changed = changed;
  }

  troubleOf(pipeline: string): string | null {
    return first(this.#threadsOf(pipeline).map(({ trouble }) => trouble));
  }

  stallOf(pipeline: string): string | null {
    return first(this.#threadsOf(pipeline).map(({ stall }) => stall));
  }

  /** None: one of its own is still to be made. */
  #threadsOf(pipeline: string): readonly EngineThread<T>[] {
    if (this.#whyApart(pipeline) === null) return this.#shared;
    const own = this.#own.get(pipeline);
    return own === undefined ? [] : [own];
  }

  /** Why it is to have a thread of its own; null: it is not, or it is alone and does harm to nobody. */
  #whyApart(pipeline: string): string | null {
    return this.#isAlone(pipeline) ? null : this.#quarantine.why(pipeline);
  }

  #isAlone(pipeline: string): boolean {
    return this.#hosted.size - (this.#hosted.has(pipeline) ? 1 : 0) === 0;
  }

  async start(order: EngineOrder, shape: PlanShape): Promise<RunningPipeline> {
    const { pipeline, bundle } = order;
    this.#quarantine.started(pipeline, bundle);
    const hosting: Hosting = { bundle, all: shape.parts, placed: new Map(), run: 'starting' };
    this.#hosted.set(pipeline, hosting);
    // Who was alone until now may have to go.
    for (const other of this.#hosted.keys()) if (other !== pipeline) this.#moveIfMisplaced(other);
    const quarantine = this.#whyApart(pipeline);
    if (quarantine !== null && !this.#own.has(pipeline)) await this.#openOwn(pipeline);
    const trouble = this.troubleOf(pipeline);
    if (trouble !== null) {
      hosting.run = 'lost';
      throw new MillraceError('ENGINE_LOST', trouble);
    }
    const threads = this.#threadsOf(pipeline);
    const divide = threads.length === 1 ? undivided : this.#divider(hosting);
    const ended = (error: MillraceError | null) => this.#ended(pipeline, hosting, error);
    const cut = quarantine === null ? null : () => this.#closeOwn(pipeline);
    const { clock } = this.#options;
    const run = await JoinedRun.start({ order, shape, threads, divide, quarantine, clock, cut, ended });
    if (hosting.run === 'starting') hosting.run = run;
    this.#moveIfMisplaced(pipeline);
    return run;
  }

  #divider(hosting: Hosting): Divide {
    const threads = this.#shared.length;
    return ({ number, parts, follows = [], awaits = [] }) => {
      const { all, placed } = hosting;
      // What there is to divide is not known.
      const whole = { number, parts, follows, awaits };
      if (all.length === 0) return this.#shared.map((_, thread) => (thread === 0 ? whole : null));
      const loads = new Array<number>(threads).fill(0);
      for (const other of this.#hosted.values()) {
        if (other === hosting) continue;
        for (const [thread, load] of loadsOf(other.placed, { all: other.all, threads }).entries())
          loads[thread]! += load;
      }
      const owned = new Set(parts === 'all' ? all : parts);
      // Whoever is to take over what he follows has it where he follows it.
      const here = [...owned, ...follows.filter(part => !owned.has(part))];
      hosting.placed = spread({ parts: here, all, loads, present: placed });
      return loads.map((_, thread) => {
        const isIts = (part: Part) => hosting.placed.get(part) === thread;
        const [own, followed] = [[...owned].filter(isIts), follows.filter(isIts)];
        if (own.length + followed.length === 0) return null;
        return { number, parts: own, follows: followed, awaits: awaits.filter(isIts) };
      });
    };
  }

  /** All of a run has ended, or could not start. @param error null: as it was told to */
  #ended(pipeline: string, hosting: Hosting, error: MillraceError | null): void {
    hosting.run = 'lost';
    hosting.placed = new Map();
    const isCurrent = this.#hosted.get(pipeline) === hosting;
    if (isCurrent && !isMillraceError(error, 'ENGINE_LOST')) this.#hosted.delete(pipeline);
    // One that was lost comes back by itself, and the run in it.
    if (isCurrent && this.#own.get(pipeline)?.trouble === null) this.#closeOwn(pipeline);
  }

  /** Resolves when it takes orders, or has trouble to begin. */
  #openOwn(pipeline: string): Promise<void> {
    const memoryMb = Math.min(QUARANTINE_MB, Math.floor(getHeapStatistics().heap_size_limit / 2 ** 20));
    this.#cancelLook ??= this.#clock.after(LOOK_MS, () => this.#look());
    return new Promise(resolve => {
      const thread = this.#made({
        name: pipeline,
        share: QUARANTINE_SHARE,
        memoryMb,
        isShared: false,
        changed: resolve,
      });
      this.#own.set(pipeline, thread);
      thread.open();
    });
  }

  #closeOwn(pipeline: string): void {
    const own = this.#own.get(pipeline);
    if (own === undefined) return;
    this.#own.delete(pipeline);
    // At once, so that the sum never becomes less.
    this.#pastBusyMs.set(own.name, (this.#pastBusyMs.get(own.name) ?? 0) + own.busyMs);
    void own.close({ deadlineMs: CLOSE_MS });
  }

  #made(of: {
    name: string;
    share: number;
    memoryMb: number | null;
    isShared: boolean;
    changed: () => void;
  }): EngineThread<T> {
    const { name, share, memoryMb, isShared, changed } = of;
    const thread: EngineThread<T> = new EngineThread<T>({
      ...this.#options,
      meter: pipeline => this.#options.meter(pipeline),
      name,
      memoryMb,
      options: this.#options.optionsOf(share),
      suspects: this.#suspects,
      isTooSlow: site => this.#isTooSlow(site, isShared),
      harmed: (site, how) => {
        for (const pipeline of this.#pipelinesOf(site)) this.#suspect(pipeline, `a function of ${nameOf(site)} ${how}`);
      },
    });
    thread.onTrouble(() => {
      changed();
      this.#changed();
    });
    void thread.fatal.then(error => this.#fail(error));
    return thread;
  }

  /** Those of a bundle, where it was being loaded. */
  #pipelinesOf({ operator, pipeline }: Site): string[] {
    if (operator !== LOADING) return [pipeline];
    return [...this.#hosted].flatMap(([name, { bundle }]) => (bundle === pipeline ? [name] : []));
  }

  #isTooSlow(site: Site, isShared: boolean): boolean {
    const { operator, pipeline } = site;
    // Where it is alone it holds up nobody.
    if (operator === LOADING || this.#isAlone(pipeline)) return false;
    const isAgain = this.#quarantine.isSlow(pipeline, this.#clock.monotonic());
    if (!isAgain && this.#quarantine.why(pipeline) === null) return false;
    this.#suspect(pipeline, `functions of ${operator} hold their thread for more than a second a call`);
    return isShared;
  }

  #suspect(pipeline: string, why: string): void {
    if (!this.#quarantine.suspect(pipeline, why, this.#clock.monotonic())) return;
    const message = `${why}; it has a thread of its own as long as others run here`;
    this.#observer.emit({ event: 'pipeline.quarantined', level: 'warn', pipeline, message });
    this.#moveIfMisplaced(pipeline);
  }

  /** Ends its run where it does not belong, so that it is started again where it does. */
  #moveIfMisplaced(pipeline: string): void {
    const run = this.#hosted.get(pipeline)?.run;
    if (!(run instanceof JoinedRun)) return;
    const why = this.#whyApart(pipeline);
    if (why !== null && run.quarantine === null) {
      run.fail(new MillraceError('ENGINE_LOST', `it is started in a thread of its own: ${why}`));
    }
    if (this.#quarantine.why(pipeline) === null && run.quarantine !== null) {
      run.fail(new MillraceError('ENGINE_LOST', 'it is started among others again'));
    }
  }

  #look(): void {
    for (const [pipeline, own] of this.#own) {
      const run = this.#hosted.get(pipeline)?.run ?? 'lost';
      // Whoever wanted it would have started it by now.
      if (run === 'lost' && own.trouble === null) this.#closeOwn(pipeline);
      if (!(run instanceof JoinedRun)) continue;
      const { counts } = run.status();
      if (counts.partial || !this.#quarantine.hasRecovered(pipeline, counts.in, this.#clock.monotonic())) continue;
      this.#observer.emit({ event: 'pipeline.released', level: 'info', pipeline });
      this.#moveIfMisplaced(pipeline);
    }
    this.#cancelLook = this.#own.size === 0 ? null : this.#clock.after(LOOK_MS, () => this.#look());
  }
}

const undivided: Divide = (assignment: Assignment) => [assignment];

function first(texts: readonly (string | null)[]): string | null {
  return texts.find(text => text !== null) ?? null;
}

function nameOf({ operator }: Site): string {
  return operator === LOADING ? 'its bundle' : operator;
}
