/**
 * Who is there and what runs where: the cluster's workers, the tasks of each and who follows them, and the way to the state
 * of a pipeline. Only what this process knows or the registry says: a leader knows of all, another worker of itself, and
 * asking the leader is the server's.
 */
import { MillraceError } from '../base/errors.ts';
import { type PresenceRecord, presences } from '../cluster/presence.ts';
import type { StateReader } from '../engine/views.ts';
import type { Worker } from '../host/worker.ts';
import type { PipelineStatus, TaskStatus } from '../observe/status.ts';
import type { Registry } from '../port/registry.ts';
import type { FollowerView, MoveView, TaskView, WorkerView } from './views.ts';

export class Overview {
  readonly #registry: Registry;
  readonly #worker: Worker;
  readonly #connected: () => boolean;

  constructor(options: { registry: Registry; worker: Worker; connected: () => boolean }) {
    this.#registry = options.registry;
    this.#worker = options.worker;
    this.#connected = options.connected;
  }

  /** By name, this one included, with what each says that it has now. While the broker is away: this one alone. */
  async workers(): Promise<readonly WorkerView[]> {
    const { cordons, holder, members, name: me, presence } = this.#worker;
    const found = this.#connected() ? await presences(this.#registry) : new Map<string, PresenceRecord>();
    found.set(me, presence);
    const figures = await this.#worker.figures();
    const heard = new Map(members.map(member => [member.name, member]));
    return Array.from(found, ([name, { instance: _, ...record }]) => {
      const member = heard.get(name);
      return {
        ...{ name, ...record, ...figures.get(name) },
        active: name === me ? record.active : holder?.name === name,
        draining: record.draining || member?.says.draining === true,
        cordoned: cordons.has(name),
        silent: name !== me && member?.verdict === 'gone',
      };
    }).sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** Null: this one. Throws NOT_FOUND. */
  async worker(name: string | null): Promise<WorkerView> {
    const workers = await this.workers();
    const found = workers.find(worker => worker.name === (name ?? this.#worker.name));
    if (found !== undefined) return found;
    const there = workers.map(worker => worker.name).join(', ');
    throw new MillraceError('NOT_FOUND', `no worker is named ${name}; there are: ${there}`);
  }

  /** Takes a worker out of service, or puts it back: false, it was so already. Throws NOT_FOUND. */
  async cordon(name: string, isOut: boolean): Promise<boolean> {
    const { cordons } = this.#worker;
    if (isOut || !cordons.has(name)) await this.worker(name);
    if (isOut) return cordons.put(name);
    const was = cordons.has(name);
    await cordons.delete(name);
    return was;
  }

  /** What would move; this worker must lead. */
  moves(): readonly MoveView[] {
    return this.#worker.previewMoves();
  }

  /** The tasks that run, by pipeline, stage and partition; `pipeline` null: of all. */
  tasks(pipeline: string | null): readonly TaskView[] {
    const names = this.#worker.specs.map(spec => spec.name).filter(name => pipeline === null || name === pipeline);
    const views: TaskView[] = [];
    for (const pipeline of names.sort()) {
      const statuses = this.#worker.whole.statuses(pipeline);
      for (const [worker, { tasks }] of statuses) {
        for (const status of tasks) views.push({ pipeline, worker, status, followers: followersOf(statuses, status) });
      }
    }
    return views.sort(
      (a, b) =>
        compare(a.pipeline, b.pipeline) ||
        compare(a.status.stage, b.status.stage) ||
        a.status.partition - b.status.partition,
    );
  }

  /** Throws NOT_FOUND: no such task runs. */
  task(place: { pipeline: string; stage: string; partition: number }): TaskView {
    const tasks = this.tasks(place.pipeline);
    const found = tasks.find(({ status }) => status.stage === place.stage && status.partition === place.partition);
    if (found !== undefined) return found;
    const stages = [...new Set(tasks.map(({ status }) => status.stage))].join(', ');
    const there = stages === '' ? `no task of ${place.pipeline} runs` : `its stages are: ${stages}`;
    const name = `${place.pipeline}/${place.stage}/${place.partition}`;
    throw new MillraceError('NOT_FOUND', `no task ${name} runs; ${there}`);
  }

  /** Throws WORKER_UNAVAILABLE: the pipeline does not run. */
  state(pipeline: string): StateReader {
    const state = this.#worker.whole.state(pipeline);
    if (state !== null) return state;
    const text = `nothing of pipeline ${pipeline} runs at the moment, so its state cannot be read now`;
    throw new MillraceError('WORKER_UNAVAILABLE', `${text}; see why with: millrace describe ${pipeline}`);
  }
}

function followersOf(
  statuses: ReadonlyMap<string, PipelineStatus>,
  { stage, partition, commits }: TaskStatus,
): FollowerView[] {
  return [...statuses].flatMap(([worker, { followers }]) =>
    followers
      .filter(one => one.stage === stage && one.partition === partition)
      .map(({ commit, fresh }) => ({ worker, behind: Math.max(0, commits - commit), fresh })),
  );
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
