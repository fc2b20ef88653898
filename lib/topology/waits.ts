/**
 * Who waits for whom: what a stage must know of those who write to it, to make a watermark of what they say
 * (`window/watermark.ts`).
 */
import type { SourceSpec } from '../source/spec.ts';
import type { SourcePlaceInTime } from '../window/source-time.ts';
import type { Voice } from '../window/watermark.ts';
import type { Plan } from './plan.ts';

type Trait = Pick<Voice, 'name' | 'idleAfterMs' | 'skips'>;

export function sourceVoice({ name, idleAfterMs, idle }: SourceSpec): Trait {
  return { name, idleAfterMs, skips: idle === 'skip' };
}

/** A stage is silent as long as all the sources behind it are; once it has spoken it is waited for. */
export function stageVoice(plan: Plan, name: string): Trait {
  const idleAfterMs = sourcesBehind(plan, name).reduce((most, source) => Math.max(most, source.idleAfterMs), 0);
  return { name, idleAfterMs, skips: false };
}

/** The streams that a stage hears of, directly or through other stages. Tables have no say in event time. */
function sourcesBehind(plan: Plan, name: string): SourceSpec[] {
  const stage = plan.stages.find(candidate => candidate.name === name)!;
  if (stage.direct !== null) return [stage.direct];
  return stage.inputs
    .filter(({ bootstrap }) => !bootstrap)
    .flatMap(({ from }) => {
      if (from.kind === 'stage') return sourcesBehind(plan, from.stage);
      return [plan.readers.find(reader => reader.name === from.reader)!.source];
    });
}

/** A voice that is heard whenever it is asked, of a source that is read right here. */
export function voiceOf(time: () => SourcePlaceInTime, trait: Trait): Voice {
  return {
    ...trait,
    get watermarkMs() {
      return time().watermarkMs;
    },
    get clockMs() {
      return time().clockMs;
    },
    get quietMs() {
      return time().quietMs;
    },
  };
}
