/**
 * Deletes, as whoever leads carries them out: when nobody runs anything of the pipeline any more, what is to go of it goes,
 * and a tombstone stays that says what is left.
 */
import type { Clock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import type { Owners } from '../cluster/owners.ts';
import { isGone, type PipelineSpec, type Remains, type Specs } from '../cluster/specs.ts';
import type { Observer } from '../observe/events.ts';
import type { ClearPipeline } from './clear.ts';
import type { Reports } from './reports.ts';

export interface DeletingOptions {
  readonly clock: Clock;
  readonly observer: Observer;
  readonly specs: Specs;
  readonly owners: Owners;
  readonly reports: Pick<Reports, 'isLeft'>;
  readonly clear: ClearPipeline;
}

export class Deleting {
  readonly #options: DeletingOptions;
  /** When each wish was heard of, monotonic. */
  readonly #heardAtMs = new Map<string, number>();

  constructor(options: DeletingOptions) {
    this.#options = options;
  }

  /** A spec is heard of. */
  hear(spec: PipelineSpec): void {
    if (isAsked(spec)) this.#heardAtMs.set(spec.name, this.#options.clock.monotonic());
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

  /** Leaves the tombstone. Throws CONFLICT: the pipeline is another by now; and what clearing throws. */
  async carryOut(spec: PipelineSpec): Promise<void> {
    const { clear, observer, owners, specs } = this.#options;
    const { name, life, purge, revision, summary } = spec;
    const deployment = { pipeline: name, life };
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
  wouldLeave({ name, life, summary }: PipelineSpec, { purge }: { purge: boolean }): Promise<Remains> {
    const confirm = () => Promise.resolve();
    return this.#options.clear({ pipeline: name, life }, { summary, purge, dryRun: true, confirm });
  }
}

function isAsked(spec: PipelineSpec): boolean {
  return spec.desired === 'deleted' && !isGone(spec);
}

export function newer(name: string, revision: number): MillraceError {
  return new MillraceError('CONFLICT', `pipeline ${name} has a newer revision than ${revision}`);
}
