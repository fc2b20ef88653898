/**
 * The wiring: the one place that names adapters and engine together. Everything else is handed ports.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../lib/base/clock.ts';
import { Random } from '../lib/base/random.ts';
import { startPipeline } from '../lib/engine/pipeline.ts';
import { lockFolder } from '../lib/level/folder-lock.ts';
import { LevelStores } from '../lib/level/stores.ts';
import { checkJetStream } from '../lib/nats/api.ts';
import { openBlobs } from '../lib/nats/blobs.ts';
import { connectNats, type NatsLink, type NatsOptions } from '../lib/nats/connection.ts';
import { NatsLog } from '../lib/nats/log.ts';
import { openRegistry } from '../lib/nats/registry.ts';
import { errorFields, type Observer } from '../lib/observe/events.ts';
import type { Meter } from '../lib/observe/meter.ts';
import type { Tracing } from '../lib/observe/tracing.ts';
import type { GripOn, Hand } from '../lib/operator/hand.ts';
import type { Blobs } from '../lib/port/blob.ts';
import type { Log } from '../lib/port/log.ts';
import type { Registry } from '../lib/port/registry.ts';
import { pipelineClearer } from '../lib/host/clear.ts';
import { pipelineCompiler } from '../lib/bundle/compile.ts';
import type { Engine } from '../lib/host/engine.ts';
import { pipelineFinder } from '../lib/service/remembered.ts';
import { resultsFinder } from '../lib/cluster/results.ts';
import type { Sweepable } from '../lib/host/sweep.ts';

/** The KV bucket and the blobs that a cluster's workers share. */
const BUCKET = 'millrace';

/** All that a worker is made of but the worker itself. */
export interface Ground {
  readonly link: NatsLink;
  readonly log: Log;
  readonly registry: Registry;
  readonly blobs: Blobs & Sweepable;
  readonly engine: Engine;
  close(): Promise<void>;
}

/**
 * @param options.dataDir made if missing, and locked: it belongs to one process. Throws STORE_IN_USE.
 * @param options.replicas of every stream that is made; default 1. Throws BROKER_REFUSED without a cluster.
 */
export async function openGround(options: {
  nats: NatsOptions;
  dataDir: string;
  replicas?: number;
  observer: Observer;
  hand: Hand;
  /** What a pipeline of that name counts with. */
  meter(pipeline: string): Meter;
  /** Undefined: nobody traces. */
  tracing: Tracing | undefined;
}): Promise<Ground> {
  const { observer, hand, replicas = 1 } = options;
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
    const stores = new LevelStores({ root: join(root, 'state') });
    await mkdir(join(root, 'state'), { recursive: true });
    const around = { log, blobs, stores, clock: systemClock, random: new Random(randomBytes(4).readUInt32LE()) };
    const compiler = pipelineCompiler({ log, dir: join(root, 'bundles') });
    const engine: Engine = {
      ...compiler,
      remembered: pipelineFinder(log),
      results: resultsFinder(log),
      plan: bundle => hand.loading(bundle, () => compiler.plan(bundle)),
      start: async (plan, { observer, life, revision, programs }) => {
        const { pipeline } = plan;
        hand.checkStart(pipeline, revision);
        const grip: GripOn = (operator, cursor) => hand.at({ pipeline, revision, operator }, cursor);
        const meter = options.meter(pipeline);
        return startPipeline({
          plan,
          around: { ...around, observer, meter, tracing: options.tracing, grip },
          life,
          revision,
          programs,
        });
      },
      clear: pipelineClearer({ log, blobs, stores }),
    };
    const open = link;
    return {
      link,
      log,
      registry,
      blobs,
      engine,
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
