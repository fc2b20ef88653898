/**
 * The streams that a pipeline needs, made if they are missing and never changed if they are there.
 */
import { BEGIN_ANEW, MillraceError } from '../base/errors.ts';
import type { StreamInfo, StreamSettings } from '../port/log.ts';
import {
  begunBlob,
  channelsStream,
  channelsSubjects,
  type Deployment,
  journalStream,
  journalSubject,
  journalSubjects,
  lettersStream,
  lettersSubjects,
  markerSubjects,
} from '../record/names.ts';
import { covers } from '../record/subject.ts';
import type { Surroundings } from '../task/surroundings.ts';
import { inletsOf, type Plan, sourcesOf } from '../topology/plan.ts';

/** A stage's channels hold what its tasks have not committed yet; when they are full, writers wait. */
const CHANNELS_BYTES_MAX = 512 << 20;
/** Rows of tables are read first, so they need less. */
const TABLES_BYTES_MAX = 64 << 20;

/** Settings of every stream that the plan would make, sources' captures first. */
function streamsOf(plan: Plan, deployment: Deployment): StreamSettings[] {
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
  for (const { name, target } of plan.sinks) {
    const { stream, mode } = target;
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
    { name: journalStream(deployment), subjects: [journalSubjects(deployment)], ...own },
    ...inletsOf(plan).map(inlet => ({
      name: channelsStream(deployment, inlet),
      subjects: channelsSubjects(deployment, inlet),
      ...own,
      maxBytes: inlet.bootstrap ? TABLES_BYTES_MAX : CHANNELS_BYTES_MAX,
    })),
    { name: lettersStream(plan.pipeline), subjects: lettersSubjects(plan.pipeline), atomic: true, allowDirect: false },
  ];
}

type Around = Pick<Surroundings, 'log' | 'blobs' | 'deployment'>;

export async function ensureStreams(plan: Plan, around: Around): Promise<void> {
  const { log, blobs, deployment } = around;
  const hasBegun = await checkOwn(plan, around);
  for (const settings of streamsOf(plan, deployment)) {
    if (!(await log.ensureStream(settings))) await checkFound(settings, log);
  }
  // Those that are not ours to make tell what they take (`messageBytesMaxOf`).
  for (const { target } of plan.sinks) if (!target.stream.create) await log.info(target.stream.name);
  if (!hasBegun) await blobs.put(begunBlob(deployment), new Uint8Array());
  for (const source of sourcesOf(plan)) {
    if ((await log.info(source.stream)) !== null) continue;
    throw new MillraceError(
      'STREAM_MISSING',
      `source ${source.name} reads stream ${source.stream}, and there is none. Make it, or let Millrace capture the subject (capture: true).`,
    );
  }
}

/** One that is there under the name of a stream of ours must keep what ours would: it may have been made meanwhile. */
async function checkFound({ name, subjects }: StreamSettings, log: Around['log']): Promise<void> {
  const found = await log.info(name);
  if (found === null) return;
  const missing = subjects.filter(subject => !found.subjects.some(own => covers(own, subject)));
  if (missing.length === 0) return;
  const all = [...found.subjects.filter(own => !missing.some(subject => covers(subject, own))), ...missing].join(',');
  throw new MillraceError(
    'BROKER_REFUSED',
    `stream ${name} is there and does not keep ${missing.join(' and ')}: nats stream edit ${name} --subjects='${all}', or remove it`,
  );
}

/**
 * A life that has begun must find what it has left: with an empty journal in place of its own it would begin anew, and
 * send everything a second time. A blob, which goes with the life's snapshots, says that it has begun; a stage's journal
 * shows that there were channels. What shows it is looked at first: another worker may be making these very streams.
 * Returns whether that blob is there.
 */
async function checkOwn(plan: Plan, { log, blobs, deployment }: Around): Promise<boolean> {
  const { pipeline } = plan;
  const hasBegun = (await blobs.get(begunBlob(deployment))) !== null;
  const journal = await log.info(journalStream(deployment));
  if (journal === null) {
    if (hasBegun) throw lost(pipeline, journalStream(deployment), 'is gone');
    return false;
  }
  if (isEmptied(journal)) throw lost(pipeline, journal.name, 'was purged');
  for (const inlet of inletsOf(plan)) {
    const name = channelsStream(deployment, inlet);
    const subject = journalSubject(deployment, { stage: inlet.stage, partition: 0 });
    const isNew = (await log.last({ stream: journal.name, subject })) === null;
    const channels = await log.info(name);
    if (channels !== null && !isEmptied(channels)) continue;
    // A stage may be given its first table later; one that has lost them finds that its place is gone.
    if (!isNew && !(inlet.bootstrap && channels === null))
      throw lost(pipeline, name, channels === null ? 'is gone' : 'was purged');
  }
  return hasBegun;
}

/** Cuts leave the last message of every chain. */
function isEmptied({ messages, lastSeq }: StreamInfo): boolean {
  return messages === 0 && lastSeq > 0;
}

function lost(pipeline: string, stream: string, what: string): MillraceError {
  return new MillraceError(
    'CHAIN_BROKEN',
    `stream ${stream} ${what}, and pipeline ${pipeline} cannot go on without what was in it. Restore it (nats stream restore); or ${BEGIN_ANEW}`,
  );
}
