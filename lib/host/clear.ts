/**
 * Clearing: what a pipeline that no longer runs has left in the broker, the blobs and the data folder, and how it goes.
 *
 * With a purge goes all that only Millrace reads: journals, channels, letters, markers, snapshots, the local stores. What
 * is never touched: streams that sources read and streams with results, also those that Millrace has made.
 *
 * Whoever carries this out may be frozen between any two steps, and go on when the pipeline has been purged by another
 * and deployed again. So what is deleted has the life in its name, and what has not (letters, of all lives in one stream)
 * is deleted up to a sequence that was read before it was made sure that the life was still the last.
 */
import type { Remains } from '../cluster/specs.ts';
import type { Blobs } from '../port/blob.ts';
import type { Log } from '../port/log.ts';
import type { Stores } from '../port/store.ts';
import {
  channelsStream,
  type Deployment,
  INTERNAL_SUBJECTS,
  journalStream,
  lettersStream,
  lettersSubjects,
  markersOfLife,
  stateLocation,
} from '../record/names.ts';
import { inletsOf } from '../topology/plan.ts';
import { type PlanSummary, readSummary } from '../topology/summary.ts';

/**
 * Says what a pipeline that no longer runs has left (journals, channels, snapshots, output streams), and with `purge`
 * deletes all that is Millrace's own; streams that users read are kept always. With `dryRun` it only says what it would
 * do. May be repeated after a failure, and carried out by a worker that was frozen in the middle of it: it touches this
 * life alone.
 */
export type ClearPipeline = (
  deployment: Deployment,
  options: {
    /** As it was stored with the spec: no code of the pipeline is needed. */
    summary: unknown;
    purge: boolean;
    dryRun: boolean;
    /** Throws CONFLICT once the pipeline is no longer to be deleted: asked before what has no life in its name goes. */
    confirm(): Promise<void>;
  },
) => Promise<Remains>;

/** The local stores of this worker: whoever has them open removes them. */
export type Clearable = Pick<Stores, 'list' | 'discard'>;

export function pipelineClearer(ports: { log: Log; blobs: Blobs; stores: Clearable }): ClearPipeline {
  return async (deployment, { summary, purge, dryRun, confirm }) => {
    const plan = readSummary(summary);
    const kept: string[] = [];
    const deleted: string[] = [];
    const own = purge ? deleted : kept;
    const goes = purge && !dryRun;
    const around = { ...ports, deployment, goes, own, confirm };
    await clearLetters(around);
    for (const stream of ownStreams(deployment, plan)) {
      const info = await ports.log.info(stream);
      if (info === null) continue;
      if (goes) await ports.log.deleteStream(stream);
      own.push(`stream ${stream} (${info.messages} messages)`);
    }
    await clearSnapshots(around);
    if (plan === null) {
      kept.push(
        `streams ${channelsStream(deployment, { stage: '…' })}, if any: the plan was stored by another version, so its stages are unknown`,
      );
    } else {
      await clearMarkers(plan, around);
      kept.push(...(await usersStreams(plan, ports.log)));
    }
    return { kept, deleted } satisfies Remains;
  };
}

interface Clearing {
  readonly deployment: Deployment;
  readonly log: Log;
  readonly blobs: Blobs;
  readonly stores: Clearable;
  /** It is to be done, not only told. */
  readonly goes: boolean;
  /** Lines of what is Millrace's own. */
  readonly own: string[];
  confirm(): Promise<void>;
}

/** Streams whose every message is Millrace's own and of this life, those that others depend on last. */
function ownStreams(deployment: Deployment, plan: PlanSummary | null): string[] {
  const channels = (plan === null ? [] : inletsOf(plan)).map(inlet => channelsStream(deployment, inlet));
  return [...channels, journalStream(deployment)];
}

/** Letters and their markers; the empty stream stays, for lives to come. */
async function clearLetters({ deployment, log, goes, own, confirm }: Clearing): Promise<void> {
  const stream = lettersStream(deployment.pipeline);
  const info = await log.info(stream);
  if (info === null || info.messages === 0) return;
  const letters = info.messages - (await markersIn(stream, log));
  if (goes) {
    await confirm();
    const before = info.lastSeq + 1;
    for (const subject of lettersSubjects(deployment.pipeline)) await log.trim({ stream, subject, before });
  }
  own.push(letters === 0 ? `markers in stream ${stream}` : `letters in stream ${stream} (${letters} of them)`);
}

async function clearSnapshots({ deployment, blobs, stores, goes, own }: Clearing): Promise<void> {
  const prefix = `${stateLocation(deployment)}/`;
  const names = await blobs.list(prefix);
  const locations = (await stores.list()).filter(location => location.startsWith(prefix));
  if (goes) {
    for (const name of names) await blobs.delete(name);
    for (const location of locations) await stores.discard(location);
  }
  if (names.length > 0) own.push(`snapshots (${names.length} blobs)`);
  if (locations.length > 0) own.push(`local state (${locations.length} stores of this worker)`);
}

/** Markers lie in the streams of shared sinks, beside the results. */
async function clearMarkers(plan: PlanSummary, { deployment, log, goes, own }: Clearing): Promise<void> {
  for (const sink of plan.sinks) {
    const { mode, stream } = sink.target;
    if (mode !== 'shared') continue;
    const info = await log.info(stream.name);
    if (info === null) continue;
    const subject = markersOfLife(deployment, sink.name);
    if (goes) await log.trim({ stream: stream.name, subject, before: info.lastSeq + 1 });
    own.push(`markers ${subject} in stream ${stream.name}`);
  }
}

/** How many messages of a stream are markers, of whatever pipeline: nobody who counts results or letters means them. */
function markersIn(stream: string, log: Log): Promise<number> {
  return log.count({ stream, subject: INTERNAL_SUBJECTS });
}

async function usersStreams(plan: PlanSummary, log: Log): Promise<string[]> {
  const lines: string[] = [];
  const results = new Set(plan.sinks.map(sink => sink.target.stream.name));
  const inputs = new Set([
    ...plan.readers.map(({ source }) => source.stream),
    ...plan.stages.flatMap(({ direct }) => direct?.stream ?? []),
  ]);
  for (const stream of new Set([...results, ...inputs])) {
    const info = await log.info(stream);
    if (info === null) continue;
    const messages = info.messages - (await markersIn(stream, log));
    lines.push(`stream ${stream} (${messages} messages) with ${results.has(stream) ? 'results' : 'input'}`);
  }
  return lines;
}
