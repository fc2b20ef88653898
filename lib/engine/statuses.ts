/**
 * What the parts of a pipeline say of themselves, as its status has it: gathered when somebody asks, at no cost to records.
 */
import type { Counts } from '../observe/counts.ts';
import { mergedOperators } from '../observe/merged.ts';
import type { OperatorStatus, SourceStatus, TaskStatus } from '../observe/status.ts';
import type { Source } from '../source/source.ts';
import type { Task } from '../task/task.ts';
import { Reader } from './reader.ts';

export type Actor = Reader | Task;

export function taskStatus(task: Task): TaskStatus {
  return {
    stage: task.stage,
    partition: task.partition,
    state: task.phase,
    epoch: task.journal.epoch,
    commits: task.journal.commit,
    recordsIn: task.counts?.in ?? 0,
    recordsOut: task.counts?.out ?? 0,
    watermarkMs: finiteOrNull(task.watermarkMs),
    stateBytes: task.processor.state.bytes,
    stateEntries: task.processor.state.entries,
    journalBytes: task.uncut.bytes,
    journalCommits: task.uncut.commits,
    backlogBytes: task.backlogBytes,
    waitsFor: task.waitsFor?.name ?? null,
  };
}

/** In the order of stages and steps; of tasks that do not run nothing is known. */
export function operatorsOf(
  tasks: readonly Pick<Task, 'stage' | 'phase' | 'watermarkMs' | 'processor'>[],
): OperatorStatus[] {
  const seen: OperatorStatus[] = [];
  for (const { stage, phase, watermarkMs, processor } of tasks) {
    if (phase !== 'running') continue;
    for (const { more = false, ...look } of processor.look(watermarkMs)) {
      seen.push({ stage, more, ...look, watermarkMs: finiteOrNull(look.watermarkMs) });
    }
  }
  return mergedOperators(seen);
}

/** What a part adds to its pipeline's: what a task takes in from channels is counted where it is read. Null: not known yet. */
export function countsOf(actor: Actor): Counts | null {
  if (actor instanceof Reader) {
    const { counted } = actor;
    return counted === null ? null : { in: counted.records, out: 0, late: 0, dead: 0, dropped: counted.dropped };
  }
  const { counts, source } = actor;
  return counts === null ? null : { ...counts, in: source?.recordsIn ?? 0 };
}

export function sourceStatus(actor: Actor, source: Source): SourceStatus {
  const { spec, position, lag, lagMs, idle, time } = source;
  const counted = actor instanceof Reader ? actor.counted : { records: source.recordsIn, bytes: source.bytesIn };
  return {
    name: spec.name,
    position,
    lag,
    lagMs,
    watermarkMs: finiteOrNull(time.watermarkMs),
    clockMs: finiteOrNull(time.clockMs),
    recordsIn: counted?.records ?? 0,
    bytesIn: counted?.bytes ?? 0,
    idle,
    quietMs: finiteOrNull(time.quietMs),
  };
}

/** Null: there is none, or one of them has none. */
export function leastWatermark(tasks: readonly Task[]): number | null {
  return tasks.length === 0 ? null : finiteOrNull(Math.min(...tasks.map(({ watermarkMs }) => watermarkMs)));
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}
