/**
 * One pipeline as a worker hosts it: a loop that brings about what is wanted, one step at a time. It owns the running
 * pipeline and its phase; what to do next is decided in `reconcile.ts`, what is wanted comes from `worker.ts`.
 *
 * A step that has begun is finished before the next is decided, so a pipeline is never started while its former revision
 * is still stopping. A pipeline that is lost with the engine has not failed: it is wanted still, so it is started again as
 * soon as the engine takes orders.
 */
import type { Clock } from '../base/clock.ts';
import { isMillraceError, MillraceError, messageOf } from '../base/errors.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import { emptyStatus, type PipelineCounts, type PipelineStatus } from '../observe/status.ts';
import type { Engine, RunningPipeline } from '../seam/engine.ts';
import { failedPhase, nextStep, type Phase, type Wanted } from './reconcile.ts';

export interface HostedOptions {
  readonly name: string;
  readonly clock: Clock;
  readonly observer: Observer;
  /** How long a stop may take that makes room for a new revision. */
  readonly stopMs: number;
  readonly engine: Pick<Engine, 'troubleOf' | 'stallOf'>;
  start(revision: number): Promise<RunningPipeline>;
  clear(revision: number): Promise<void>;
  /** A broken invariant: the process should end. */
  fatal(error: MillraceError): void;
}

export class Hosted {
  readonly #options: HostedOptions;
  #phase: Phase = { kind: 'idle' };
  #wanted: Wanted = null;
  #closed = false;
  #deadlineMs: number;
  /** What it had done when it ran last; null: not known. */
  #counts: PipelineCounts | null = null;
  #wake: (() => void) | null = null;
  /** Something changed since the loop last looked. */
  #stirred = false;
  readonly #done: Promise<void>;

  constructor(options: HostedOptions) {
    this.#options = options;
    this.#deadlineMs = options.stopMs;
    this.#done = this.#run();
  }

  want(wanted: Wanted): void {
    if (this.#closed) return;
    this.#wanted = wanted;
    this.stir();
  }

  /** The engine's `trouble` has changed. */
  stir(): void {
    this.#stirred = true;
    this.#wake?.();
  }

  /** Stops what runs and ends the loop. */
  close(options: { deadlineMs: number }): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#wanted = null;
      this.#deadlineMs = options.deadlineMs;
      this.stir();
    }
    return this.#done;
  }

  /** The pipeline while it runs; null: it does not. */
  get running(): RunningPipeline | null {
    return this.#phase.kind === 'running' ? this.#phase.pipeline : null;
  }

  /** The revision that the status is of; null: nothing of it is here. */
  get revision(): number | null {
    return this.#phase.kind === 'idle' ? null : this.#phase.revision;
  }

  /** Where nothing says what it has done, what is known of before it was stopped. */
  status(): PipelineStatus {
    const status = this.#status();
    return status.counts.partial && this.#counts !== null ? { ...status, counts: this.#counts } : status;
  }

  #rememberCounts({ counts }: PipelineStatus): void {
    if (!counts.partial) this.#counts = counts;
  }

  #status(): PipelineStatus {
    const phase = this.#phase;
    const { engine, name } = this.#options;
    const trouble = engine.troubleOf(name);
    switch (phase.kind) {
      case 'running':
        return phase.pipeline.status();
      case 'stopping':
        return { ...phase.pipeline.status(), state: 'stopping' };
      case 'starting':
        return emptyStatus('starting', trouble ?? engine.stallOf(name));
      case 'clearing':
        return emptyStatus('stopping', 'its state is being deleted');
      case 'failed': {
        const again =
          phase.retryAtMs === null
            ? 'mend the cause, then restart or deploy it again'
            : `next try in ${Math.max(0, Math.ceil((phase.retryAtMs - this.#options.clock.monotonic()) / 1_000))} s`;
        return emptyStatus('failed', `${phase.error.code}: ${phase.error.message} (${again})`);
      }
      case 'idle':
        if (this.#wanted?.do === 'run' && trouble !== null) return emptyStatus('starting', trouble);
        return emptyStatus('stopped', null);
      case 'cleared':
        return emptyStatus('stopped', null);
    }
  }

  async #run(): Promise<void> {
    while (true) {
      this.#stirred = false;
      const step = nextStep(this.#phase, this.#wanted, {
        nowMs: this.#options.clock.monotonic(),
        engineUp: this.#options.engine.troubleOf(this.#options.name) === null,
      });
      if (step.do === 'start') await this.#start(step.revision);
      else if (step.do === 'clear') await this.#clear(step.revision);
      else if (step.do === 'stop') await this.#stop();
      else if (step.do === 'rest') this.#phase = { kind: 'idle' };
      else if (this.#closed) return;
      else await this.#stirredOr(step.untilMs);
    }
  }

  async #start(revision: number): Promise<void> {
    const { clock, name, observer } = this.#options;
    const attempt = this.#attempt(revision);
    this.#phase = { kind: 'starting', revision };
    let pipeline: RunningPipeline;
    try {
      pipeline = await this.#options.start(revision);
    } catch (error) {
      this.#fail(error, { revision, attempt, ranMs: 0 });
      return;
    }
    const sinceMs = clock.monotonic();
    this.#phase = { kind: 'running', revision, pipeline, sinceMs, attempt };
    observer.emit({ event: 'pipeline.started', level: 'info', pipeline: name, revision });
    void pipeline.failed.then(error => {
      if (this.#phase.kind !== 'running' || this.#phase.pipeline !== pipeline) return;
      this.#fail(error, { revision, attempt, ranMs: clock.monotonic() - sinceMs });
      this.stir();
    });
  }

  async #stop(): Promise<void> {
    if (this.#phase.kind !== 'running') return;
    const { revision, pipeline } = this.#phase;
    this.#phase = { kind: 'stopping', revision, pipeline };
    await pipeline.stop({ deadlineMs: this.#deadlineMs });
    this.#rememberCounts(pipeline.status());
    this.#phase = { kind: 'idle' };
    this.#options.observer.emit({ event: 'pipeline.stopped', level: 'info', pipeline: this.#options.name, revision });
  }

  async #clear(revision: number): Promise<void> {
    const attempt = this.#attempt(revision);
    this.#phase = { kind: 'clearing', revision };
    try {
      await this.#options.clear(revision);
      this.#counts = null;
      this.#phase = { kind: 'cleared', revision };
    } catch (error) {
      this.#fail(error, { revision, attempt, ranMs: 0 });
    }
  }

  /** How often this revision has failed in a row. */
  #attempt(revision: number): number {
    return this.#phase.kind === 'failed' && this.#phase.revision === revision ? this.#phase.attempt : 0;
  }

  #fail(thrown: unknown, from: { revision: number; attempt: number; ranMs: number }): void {
    if (this.#phase.kind === 'running') this.#rememberCounts(this.#phase.pipeline.status());
    // Nothing of it is here any more, and it is none of its fault.
    if (isMillraceError(thrown, 'ENGINE_LOST')) {
      this.#phase = { kind: 'idle' };
      return;
    }
    const { clock, name, observer } = this.#options;
    const error = isMillraceError(thrown)
      ? thrown
      : new MillraceError('INVARIANT', `pipeline ${name} failed unexpectedly: ${messageOf(thrown)}`, { cause: thrown });
    const phase = failedPhase(error, { ...from, nowMs: clock.monotonic() });
    this.#phase = phase;
    observer.emit({
      event: 'pipeline.failed',
      level: phase.retryAtMs === null ? 'error' : 'warn',
      pipeline: name,
      revision: from.revision,
      attempt: phase.attempt,
      ...errorFields(error),
    });
    if (error.fate === 'fatal') this.#options.fatal(error);
  }

  #stirredOr(untilMs: number | null): Promise<void> {
    if (this.#stirred) return Promise.resolve();
    return new Promise(resolve => {
      const { clock } = this.#options;
      const cancel =
        untilMs === null ? null : clock.after(Math.max(0, untilMs - clock.monotonic()), () => this.#wake?.());
      this.#wake = () => {
        this.#wake = null;
        cancel?.();
        resolve();
      };
    });
  }
}
