/**
 * The wiring of a worker's main thread: the one place that names adapters, host and engine together. Everything else is
 * handed ports. The engine's own wiring is in `engine-thread.ts`.
 */
import { realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../lib/base/clock.ts';
import { makeFolder } from '../lib/base/folder.ts';
import { packageFile } from '../lib/base/package.ts';
import { resultsFinder } from '../lib/cluster/results.ts';
import { clusterSecret } from '../lib/cluster/secret.ts';
import { type Clearable, type ClearPipeline, pipelineClearer } from '../lib/host/clear.ts';
import { Engines } from '../lib/host/engines.ts';
import { Planning } from '../lib/host/planning.ts';
import type { Sweepable } from '../lib/host/sweep.ts';
import { lockFolder } from '../lib/level/folder-lock.ts';
import { LevelStores } from '../lib/level/stores.ts';
import { checkJetStream } from '../lib/nats/api.ts';
import { openBlobs } from '../lib/nats/blobs.ts';
import { connectNats, type NatsLink, type NatsOptions } from '../lib/nats/connection.ts';
import { NatsLog } from '../lib/nats/log.ts';
import { openRegistry } from '../lib/nats/registry.ts';
import { errorFields, type Observer } from '../lib/observe/events.ts';
import type { Meter } from '../lib/observe/meter.ts';
import type { Blobs } from '../lib/port/blob.ts';
import type { Log } from '../lib/port/log.ts';
import type { Registry } from '../lib/port/registry.ts';
import { Seal } from '../lib/record/seal.ts';
import type { Judge } from '../lib/service/plan.ts';
import { pipelineFinder } from '../lib/service/remembered.ts';
import { incompatibilities } from '../lib/topology/summary.ts';
import { type Environment, telemetryEnvironment } from './config.ts';
import type { EngineOptions } from './engine-thread.ts';

/** All that a worker is made of but the worker itself. The engine is not open yet. */
export interface Wiring {
  readonly link: NatsLink;
  readonly log: Log;
  readonly registry: Registry;
  /** What letters and replays are known by. */
  readonly seal: Seal;
  readonly blobs: Blobs & Sweepable;
  readonly engine: Engines<EngineOptions>;
  readonly judge: Judge;
  readonly clear: ClearPipeline;
  /** The local stores of this worker. */
  readonly stores: Clearable;
  close(): Promise<void>;
}

/**
 * @param options.dataDir is locked: it belongs to one process. Throws STORE_IN_USE.
 * @param options.threads that share the pipelines, 1 or more.
 * @param options.replicas of every stream that is made; default 1. Throws BROKER_REFUSED without a cluster.
 */
export async function openWiring(options: {
  nats: NatsOptions;
  dataDir: string;
  /** The KV bucket and the blobs that the cluster's workers share. */
  bucket: string;
  /** What pipelines' code may read of the environment. */
  env: Environment;
  threads: number;
  replicas?: number;
  observer: Observer;
  /** How long a function of a pipeline may take for one record, or a bundle to be loaded, ms. */
  stuckMs: number;
  /** What a pipeline of that name counts with. */
  meter(pipeline: string): Meter;
  /** Address of a collector that spans are sent to; null: nobody traces. */
  otlp: string | null;
}): Promise<Wiring> {
  const { observer, stuckMs, otlp, bucket, env, replicas = 1 } = options;
  const root = await realpath(options.dataDir);
  const lock = await lockFolder(root);
  let link: NatsLink | null = null;
  try {
    link = await connectNats(options.nats);
    await checkJetStream(link);
    const registry = await openRegistry(link, { bucket, replicas });
    registry.onTrouble = error => observer.emit({ event: 'registry.troubled', level: 'warn', ...errorFields(error) });
    const secret = await clusterSecret(registry);
    const blobs = await openBlobs(link, { bucket, replicas });
    const log = new NatsLog(link, { replicas });
    makeFolder(join(root, 'state'));
    const nats = { ...options.nats, name: `${options.nats.name} engine` };
    const engine = new Engines<EngineOptions>({
      threads: options.threads,
      launcher: packageFile('cmd/engine-thread.mjs'),
      optionsOf: share => ({
        ...{ nats, root, bucket, replicas, share, otlp, secret },
        ...{ otlpEnv: telemetryEnvironment(), given: env.given },
      }),
      env: env.variables,
      stuckMs,
      clock: systemClock,
      observer,
      meter: options.meter,
    });
    const dir = join(root, 'bundles');
    // What those have left that were killed while they loaded something.
    await rm(dir, { recursive: true, force: true });
    const judge = judgeOver({ log, blobs }, { dir, env, limitMs: stuckMs });
    const stores = new LevelStores({ root: join(root, 'state'), isLocked: true });
    const clear = pipelineClearer({ log, blobs, stores });
    const open = link;
    return {
      link,
      log,
      registry,
      seal: new Seal(secret),
      blobs,
      engine,
      judge,
      clear,
      stores,
      async close() {
        await open.close();
        await lock.release();
      },
    };
  } catch (error) {
    await link?.close();
    await lock.release();
    throw error;
  }
}

interface PlanningAround {
  readonly dir: string;
  /** With `given` null: the pipeline runs elsewhere, and may need any. */
  readonly env: Pick<Environment, 'variables'> & { readonly given: readonly string[] | null };
  readonly limitMs: number;
}

/** What judges bundles by what is on a broker. `blobs`: null, the cluster has none yet. @param options.dir folder for bundles that are being loaded. */
export function judgeOver(
  { log, blobs }: { readonly log: Log; readonly blobs: Pick<Blobs, 'get'> | null },
  options: PlanningAround,
): Judge {
  const planning = planningOver(log, options);
  return {
    plan: bundle => planning.plan(bundle),
    incompatibilities,
    remembered: pipelineFinder(log, blobs),
    results: resultsFinder(log),
  };
}

/** @param log null: nobody is asked, and streams are taken to be as pipelines need them. */
export function planningOver(log: Log | null, { dir, env, limitMs }: PlanningAround): Planning {
  const { variables, given } = env;
  const launcher = packageFile('cmd/plan-thread.mjs');
  return new Planning({ launcher, broker: log, dir, env: variables, given, limitMs });
}
