/**
 * When all is as it should be in a cluster of whole workers whose weather has cleared: one leads, each part runs once, each task
 * is followed by as many as was asked, who have all of it, and who is out of service has nothing.
 */
import { shapeOf, taskOf, taskPart } from '../../lib/topology/parts.ts';
import type { WorkerCluster } from './workers.ts';

/** Null, or what is not. */
export function unrest(cluster: WorkerCluster, pipeline: string): string | null {
  const { processes } = cluster;
  const active = processes.filter(({ worker }) => worker.active);
  if (active.length !== 1) return `${active.length} workers are active`;
  const [one] = active;
  const desired = one!.worker.specs.find(({ name }) => name === pipeline);
  const { state, reason, tasks, followers } = one!.worker.status(pipeline, desired?.revision);
  if (state !== 'running') return `${one!.name} leads, and the pipeline is ${state}: ${reason}`;
  const parts = shapeOf(desired?.summary).parts.filter(part => taskOf(part) !== null);
  const run = tasks.filter(task => task.state === 'running').map(taskPart);
  const missing = parts.filter(part => !run.includes(part));
  if (missing.length > 0) return `nobody runs ${missing.join(' ')}`;
  if (run.length !== parts.length) return `${run.join(' ')} run: some of them twice`;
  const takers = processes.filter(({ name }) => !one!.worker.cordons.has(name));
  const wanted = takers.length === 0 ? null : Math.min(cluster.standbys, takers.length - 1);
  for (const part of parts) {
    const found = followers.filter(follower => taskPart(follower) === part);
    if (found.some(({ fresh }) => !fresh)) return `a follower of ${part} is behind`;
    if (wanted !== null && found.length !== wanted) return `${found.length} follow ${part}, and ${wanted} should`;
  }
  return takers.length === 0 ? null : unrestOfEach(cluster, { pipeline, takers: takers.map(({ name }) => name) });
}

/** As each says of itself, whatever the leader believes. */
function unrestOfEach(
  { processes }: WorkerCluster,
  { pipeline, takers }: { readonly pipeline: string; readonly takers: readonly string[] },
): string | null {
  const owners = new Map<string, string>();
  for (const { name, worker } of processes) {
    const { tasks, followers } = worker.statusHere(pipeline);
    if (!takers.includes(name) && tasks.length + followers.length > 0)
      return `${name} is out of service, and has parts`;
    for (const part of tasks.map(taskPart)) {
      const other = owners.get(part);
      if (other !== undefined) return `${part} is at ${other} and at ${name}`;
      owners.set(part, name);
    }
    const twice = followers.map(taskPart).find(part => tasks.map(taskPart).includes(part));
    if (twice !== undefined) return `${name} follows ${twice} and has it`;
  }
  return null;
}
