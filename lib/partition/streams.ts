/**
 * The streams that a pipeline needs, made if they are missing and never changed if they are there.
 */
import { MillraceError } from '../base/errors.ts';
import type { Log, StreamInfo, StreamSettings } from '../port/log.ts';
import {
  channelsStream,
  channelsSubjects,
  journalStream,
  journalSubject,
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
  await checkOwn(plan, log);
  for (const settings of streamsOf(plan)) await log.ensureStream(settings);
  for (const source of sourcesOf(plan)) {
    if ((await log.info(source.stream)) !== null) continue;
    throw new MillraceError(
      'STREAM_MISSING',
      `source ${source.name} reads stream ${source.stream}, and there is none. Make it, or let Millrace capture the subject (capture: true).`,
    );
  }
}

/**
 * A pipeline that has lived here before must find what it has left: with an empty journal in place of its own it would
 * begin anew, and send everything a second time. The letters' stream is made after the journal's and deleted before it,
 * so it shows that there was a journal; a stage's journal shows that there were channels. What shows it is looked at first:
 * another worker may be making these very streams.
 */
async function checkOwn(plan: Plan, log: Log): Promise<void> {
  const { pipeline } = plan;
  const letters = await log.info(lettersStream(pipeline));
  const journal = await log.info(journalStream(pipeline));
  if (journal === null) {
    if (letters !== null) throw lost(pipeline, journalStream(pipeline), 'is gone');
    return;
  }
  if (isEmptied(journal)) throw lost(pipeline, journal.name, 'was purged');
  for (const stage of plan.stages) {
    if (stage.direct !== null) continue;
    const name = channelsStream(pipeline, stage.name);
    const subject = journalSubject(pipeline, { stage: stage.name, partition: 0 });
    const isNew = (await log.last({ stream: journal.name, subject })) === null;
    const channels = await log.info(name);
    if (channels !== null && !isEmptied(channels)) continue;
    if (!isNew) throw lost(pipeline, name, channels === null ? 'is gone' : 'was purged');
  }
}

/** Cuts leave the last message of every chain. */
function isEmptied({ messages, lastSeq }: StreamInfo): boolean {
  return messages === 0 && lastSeq > 0;
}

function lost(pipeline: string, stream: string, what: string): MillraceError {
  return new MillraceError(
    'CHAIN_BROKEN',
    `stream ${stream} ${what}, and pipeline ${pipeline} cannot go on without what was in it. Restore it (nats stream restore); or delete the pipeline with --purge and deploy it again: it begins anew then, and sends its results again`,
  );
}
