/**
 * How a delete that was asked for is carried out, by the worker that leads: when nobody else runs anything of the pipeline
 * any more, what it keeps is cleared, as long as nothing newer is wanted of its name, and what remains is written into its
 * spec, which then is a tombstone.
 */
import type { Clock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import type { Owners } from '../cluster/owners.ts';
import { isGone, type PipelineSpec, type Remains, type Specs } from '../cluster/specs.ts';
import type { Observer } from '../observe/events.ts';
import type { ClearPipeline } from './clear.ts';
import type { Reports } from './reports.ts';

export interface DeletesOptions {
  readonly clear: ClearPipeline;
  readonly clock: Clock;
  readonly reports: Pick<Reports, 'isLeft'>;
  readonly specs: Specs;
  readonly owners: Owners;
  readonly observer: Observer;
}

export class Deletes {
  readonly #options: DeletesOptions;
  /** When each that is not carried out was heard of, monotonic. */
  readonly #heardAtMs = new Map<string, number>();

  constructor(options: DeletesOptions) {
    this.#options = options;
  }

  /** A spec is heard of. */
  hear(spec: PipelineSpec): void {
    const isAsked = spec.desired === 'deleted' && !isGone(spec);
    if (isAsked) this.#heardAtMs.set(spec.name, this.#options.clock.monotonic());
    else this.#heardAtMs.delete(spec.name);
  }

  get isAnyAsked(): boolean {
    return this.#heardAtMs.size > 0;
  }

  /** All others have been asked since, and have left the pipeline: nobody writes to what goes. */
  isDue(name: string): boolean {
    const sinceMs = this.#heardAtMs.get(name);
    return sinceMs !== undefined && this.#options.reports.isLeft(name, sinceMs);
  }

  /** Throws CONFLICT when something newer is wanted of that name. */
  async carryOut(spec: PipelineSpec): Promise<void> {
    const { clear, specs, owners, observer } = this.#options;
    const { name, revision, purge, summary } = spec;
    const deployment = { pipeline: name, life: spec.life };
    const confirm = async () => {
      if ((await specs.get(name))?.spec.revision !== revision) throw newer(name, revision);
    };
    const remains = await clear(deployment, { summary, purge, dryRun: false, confirm });
    if (purge) await owners.giveUp(deployment);
    const held = await specs.get(name);
    if (held === null || held.spec.revision !== revision) return;
    if (!(await specs.put({ ...held.spec, remains }, held.at))) {
      throw new MillraceError('CONFLICT', `the spec of pipeline ${name} changed while it was deleted`);
    }
    observer.emit({ event: 'pipeline.deleted', level: 'info', pipeline: name, revision, purge });
  }

  /** What deleting the pipeline now would keep and delete. */
  preview(spec: PipelineSpec, { purge }: { purge: boolean }): Promise<Remains> {
    const deployment = { pipeline: spec.name, life: spec.life };
    const confirm = () => Promise.resolve();
    return this.#options.clear(deployment, { summary: spec.summary, purge, dryRun: true, confirm });
  }
}

export function newer(name: string, revision: number): MillraceError {
  return new MillraceError('CONFLICT', `pipeline ${name} has a newer revision than ${revision}`);
}
