/**
 * What a stream's settings mean to who reads it or writes to it: THE table, as data, and the verdict by it. `plan` refuses
 * by it, `doctor` looks by it, and a pipeline that runs is stopped by it when somebody edits a stream under it. Pure.
 *
 * `deploy/STREAMS.md` is this table for people; `test/contract/stream-settings.test.ts` measures it on a real server.
 */
import type { StreamInfo } from '../port/log.ts';
import type { StreamEffect, StreamSetting, StreamUse } from './stream-effects.ts';
import { KEPT } from './stream-kept.ts';
import { TAKEN } from './stream-taken.ts';

/** Change nothing for anybody. */
const HARMLESS = [
  'consumer_limits.max_ack_pending',
  'allow_direct, mirror_direct',
  'allow_atomic: true',
  'allow_batched',
  'compression',
  'placement',
  'first_seq, lower',
  'description, metadata',
];

export const STREAM_SETTINGS: readonly StreamSetting[] = [
  ...KEPT,
  ...TAKEN,
  ...HARMLESS.map(name => ({ name, holds: null, effects: [] })),
];

export interface StreamVerdict extends Pick<StreamEffect, 'verdict' | 'means' | 'todo'> {
  readonly setting: string;
}

/** What of a stream's settings is in the way of its use, or makes less of it, in the order of the table. */
export function judgeStream(
  { name, config, lastSeq = 0 }: Pick<StreamInfo, 'name' | 'config'> & Partial<Pick<StreamInfo, 'lastSeq'>>,
  use: StreamUse,
): StreamVerdict[] {
  const verdicts: StreamVerdict[] = [];
  for (const { name: setting, holds, effects } of STREAM_SETTINGS) {
    const effect = effects.find(({ on }) => on.includes(use.role));
    if (effect === undefined || holds === null || !holds(config, use, lastSeq)) continue;
    const { verdict, means, todo } = effect;
    verdicts.push({ setting, verdict, means, todo: todo.replaceAll('NAME', name) });
  }
  return verdicts;
}

/** A verdict as people are told it. */
export function verdictText(stream: string, { setting, means, todo }: StreamVerdict): string {
  return `stream '${stream}' has ${setting}: ${means}. What to do: ${todo}`;
}
