/**
 * What `millrace doctor` looks at beside the broker: this machine, a worker's API, and whether pipelines keep up with what
 * their sources keep.
 */
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isMillraceError, messageOf } from '../../lib/base/errors.ts';
import { VERSION } from '../../lib/base/package.ts';
import type { AdminClient, PipelineInfo } from '../../lib/control/client.ts';
import type { StreamFacts } from '../../lib/nats/survey.ts';
import { STREAM_ROLES } from '../../lib/topology/stream-effects.ts';
import { judgeStream } from '../../lib/topology/stream-settings.ts';
import { streamUses } from '../../lib/topology/stream-uses.ts';
import { readSummary } from '../../lib/topology/summary.ts';
import { bytes, count } from '../output.ts';
import { clockOf } from './broker.ts';
import { bad, type Finding, failed, good, warn } from './finding.ts';

const NODE_MIN: readonly [number, number] = [20, 15];
const FREE_BYTES_MIN = 1 << 30;
const NEAR = 0.8;

export function checkMachine(options: { dataDir: string; nodeVersion: string }): Finding[] {
  const [major = 0, minor = 0] = options.nodeVersion.split('.').map(Number);
  const isNew = major > NODE_MIN[0] || (major === NODE_MIN[0] && minor >= NODE_MIN[1]);
  const node = isNew
    ? good('node', options.nodeVersion)
    : bad('node', options.nodeVersion, `use Node ${NODE_MIN.join('.')} or later`);
  return [node, dataFolder(options.dataDir)];
}

/** The folder need not be there: then it is about the one that it would be made in. */
function dataFolder(dataDir: string): Finding {
  const check = 'data folder';
  let folder = resolve(dataDir);
  while (!existsSync(folder) && folder !== dirname(folder)) folder = dirname(folder);
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    return bad(
      check,
      `${dataDir} cannot be written: ${messageOf(error)}`,
      'give another with --data, or change its permissions',
    );
  }
  const { bavail, bsize } = statfsSync(folder);
  const free = bavail * bsize;
  const text = `${dataDir}, ${bytes(free)} free`;
  return free >= FREE_BYTES_MIN
    ? good(check, text)
    : warn(check, text, 'make room: state that does not fit into memory goes there');
}

/** @param streams for the retention of sources; empty: not known. */
export async function checkWorker(client: AdminClient, streams: readonly StreamFacts[]): Promise<Finding[]> {
  const findings: Finding[] = [];
  try {
    const before = Date.now();
    const info = await client.info();
    findings.push(good('worker', `${info.worker} answers at ${client.address}`));
    findings.push(
      info.version === VERSION
        ? good('versions', `worker and this command are of version ${VERSION}`)
        : warn(
            'versions',
            `the worker is of version ${info.version}, this command of ${VERSION}`,
            'use the same version for both',
          ),
    );
    if (!info.natsConnected) findings.push(bad('worker and NATS', 'the worker is not connected', 'see its log'));
    if (info.activeWorker === null) {
      findings.push(
        bad('leader', 'no worker leads', 'wait some seconds for one to take over, or start one: millrace worker'),
      );
    }
    const workers = await client.workers();
    const others = workers.filter(({ version }) => version !== info.version);
    if (others.length > 0) {
      const text = others.map(({ name, version }) => `${name} is of version ${version}`).join(', ');
      findings.push(warn('workers', text, 'bring all workers to one version'));
    } else findings.push(good('workers', `${workers.length}, all of one version`));
    const pipelines = await client.list();
    const used = new Map<string, Finding>();
    const [first] = pipelines;
    if (first !== undefined) findings.push(clockOf('worker', differenceMs(first.atMs, before, Date.now())));
    for (const pipeline of pipelines) {
      const { summary } = await client.describe(pipeline.name);
      findings.push(...pipelineOf(pipeline, summary, streams));
      for (const finding of usedStreamsOf(summary, streams)) used.set(`${finding.check} ${finding.text}`, finding);
    }
    findings.push(...used.values());
  } catch (error) {
    findings.push(failed('worker', error, adviceFor(error)));
  }
  return findings;
}

function adviceFor(error: unknown): string {
  if (isMillraceError(error, 'WORKER_UNAVAILABLE'))
    return 'start one: millrace worker; or say where it is with --server or --context';
  return 'mend what the worker complains of, and look again';
}

function differenceMs(theirsMs: number, beforeMs: number, afterMs: number): number {
  if (theirsMs >= beforeMs && theirsMs <= afterMs) return 0;
  return theirsMs < beforeMs ? theirsMs - beforeMs : theirsMs - afterMs;
}

function pipelineOf(pipeline: PipelineInfo, summary: unknown, streams: readonly StreamFacts[]): Finding[] {
  const check = `pipeline ${pipeline.name}`;
  const { state, reason, counts, sources } = pipeline.status;
  const why = reason === null ? state : `${state}: ${reason}`;
  if (state === 'failed') return [bad(check, why, `mend the cause, then: millrace restart ${pipeline.name}`)];
  if (state === 'unknown' || state === 'stopped')
    return [warn(check, why, 'see which workers there are: millrace get workers')];
  const findings: Finding[] = [];
  if (counts.dead > 0) {
    findings.push(
      warn(
        check,
        `${count(counts.dead)} dead letters since its first deploy`,
        `see them: millrace letters list ${pipeline.name}`,
      ),
    );
  } else findings.push(good(check, why));
  for (const { name, stream } of sourcesIn(summary)) {
    const source = sources.find(one => one.name === name);
    const facts = streams.find(one => one.name === stream);
    if (source !== undefined && facts !== undefined)
      findings.push(...retentionOf(`source ${pipeline.name}/${name}`, source.position, facts));
  }
  return findings;
}

/** Streams of others as they are set now, whatever they were when the pipeline was planned. */
function usedStreamsOf(summary: unknown, streams: readonly StreamFacts[]): Finding[] {
  const plan = readSummary(summary);
  if (plan === null) return [];
  return streamUses(plan).flatMap(({ stream, use }) => {
    const facts = streams.find(({ name }) => name === stream);
    if (facts === undefined) return [];
    return judgeStream(facts, use).map(({ verdict, setting, means, todo }) =>
      (verdict === 'refused' ? bad : warn)(`stream ${stream}`, `${STREAM_ROLES[use.role]}, ${setting}: ${means}`, todo),
    );
  });
}

/** What the stream drops before it was read is lost. */
function retentionOf(check: string, position: number, stream: StreamFacts): Finding[] {
  const unread = stream.lastSeq - Math.max(position, stream.firstSeq - 1);
  if (unread <= 0) return [good(check, 'all is read')];
  const text = `${count(unread)} messages of ${stream.name} are not read yet`;
  const { config } = stream;
  const shares = [
    config.maxBytes === null ? 0 : stream.bytes / config.maxBytes,
    config.maxMsgs === null ? 0 : stream.messages / config.maxMsgs,
  ];
  const dropsOld = config.discard === 'old' && Math.max(...shares) >= NEAR;
  if (!dropsOld || stream.messages === 0 || unread / stream.messages < 0.5) return [good(check, text)];
  return [
    bad(
      check,
      `${text}, and the stream is about to drop the oldest`,
      `let ${stream.name} keep more: nats stream edit ${stream.name} --max-bytes, --max-msgs`,
    ),
  ];
}

/** The plan's sources, wherever they stand in it. */
function sourcesIn(summary: unknown): { name: string; stream: string }[] {
  if (typeof summary !== 'object' || summary === null) return [];
  const { kind, name, stream } = summary as Readonly<Record<string, unknown>>;
  if (kind === 'stream' && typeof name === 'string' && typeof stream === 'string') return [{ name, stream }];
  return Object.values(summary).flatMap(sourcesIn);
}
