/**
 * One status out of several: what is known of a pipeline of which parts run in different places (threads of a worker, workers
 * of a cluster). A function of the statuses alone: it knows nothing of who has said them. The parts of two of them are
 * disjoint, so what is counted is added up, and what is known of one is passed on as it is.
 */
import { sumOfCounts } from './counts.ts';
import { emptyStatus, type OperatorStatus, type PipelineState, type PipelineStatus } from './status.ts';

/** Names as the plan has them: what comes first in it is told first. */
export interface PlanOrder {
  readonly stages: readonly string[];
  readonly sources: readonly string[];
}

/** From good to bad: where one part is not as it should be, the whole is not. */
const FROM_GOOD: readonly PipelineState[] = [
  'running',
  'restoring',
  'starting',
  'waiting',
  'paused',
  'stopped',
  'stopping',
  'unknown',
  'failed',
];

/** Where there is none, it is `stopped`. */
export function mergedStatus(statuses: readonly PipelineStatus[], { stages, sources }: PlanOrder): PipelineStatus {
  const [first] = statuses;
  if (first === undefined) return emptyStatus('stopped', null);
  if (statuses.length === 1) return first;
  const worst = Math.max(...statuses.map(({ state }) => FROM_GOOD.indexOf(state)));
  const state = FROM_GOOD[worst]!;
  const [ofStage, ofSource] = [ranks(stages), ranks(sources)];
  return {
    state,
    reason: firstOf(statuses.filter(status => status.state === state).map(({ reason }) => reason)),
    quarantine: firstOf(statuses.map(({ quarantine }) => quarantine)),
    sources: statuses.flatMap(status => status.sources).sort((a, b) => ofSource(a.name) - ofSource(b.name)),
    tasks: statuses
      .flatMap(status => status.tasks)
      .sort((a, b) => ofStage(a.stage) - ofStage(b.stage) || a.partition - b.partition),
    followers: statuses
      .flatMap(status => status.followers)
      .sort((a, b) => ofStage(a.stage) - ofStage(b.stage) || a.partition - b.partition),
    operators: mergedOperators(statuses.flatMap(status => status.operators)).sort(
      (a, b) => ofStage(a.stage) - ofStage(b.stage),
    ),
    watermarkMs: leastWatermark(statuses),
    counts: {
      ...sumOfCounts(statuses.map(({ counts }) => counts)),
      partial: statuses.some(({ counts }) => counts.partial),
    },
    ageMs: Math.max(...statuses.map(({ ageMs }) => ageMs)),
  };
}

/** One for each operator and unit, in the order in which they are first told. */
export function mergedOperators(operators: readonly OperatorStatus[]): OperatorStatus[] {
  const merged = new Map<string, OperatorStatus>();
  for (const one of operators) {
    const key = `${one.stage} ${one.name} ${one.unit}`;
    const others = merged.get(key);
    merged.set(key, others === undefined ? one : together(others, one));
  }
  return [...merged.values()];
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

/** Who has no tasks, and knows all that he has, holds nobody back: he has readers. */
function leastWatermark(statuses: readonly PipelineStatus[]): number | null {
  let least = Number.POSITIVE_INFINITY;
  for (const { tasks, watermarkMs, counts } of statuses) {
    if (tasks.length === 0 && !counts.partial) continue;
    if (watermarkMs === null) return null;
    least = Math.min(least, watermarkMs);
  }
  return Number.isFinite(least) ? least : null;
}

function firstOf(texts: readonly (string | null)[]): string | null {
  return texts.find(text => text !== null) ?? null;
}

/** What is not in the list comes last. */
function ranks(names: readonly string[]): (name: string) => number {
  const byName = new Map(names.map((name, rank) => [name, rank]));
  return name => byName.get(name) ?? names.length;
}
