/**
 * The streams that a pipeline needs, made if they are missing and never changed if they are there.
 */
import { MillraceError } from '../base/errors.ts';
import type { Log, StreamSettings } from '../port/log.ts';
import {
  channelsStream,
  channelsSubjects,
  journalStream,
  journalSubjects,
  lettersStream,
  lettersSubjects,
  markerSubjects,
} from '../record/names.ts';
import { type Plan, sourcesOf } from '../topology/plan.ts';

/** A stage's channels hold what its tasks have not committed yet; when they are full, writers wait. */
const CHANNELS_BYTES_MAX = 512 << 20;

/** Settings of every stream that the plan would make, sources' captures first. */
export function streamsOf(plan: Plan): StreamSettings[] {
  const captures = sourcesOf(plan).flatMap(({ capture, stream, subject, name }) =>
    capture === null
      ? []
      : [
          {
            name: stream,
            subjects: [subject],
            description: `Millrace keeps ${subject} for ${plan.pipeline}/${name}`,
            maxAgeMs: capture.maxAgeMs,
            maxBytes: capture.maxBytes,
          },
        ],
  );
  const sinks = new Map<string, { subjects: Set<string>; atomic: boolean }>();
  for (const { stream, mode, name } of plan.sinks) {
    if (!stream.create) continue;
    const made = sinks.get(stream.name) ?? { subjects: new Set(), atomic: false };
    for (const subject of stream.subjects) made.subjects.add(subject);
    if (mode === 'shared') {
      made.subjects.add(markerSubjects(plan.pipeline, name));
      made.atomic = true;
    }
    sinks.set(stream.name, made);
  }
  const own = { allowDirect: false, denyDelete: true, discard: 'new' } as const;
  return [
    ...captures,
    ...Array.from(sinks, ([name, { subjects, atomic }]) => ({
      name,
      subjects: [...subjects],
      atomic,
      allowDirect: false,
      description: `Results of Millrace pipeline ${plan.pipeline}`,
    })),
    { name: journalStream(plan.pipeline), subjects: [journalSubjects(plan.pipeline)], ...own },
    ...plan.stages
      .filter(stage => stage.direct === null)
      .map(stage => ({
        name: channelsStream(plan.pipeline, stage.name),
        subjects: channelsSubjects(plan.pipeline, stage.name),
        ...own,
        maxBytes: CHANNELS_BYTES_MAX,
      })),
    { name: lettersStream(plan.pipeline), subjects: lettersSubjects(plan.pipeline), atomic: true, allowDirect: false },
  ];
}

export async function ensureStreams(plan: Plan, log: Log): Promise<void> {
  for (const settings of streamsOf(plan)) await log.ensureStream(settings);
  for (const source of sourcesOf(plan)) {
    if ((await log.info(source.stream)) !== null) continue;
    throw new MillraceError(
      'STREAM_MISSING',
      `source ${source.name} reads stream ${source.stream}, and there is none. Make it, or let Millrace capture the subject (capture: true).`,
    );
  }
}
