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
import type { Report, Reports, Said } from './reports.ts';

const PRESENT: ReadonlySet<PipelineStatus['state']> = new Set(['starting', 'restoring', 'running', 'waiting']);

/** How much a worker has. */
export interface Figures {
  /** Pipelines of which it has a part. */
  readonly pipelines: number;
  readonly tasks: number;
  /** Tasks of others that it follows. */
  readonly follows: number;
}

export function figuresOf(report: Report): Figures {
  let [tasks, follows] = [0, 0];
  for (const { status } of report.values()) {
    tasks += status.tasks.length;
    follows += status.followers.length;
  }
  return { pipelines: report.size, tasks, follows };
}

function countOf(parts: number): string {
  return parts === 1 ? '1 part' : `${parts} parts`;
}

export interface WholeOptions {
  readonly me: string;
  readonly reports: Reports;
  isLeading(): boolean;
  specs(): ReadonlyMap<string, PipelineSpec>;
  /** How many parts of a pipeline each worker should own. */
  owners(name: string): ReadonlyMap<string, number>;
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
    return this.#named(name, said.length > 0 ? mergedStatus(said, this.#orderOf(name)) : here(name, revision));
  }

  /** What is not known, or has not begun, is said: the rest is not told as if it were all. */
  #named(name: string, status: PipelineStatus): PipelineStatus {
    const { owners, reports, specs } = this.#options;
    if (!PRESENT.has(status.state) || specs().get(name)?.desired !== 'running') return status;
    const [silent, late]: [string[], string[]] = [[], []];
    for (const [worker, parts] of owners(name)) {
      if (reports.isSilent(worker)) silent.push(`worker ${worker}, which has ${countOf(parts)} of it, does not answer`);
      else if (reports.all().get(worker)?.has(name) !== true) late.push(`worker ${worker} takes up its share`);
    }
    if (silent.length > 0) {
      const reason = `${silent.join('; ')}: what it said last is shown, if anything`;
      return { ...status, state: 'waiting', reason: status.reason === null ? reason : `${status.reason}; ${reason}` };
    }
    return late.length === 0 || status.state !== 'running'
      ? status
      : { ...status, state: 'restoring', reason: late.join('; ') };
  }

  /** By worker, how much each has of all pipelines together, as far as this one knows. */
  figures(): ReadonlyMap<string, Figures> {
    return new Map(Array.from(this.#options.reports.all(), ([worker, report]) => [worker, figuresOf(report)]));
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

  /** Who has a part of it, by name; of others only whoever leads knows. */
  workers(name: string): readonly string[] {
    const { isLeading, me } = this.#options;
    return [...this.statuses(name).keys()].filter(worker => isLeading() || worker === me).sort();
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
