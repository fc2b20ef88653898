/**
 * The whole: what all workers of the cluster run of a pipeline, put together from what each has reported, and the way to the
 * state of it. Whoever leads knows of all; another worker knows of itself.
 */
import type { PipelineSpec } from '../cluster/specs.ts';
import { MergedState } from '../engine/merged-state.ts';
import type { StateReader } from '../engine/views.ts';
import { mergedStatus, type PlanOrder } from '../observe/merged.ts';
import { emptyStatus, type PipelineStatus } from '../observe/status.ts';
import { readSummary } from '../topology/summary.ts';
import type { Reports, Said } from './reports.ts';

export interface WholeOptions {
  readonly reports: Reports;
  isLeading(): boolean;
  specs(): ReadonlyMap<string, PipelineSpec>;
  /** What of a pipeline is on this worker. */
  here(name: string, revision?: number): PipelineStatus;
}

export class Whole {
  readonly #options: WholeOptions;

  constructor(options: WholeOptions) {
    this.#options = options;
  }

  /**
   * Status of a pipeline over all workers, where this one leads; else of what is here. With the `revision` that is desired by
   * now: what an earlier one does (it runs on, it has failed) is not told as if it were that one's.
   */
  status(name: string, revision?: number): PipelineStatus {
    const { reports, isLeading, here } = this.#options;
    if (!isLeading()) return here(name, revision);
    const said = [...reports.all()].flatMap(([worker, report]) => {
      const one = report.get(name);
      return one === undefined ? [] : [asOf(one, revision, worker)];
    });
    return said.length > 0 ? mergedStatus(said, this.#orderOf(name)) : here(name, revision);
  }

  /** By worker, what each that has anything of it says. */
  statuses(name: string): ReadonlyMap<string, PipelineStatus> {
    const found = new Map<string, PipelineStatus>();
    for (const [worker, report] of this.#options.reports.all()) {
      const said = report.get(name);
      if (said !== undefined) found.set(worker, said.status);
    }
    return found;
  }

  /** The state of a pipeline, wherever it is; null: none of it runs anywhere that is known. */
  state(name: string): StateReader | null {
    const { reports } = this.#options;
    const workers = [...this.statuses(name)].filter(([, { tasks }]) => tasks.length > 0).map(([worker]) => worker);
    const states = workers.map(worker => reports.stateOf(worker, name));
    if (states.length <= 1) return states[0] ?? null;
    return new MergedState(() => states);
  }

  #orderOf(name: string): PlanOrder {
    const { stages = [], readers = [] } = readSummary(this.#options.specs().get(name)?.summary) ?? {};
    const direct = stages.flatMap(stage => stage.direct ?? []);
    return {
      stages: stages.map(stage => stage.name),
      sources: [...readers.map(({ source }) => source), ...direct].map(source => source.name),
    };
  }
}

/** What is said of an earlier revision than the one that is desired is not said of that one. */
export function asOf(
  { revision: present, status }: Said,
  revision: number | undefined,
  worker: string,
): PipelineStatus {
  if (revision === undefined || present === null || present >= revision) return status;
  if (status.state === 'failed' || status.state === 'stopped') {
    return { ...emptyStatus('starting', null), counts: status.counts };
  }
  return { ...status, state: 'stopping', reason: `revision ${present} makes room for ${revision} on ${worker}` };
}
