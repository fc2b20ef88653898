/**
 * The seam as the host holds it: orders go out by run, and what comes back is kept as the last that was said. It belongs to
 * one life of an engine; when that is over, `lose` tells everybody who waits, and the next life gets an end of its own.
 */
import { isMillraceError, MillraceError } from '../base/errors.ts';
import type { StateReader } from '../engine/views.ts';
import type { Observer } from '../observe/events.ts';
import type { Meter } from '../observe/meter.ts';
import { emptyStatus, type PipelineState, type PipelineStatus } from '../observe/status.ts';
import { tellCounted } from '../observe/tally.ts';
import type { Assignment } from '../topology/parts.ts';
import type { EngineOrder, RunningPipeline } from './engine.ts';
import { heardError } from './errors.ts';
import { farState } from './far-state.ts';
import type { Answer, Port, Question, ToEngine, ToHost } from './messages.ts';

export interface HostEndOptions {
  readonly port: Port<ToEngine>;
  readonly observer: Observer;
  /** What a pipeline of that name counts with. */
  meter(pipeline: string): Meter;
}

interface Asked {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class HostEnd {
  /** Why the engine does not answer at the moment, for a person; null: it does, as far as is known. */
  stall: string | null = null;
  /** For how long it has not, ms. */
  silentMs = 0;
  readonly #options: HostEndOptions;
  readonly #runs = new Map<number, Run>();
  readonly #asked = new Map<number, Asked>();
  #numbers = 0;
  #lost: string | null = null;

  constructor(options: HostEndOptions) {
    this.#options = options;
  }

  /** See `Engine.start`. */
  start(order: EngineOrder): Promise<RunningPipeline> {
    if (this.#lost !== null) return Promise.reject(engineLost(this.#lost));
    const number = ++this.#numbers;
    const run = new Run({ number, post: message => this.#options.port.postMessage(message), end: this });
    this.#runs.set(number, run);
    this.#options.port.postMessage({ kind: 'start', run: number, ...order });
    return run.started;
  }

  ask(run: number, question: Question): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#lost !== null) return reject(noAnswer(this.#lost));
      const number = ++this.#numbers;
      this.#asked.set(number, { resolve, reject });
      this.#options.port.postMessage({ kind: 'ask', number, run, question });
    });
  }

  /** What the engine says, `ready`, `site` and `fault` apart: those are about its thread. */
  hear(message: ToHost): void {
    switch (message.kind) {
      case 'event':
        return this.#options.observer.emit(message.event);
      case 'counted':
        return tellCounted(this.#options.meter(message.pipeline), message.counted);
      case 'answer':
        return this.#answered(message.number, message.answer);
      case 'started':
      case 'status':
        return this.#runs.get(message.run)?.heard(message.status);
      case 'stopped':
        return this.#over(message.run, null);
      case 'failed':
        return this.#over(message.run, asMillraceError(heardError(message.error)));
    }
  }

  /** The engine is gone, with all that ran in it. */
  lose(why: string): void {
    if (this.#lost !== null) return;
    this.#lost = why;
    for (const run of [...this.#runs.keys()]) this.#over(run, engineLost(why));
    for (const { reject } of this.#asked.values()) reject(noAnswer(why));
    this.#asked.clear();
  }

  #over(number: number, error: MillraceError | null): void {
    const run = this.#runs.get(number);
    this.#runs.delete(number);
    run?.over(error);
  }

  #answered(number: number, answer: Answer): void {
    const asked = this.#asked.get(number);
    this.#asked.delete(number);
    if ('error' in answer) asked?.reject(heardError(answer.error));
    else asked?.resolve(answer.value);
  }
}

const AT_WORK: ReadonlySet<PipelineState> = new Set(['starting', 'restoring', 'running', 'waiting']);

/** One start of a pipeline. */
class Run implements RunningPipeline {
  readonly started: Promise<RunningPipeline>;
  readonly failed: Promise<MillraceError>;
  readonly state: StateReader;
  readonly #number: number;
  readonly #post: (message: ToEngine) => void;
  readonly #end: Pick<HostEnd, 'stall' | 'silentMs'>;
  #status: PipelineStatus = emptyStatus('starting', null);
  #isOver = false;
  #isStopping = false;
  #resolveStarted!: (run: RunningPipeline) => void;
  #rejectStarted!: (error: MillraceError) => void;
  #resolveFailed!: (error: MillraceError) => void;
  #resolveOver!: () => void;
  readonly #overAt: Promise<void>;

  constructor(options: { number: number; post: (message: ToEngine) => void; end: HostEnd }) {
    const { number, end } = options;
    this.#number = number;
    this.#post = options.post;
    this.#end = end;
    this.started = new Promise((resolve, reject) => {
      this.#resolveStarted = resolve;
      this.#rejectStarted = reject;
    });
    this.failed = new Promise(resolve => {
      this.#resolveFailed = resolve;
    });
    this.#overAt = new Promise(resolve => {
      this.#resolveOver = resolve;
    });
    this.state = farState(question => end.ask(number, question));
  }

  heard(status: PipelineStatus): void {
    this.#status = status;
    this.#resolveStarted(this);
  }

  /** Null: as it was told to. */
  over(error: MillraceError | null): void {
    this.#isOver = true;
    this.#resolveOver();
    if (error === null) return;
    this.#rejectStarted(error);
    if (!this.#isStopping) this.#resolveFailed(error);
  }

  status(): PipelineStatus {
    const { stall, silentMs } = this.#end;
    if (stall === null || this.#isOver || !AT_WORK.has(this.#status.state)) return this.#status;
    return { ...this.#status, state: 'waiting', reason: stall, ageMs: silentMs };
  }

  assign(assignment: Assignment): void {
    if (!this.#isOver) this.#post({ kind: 'assign', run: this.#number, assignment });
  }

  stop({ deadlineMs }: { deadlineMs: number }): Promise<void> {
    if (!this.#isOver && !this.#isStopping) this.#post({ kind: 'stop', run: this.#number, deadlineMs });
    this.#isStopping = true;
    return this.#overAt;
  }
}

function engineLost(why: string): MillraceError {
  return new MillraceError('ENGINE_LOST', why);
}

function noAnswer(why: string): MillraceError {
  return new MillraceError('WORKER_UNAVAILABLE', `${why}; ask again in a moment`);
}

function asMillraceError(error: Error): MillraceError {
  if (isMillraceError(error)) return error;
  return new MillraceError('INVARIANT', `the engine failed unexpectedly: ${error.message}`, { cause: error });
}
