/** A broker that knows some streams, and planning with it, for tests of the planner. */
import assert from 'node:assert/strict';
import type { StreamInfo } from '../../../lib/port/log.ts';
import { PLAIN_CONFIG, type StreamConfig } from '../../../lib/port/stream-config.ts';
import { overlaps } from '../../../lib/record/subject.ts';
import type { Broker } from '../../../lib/topology/broker.ts';
import type { Pipeline } from '../../../lib/topology/builder.ts';
import type { Mistake } from '../../../lib/topology/graph.ts';
import type { Plan } from '../../../lib/topology/plan.ts';
import { plan } from '../../../lib/topology/planner.ts';

export interface KnownStream {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly atomic?: boolean;
  readonly config?: Partial<StreamConfig>;
}

/** Streams that keep everything below `in.`, and the bucket `sites`. */
export const INPUTS: readonly KnownStream[] = [
  { name: 'IN', subjects: ['in.>'] },
  { name: 'KV_sites', subjects: ['$KV.sites.>'] },
];

export function brokerOf(streams: readonly KnownStream[]): Broker {
  const infos = streams.map(
    ({ name, subjects, atomic = false, config }): StreamInfo => ({
      name,
      subjects,
      config: { ...PLAIN_CONFIG, allowAtomic: atomic, ...config },
      created: '2026-01-01T00:00:00Z',
      firstSeq: 1,
      lastSeq: 0,
      messages: 0,
      bytes: 0,
    }),
  );
  return {
    // As the real broker: the streams of which some subject overlaps.
    streamsOf: async subject =>
      infos.filter(info => info.subjects.some(own => overlaps(own, subject))).map(({ name }) => name),
    info: async name => infos.find(info => info.name === name) ?? null,
  };
}

export async function planned(pipeline: Pipeline, streams: readonly KnownStream[] = INPUTS): Promise<Plan> {
  const outcome = await plan(pipeline, brokerOf(streams));
  if ('plan' in outcome) return outcome.plan;
  assert.fail(outcome.mistakes.map(({ operator, message }) => `${operator}: ${message}`).join('\n'));
}

export async function mistakesOf(
  pipeline: Pipeline,
  streams: readonly KnownStream[] = INPUTS,
): Promise<readonly Mistake[]> {
  const outcome = await plan(pipeline, brokerOf(streams));
  return 'plan' in outcome ? [] : outcome.mistakes;
}

/** Whether a plan's sink streams, made in order, would be taken by a broker: no two overlap. */
export function streamsAgree(plan: Plan): boolean {
  const made = new Map(plan.sinks.map(({ target: { stream } }) => [stream.name, stream.subjects]));
  const subjects = [...made.values()].flat();
  return subjects.every((subject, i) => !subjects.slice(0, i).some(other => overlaps(subject, other)));
}
