/**
 * The wiring of a worker's main thread: the one place that names adapters, host and engine together. Everything else is
 * handed ports. The engine's own wiring is in `engine-thread.ts`.
 */
import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../lib/base/clock.ts';
import { packageFile } from '../lib/base/package.ts';
import { resultsFinder } from '../lib/cluster/results.ts';
import { type Clearable, type ClearPipeline, pipelineClearer } from '../lib/host/clear.ts';
import { EngineThread } from '../lib/host/engine-thread.ts';
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
import type { Judge } from '../lib/service/plan.ts';
import { pipelineFinder } from '../lib/service/remembered.ts';
import { incompatibilities } from '../lib/topology/summary.ts';
import type { EngineOptions } from './engine-thread.ts';

/** The KV bucket and the blobs that a cluster's workers share. */
export const BUCKET = 'millrace';

/** All that a worker is made of but the worker itself. The engine is not open yet. */
export interface Wiring {
  readonly link: NatsLink;
  readonly log: Log;
  readonly registry: Registry;
  readonly blobs: Blobs & Sweepable;
  readonly engine: EngineThread<EngineOptions>;
  readonly judge: Judge;
  readonly clear: ClearPipeline;
  /** The local stores of this worker. */
  readonly stores: Clearable;
  close(): Promise<void>;
}

/**
 * @param options.dataDir made if missing, and locked: it belongs to one process. Throws STORE_IN_USE.
 * @param options.replicas of every stream that is made; default 1. Throws BROKER_REFUSED without a cluster.
 */
export async function openWiring(options: {
  nats: NatsOptions;
  dataDir: string;
  replicas?: number;
  observer: Observer;
  /** How long a function of a pipeline may take for one record, or a bundle to be loaded, ms. */
  stuckMs: number;
  /** What a pipeline of that name counts with. */
  meter(pipeline: string): Meter;
  /** Address of a collector that spans are sent to; null: nobody traces. */
  otlp: string | null;
}): Promise<Wiring> {
  const { observer, stuckMs, otlp, replicas = 1 } = options;
  await mkdir(options.dataDir, { recursive: true });
  const root = await realpath(options.dataDir);
  const lock = await lockFolder(root);
  let link: NatsLink | null = null;
  try {
    link = await connectNats(options.nats);
    await checkJetStream(link);
    const registry = await openRegistry(link, { bucket: BUCKET, replicas });
    registry.onTrouble = error => observer.emit({ event: 'registry.troubled', level: 'warn', ...errorFields(error) });
    const blobs = await openBlobs(link, { bucket: BUCKET, replicas });
    const log = new NatsLog(link, { replicas });
    await mkdir(join(root, 'state'), { recursive: true });
    const nats = { ...options.nats, name: `${options.nats.name} engine` };
    const engine = new EngineThread<EngineOptions>({
      launcher: packageFile('cmd/engine-thread.mjs'),
      options: { nats, root, bucket: BUCKET, replicas, otlp },
      stuckMs,
      clock: systemClock,
      observer,
      meter: options.meter,
    });
    const dir = join(root, 'bundles');
    const judge = judgeOver(log, { dir, limitMs: stuckMs });
    // The engine has stores open in that folder, and so its lock; to see what is there needs none.
    const seen = new LevelStores({ root: join(root, 'state') });
    const stores = { list: () => seen.list(), discard: (location: string) => engine.discard(location) };
    const clear = pipelineClearer({ log, blobs, stores });
    const open = link;
    return {
      link,
      log,
      registry,
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

/** What judges bundles by what is on a broker. @param options.dir folder for loaded bundles. */
export function judgeOver(log: Log, options: { readonly dir: string; readonly limitMs: number }): Judge {
  const planning = planningOver(log, options);
  return {
    plan: bundle => planning.plan(bundle),
    incompatibilities,
    remembered: pipelineFinder(log),
    results: resultsFinder(log),
  };
}

/** @param log null: nobody is asked, and streams are taken to be as pipelines need them. */
export function planningOver(log: Log | null, options: { readonly dir: string; readonly limitMs: number }): Planning {
  return new Planning({ launcher: packageFile('cmd/plan-thread.mjs'), broker: log, ...options });
}
