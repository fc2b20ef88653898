/**
 * Clearing: what a pipeline that no longer runs has left in the broker, the blobs and the data folder, and how it goes.
 *
 * With a purge goes all that only Millrace reads: journals, channels, letters, markers, snapshots, the local stores. What
 * is never touched: streams that sources read and streams with results, also those that Millrace has made.
 */
import type { Blobs } from '../port/blob.ts';
import type { Log } from '../port/log.ts';
import type { Stores } from '../port/store.ts';
import { channelsStream, journalStream, lettersStream, markerSubjects } from '../record/names.ts';
import { type Plan, sourcesOf } from '../topology/plan.ts';
import type { ClearPipeline, Remains } from './host.ts';

export function pipelineClearer(ports: { log: Log; blobs: Blobs; stores: Stores }): ClearPipeline {
  return async (pipeline, { plan, purge, dryRun }) => {
    const kept: string[] = [];
    const deleted: string[] = [];
    const own = purge ? deleted : kept;
    const goes = purge && !dryRun;
    for (const stream of ownStreams(pipeline, plan)) {
      const info = await ports.log.info(stream);
      if (info === null) continue;
      if (goes) await ports.log.deleteStream(stream);
      own.push(`stream ${stream} (${info.messages} messages)`);
    }
    await clearSnapshots(pipeline, { ...ports, goes, own });
    if (plan === null) {
      kept.push(
        `streams MR_${pipeline}_x_…, if any: the pipeline cannot be loaded any more, so its stages are unknown`,
      );
    } else {
      await clearMarkers(plan, { ...ports, goes, own });
      kept.push(...(await usersStreams(plan, ports.log)));
    }
    return { kept, deleted } satisfies Remains;
  };
}

/** Streams whose every message is Millrace's own, those that others depend on last. */
function ownStreams(pipeline: string, plan: Plan | null): string[] {
  const channels = (plan?.stages ?? []).map(stage => channelsStream(pipeline, stage.name));
  return [...channels, lettersStream(pipeline), journalStream(pipeline)];
}

async function clearSnapshots(
  pipeline: string,
  { blobs, stores, goes, own }: { blobs: Blobs; stores: Stores; goes: boolean; own: string[] },
): Promise<void> {
  const names = await blobs.list(`${pipeline}/`);
  const locations = (await stores.list()).filter(location => location.startsWith(`${pipeline}/`));
  if (goes) {
    for (const name of names) await blobs.delete(name);
    for (const location of locations) await stores.discard(location);
  }
  if (names.length > 0) own.push(`snapshots (${names.length} blobs)`);
  if (locations.length > 0) own.push(`local state (${locations.length} stores of this worker)`);
}

/** Markers lie in the streams of shared sinks, beside the results. */
async function clearMarkers(plan: Plan, { log, goes, own }: { log: Log; goes: boolean; own: string[] }): Promise<void> {
  for (const sink of plan.sinks) {
    if (sink.mode !== 'shared') continue;
    const info = await log.info(sink.stream.name);
    if (info === null) continue;
    const subject = markerSubjects(plan.pipeline, sink.name);
    if (goes) await log.trim({ stream: sink.stream.name, subject, before: info.lastSeq + 1 });
    own.push(`markers ${subject} in stream ${sink.stream.name}`);
  }
}

async function usersStreams(plan: Plan, log: Log): Promise<string[]> {
  const lines: string[] = [];
  const results = new Set(plan.sinks.map(sink => sink.stream.name));
  const inputs = new Set(sourcesOf(plan).map(source => source.stream));
  for (const stream of new Set([...results, ...inputs])) {
    const info = await log.info(stream);
    if (info === null) continue;
    lines.push(`stream ${stream} (${info.messages} messages) with ${results.has(stream) ? 'results' : 'input'}`);
  }
  return lines;
}
