/**
 * The pipelines as they are shown: what should run, from the registry, beside what this worker knows of it. What cannot be
 * read or trusted there is shown as failed, with the reason.
 */
import type { Clock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import { isGone, type PipelineSpec, type Specs, unreadableSpec } from '../cluster/specs.ts';
import type { Worker } from '../host/worker.ts';
import { emptyStatus, type PipelineStatus } from '../observe/status.ts';

export interface PipelineView {
  readonly spec: PipelineSpec;
  readonly status: PipelineStatus;
  /** Those that have a part of it, by name, as far as is known here. */
  readonly workers: readonly string[];
  /** Wall clock of the snapshot, ms since 1970. */
  readonly atMs: number;
}

export class Pipelines {
  readonly #specs: Specs;
  readonly #clock: Clock;
  readonly #worker: Worker;
  readonly #connected: () => boolean;

  /** @param options.connected false: the broker is away, so what the worker last heard must do. */
  constructor(options: { specs: Specs; clock: Clock; worker: Worker; connected: () => boolean }) {
    this.#specs = options.specs;
    this.#clock = options.clock;
    this.#worker = options.worker;
    this.#connected = options.connected;
  }

  /** Without those that are gone, by name. */
  async list(): Promise<PipelineView[]> {
    if (!this.#connected()) {
      const known = this.#worker.specs.filter(spec => !isGone(spec));
      return known.sort((left, right) => (left.name < right.name ? -1 : 1)).map(spec => this.view(spec));
    }
    return (await this.#specs.entries()).flatMap(({ name, found }) => {
      if (found instanceof MillraceError) return [this.#unreadable(name, found)];
      return isGone(found) ? [] : [this.view(found)];
    });
  }

  view(spec: PipelineSpec): PipelineView {
    const { active, holder } = this.#worker;
    const nobody =
      holder === null
        ? emptyStatus('stopped', 'no worker leads; start one, or wait for another to take over')
        : emptyStatus(
            'unknown',
            `worker ${holder.name} leads but cannot be asked at ${holder.address ?? 'any address'}`,
          );
    const own = active ? this.#worker.status(spec.name, spec.revision) : nobody;
    const status = spec.desired === 'paused' ? paused(own, spec) : this.#connected() ? own : withoutBroker(own);
    return { spec, status, workers: this.#worker.whole.workers(spec.name), atMs: this.#clock.now() };
  }

  #unreadable(name: string, error: MillraceError): PipelineView {
    const known = this.#worker.specs.find(spec => spec.name === name);
    if (known !== undefined && !isGone(known)) {
      const view = this.view(known);
      return { ...view, status: { ...view.status, reason: error.message } };
    }
    return {
      spec: unreadableSpec(name),
      status: emptyStatus('failed', error.message),
      workers: [],
      atMs: this.#clock.now(),
    };
  }
}

/** A paused pipeline's status once it has stopped, or when nobody is there who would have to stop it. */
function paused(status: PipelineStatus, { name, deployedAtMs }: PipelineSpec): PipelineStatus {
  if (status.state !== 'stopped' && status.state !== 'starting') return status;
  const since = new Date(deployedAtMs).toISOString();
  return { ...emptyStatus('paused', `since ${since}; to go on: millrace resume ${name}`), counts: status.counts };
}

const IN_PROGRESS: ReadonlySet<PipelineStatus['state']> = new Set(['starting', 'restoring', 'running', 'waiting']);

/** Every task waits for the broker then, each at a place of its own; this says it for all of them. */
function withoutBroker(status: PipelineStatus): PipelineStatus {
  if (!IN_PROGRESS.has(status.state)) return status;
  const reason = 'there is no connection to NATS; it goes on by itself when the broker is back';
  return { ...status, state: 'waiting', reason };
}
