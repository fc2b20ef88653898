/**
 * How long results wait: from a plan's operators, and from the timers that are set. What `finish` goes by.
 */
import type { OperatorSpec } from '../operator/spec.ts';
import type { Plan } from '../topology/plan.ts';
import type { TestStage } from './stage.ts';

/** How far event time must go beyond the last record until no window and no join waits any more, ms. */
export function restMs(plan: Plan): number {
  let sumMs = 0;
  for (const { program } of plan.stages) for (const { spec } of program.nodes) sumMs += waitMs(spec);
  return sumMs;
}

/** An upper bound, for one operator. */
function waitMs(spec: OperatorSpec): number {
  if (spec.kind === 'join') return spec.beforeMs + spec.afterMs + spec.graceMs + 1;
  if (spec.kind !== 'window') return 0;
  const { window, graceMs } = spec;
  return (window.kind === 'session' ? window.gapMs : window.sizeMs) + graceMs + 1;
}

/** When the timers of a stage's `process` operators fall due, ms since 1970. */
export function timersOf(stage: TestStage): number[] {
  const names = stage.plan.program.nodes.filter(({ spec }) => spec.kind === 'process').map(({ name }) => name);
  return stage.tasks.flatMap(({ processor }) =>
    names.flatMap(name =>
      [...processor.state.entriesOf(name)]
        .filter(({ table }) => table === 'timers')
        .map(({ content }) => content as number),
    ),
  );
}
