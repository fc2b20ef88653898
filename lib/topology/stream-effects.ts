/**
 * The words of the table of stream settings (`stream-settings.ts`): what a stream is to a pipeline, and what a setting may
 * do to it there. Pure.
 */
import type { StreamConfig } from '../port/stream-config.ts';
import type { CaptureLimits } from '../source/spec.ts';

/** What a stream is to a pipeline. */
export const STREAM_ROLES = {
  source: 'source',
  table: 'table',
  results: 'results, exactly once',
  loose: 'results, at least once',
  own: "Millrace's own",
  letters: 'letters',
} as const;

export type StreamRole = keyof typeof STREAM_ROLES;

export interface StreamUse {
  readonly role: StreamRole;
  /** What is sent there and must be found there, under the same subjects; markers too. */
  readonly subjects: readonly string[];
  /** Whether what is written comes in atomic batches. */
  readonly batches: boolean;
  /** What a source's author has asked of it by `capture`: a stream that keeps that much is as he wants it. */
  readonly keeps?: CaptureLimits | null;
  /** All that the pipeline reads, and all that it writes, wherever. */
  readonly reads: readonly string[];
  readonly writes: readonly string[];
}

/** `less`: works, with a smaller promise. What has no effect works as ever. */
export interface StreamEffect {
  readonly on: readonly StreamRole[];
  readonly verdict: 'less' | 'refused';
  readonly means: string;
  /** What to do; NAME stands for the stream's name. */
  readonly todo: string;
}

export interface StreamSetting {
  /** As `nats stream info -j` has it. */
  readonly name: string;
  /** Null: it changes nothing for anybody. */
  readonly holds: ((config: StreamConfig, use: StreamUse, lastSeq: number) => boolean) | null;
  readonly effects: readonly StreamEffect[];
}

export const READ = ['source', 'table'] as const;
export const WRITTEN = ['results', 'loose'] as const;
export const OURS = ['own', 'letters'] as const;
export const ALL = [...READ, ...WRITTEN, ...OURS] as const;

export const ELSEWHERE = 'write to another subject, or name another stream';
export const LOOSELY = `${ELSEWHERE}, or say mode: 'at-least-once'`;
export const IF_MEANT = 'nothing, if that is meant';

export function refused(on: readonly StreamRole[], means: string, todo: string): StreamEffect {
  return { on, verdict: 'refused', means, todo };
}

export function less(on: readonly StreamRole[], means: string, todo: string): StreamEffect {
  return { on, verdict: 'less', means, todo };
}

/** Whether there is a limit, and it is lower. */
export function isBelow(limit: number | null, value: number): boolean {
  return limit !== null && limit < value;
}
