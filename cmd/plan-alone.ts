/**
 * Planning without a worker: what a worker would answer, asked straight of its broker; and without a broker, what a file
 * is by itself. The author's code is loaded as a worker loads it, in a thread with limits of time and memory.
 */
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bundle } from '../lib/bundle/bundle.ts';
import type { Judged } from '../lib/bundle/compile.ts';
import { Owners } from '../lib/cluster/owners.ts';
import { Specs } from '../lib/cluster/specs.ts';
import { NatsBlobs } from '../lib/nats/blobs.ts';
import { connectNats, type NatsOptions } from '../lib/nats/connection.ts';
import { NatsLog } from '../lib/nats/log.ts';
import { NatsRegistry } from '../lib/nats/registry.ts';
import { blobsStream, bucketStream } from '../lib/record/names.ts';
import { type PlanAnswer, planDeploy } from '../lib/service/plan.ts';
import type { Environment } from './config.ts';
import { judgeOver, planningOver } from './wiring.ts';

interface Limits {
  readonly limitMs: number;
  /** What the author's code sees of the environment here; what workers pass is theirs to say. */
  readonly env: Environment;
}

function aroundOf(dir: string, { limitMs, env }: Limits) {
  return { dir, limitMs, env: { ...env, given: null } };
}

/** @param options.limitMs how long the author's code may run. Throws PLAN_INVALID, BROKER_UNAVAILABLE, BROKER_REFUSED. */
export function planAtBroker(
  bundle: Bundle,
  options: Limits & { readonly nats: NatsOptions; readonly bucket: string },
): Promise<PlanAnswer> {
  const { nats, bucket } = options;
  return inFolder(async dir => {
    const link = await connectNats(nats);
    try {
      const log = new NatsLog(link);
      const isThere = (await log.info(bucketStream(bucket))) !== null;
      const registry = new NatsRegistry(link, bucket);
      const cluster = isThere ? { specs: new Specs(registry), owners: new Owners(registry), known: () => null } : null;
      const hasBlobs = (await log.info(blobsStream(bucket))) !== null;
      const blobs = hasBlobs ? new NatsBlobs(link, { bucket }) : null;
      return await planDeploy(bundle, judgeOver({ log, blobs }, aroundOf(dir, options)), cluster);
    } finally {
      await link.close();
    }
  });
}

/** Streams are taken to be as the pipeline needs them. Throws PLAN_INVALID. */
export function planOffline(bundle: Bundle, options: Limits): Promise<Judged> {
  return inFolder(dir => planningOver(null, aroundOf(dir, options)).plan(bundle));
}

/** Gives the work a folder for as long as it takes, also where Ctrl-C ends it. */
async function inFolder<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'millrace-plan-'));
  const removed = () => rmSync(dir, { recursive: true, force: true });
  process.once('exit', removed);
  try {
    return await work(dir);
  } finally {
    process.off('exit', removed);
    await rm(dir, { recursive: true, force: true });
  }
}
