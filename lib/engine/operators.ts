/**
 * What the operators of a pipeline hold and wait for, put together from its tasks: asked for now and then, at no cost to
 * records (`Operator.look`).
 */
import type { OperatorStatus } from '../observe/status.ts';
import type { Task } from '../task/task.ts';

/** In the order of stages and steps; of tasks that do not run nothing is known. */
export function operatorsOf(
  tasks: readonly Pick<Task, 'stage' | 'phase' | 'watermarkMs' | 'processor'>[],
): OperatorStatus[] {
  const seen = new Map<string, OperatorStatus>();
  for (const { stage, phase, watermarkMs, processor } of tasks) {
    if (phase !== 'running') continue;
    for (const { more = false, ...look } of processor.look(watermarkMs)) {
      const own = { stage, more, ...look, watermarkMs: finiteOrNull(look.watermarkMs) };
      const others = seen.get(look.name);
      seen.set(look.name, others === undefined ? own : together(others, own));
    }
  }
  return [...seen.values()];
}

function together(one: OperatorStatus, other: OperatorStatus): OperatorStatus {
  const { watermarkMs, nextMs } = one;
  return {
    ...one,
    held: one.held + other.held,
    more: one.more || other.more,
    watermarkMs: watermarkMs === null || other.watermarkMs === null ? null : Math.min(watermarkMs, other.watermarkMs),
    nextMs: nextMs === null || other.nextMs === null ? (nextMs ?? other.nextMs) : Math.min(nextMs, other.nextMs),
  };
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
