/**
 * What `worker` and `dev` run: a node, from its telemetry up, until it is told to stop. It waits for a broker that is not
 * there yet.
 */
import { sleep, systemClock } from '../lib/base/clock.ts';
import { isMillraceError } from '../lib/base/errors.ts';
import type { SpecKeys } from '../lib/cluster/spec-keys.ts';
import type { Access } from '../lib/control/access.ts';
import type { WorkerOptions } from '../lib/host/worker.ts';
import { closeToOthers, privateFolder } from '../lib/level/private.ts';
import type { NatsOptions } from '../lib/nats/connection.ts';
import { errorFields, type Observer, observers } from '../lib/observe/events.ts';
import type { Environment } from './config.ts';
import { type Node, startNode } from './node.ts';
import { type MetricsAddress, Telemetry } from './telemetry.ts';
import { checkCollector } from './tracing.ts';

const RETRY_MS = 2_000;

export interface RunOptions {
  readonly nats: Omit<NatsOptions, 'name'>;
  readonly dataDir: string;
  /** The bucket of the cluster. */
  readonly bucket: string;
  /** What pipelines' code may read of the environment. */
  readonly env: Environment;
  readonly listen: string;
  readonly advertise: string | null;
  readonly metrics: MetricsAddress;
  /** Address of a collector that spans are sent to; absent or null: nobody traces. */
  readonly otlp?: string | null;
  /** Replicas of the streams that Millrace makes, 1 to 5. Default 1. */
  readonly replicas?: number;
  /** Threads that share the pipelines. Default 1. */
  readonly threads?: number;
  /** What the cluster's other workers go by; see `WorkerOptions`. */
  readonly place?: Pick<WorkerOptions, 'zone' | 'capacity' | 'standbys'>;
  /** TLS of its API, and who may call it; absent: neither is asked for. */
  readonly access?: Access;
  /** What specs are signed and known by; absent or null: every spec is taken. */
  readonly keys?: SpecKeys | null;
  /** Folder of the project whose `millrace dev` this is; absent or null: a worker. */
  readonly project?: string | null;
  readonly stopMs: number;
  /** How long a function of a pipeline may take for one record before it counts as stuck, ms. */
  readonly stuckMs: number;
  readonly observer: Observer;
  /** Resolves when it should end. */
  readonly stopped: Promise<null>;
}

/** Resolves with the exit code. Throws why it could not start, for a reason that a person must mend. */
export async function runWorker(options: RunOptions): Promise<number> {
  if (options.otlp) checkCollector(options.otlp);
  closeToOthers();
  // Up before the broker is reached, so that a probe does not end a worker that waits for it.
  const telemetry = await Telemetry.start(options.metrics);
  const observer = observers(options.observer, telemetry);
  // What nobody expected ends the process: recovery is tested, going on with half a state is not.
  process.on('uncaughtException', error => {
    observer.emit({ event: 'worker.crashed', level: 'error', ...errorFields(error), stack: error.stack });
    process.exit(1);
  });
  if (telemetry.address !== null) {
    observer.emit({ event: 'metrics.listening', level: 'info', address: telemetry.address });
  }
  const opened = await privateFolder(options.dataDir);
  if (opened !== null) observer.emit({ event: 'data.open', level: 'warn', message: opened });
  const node = await startWhenReachable({ ...options, observer, telemetry });
  if (node === null) {
    await telemetry.stop();
    return 0;
  }
  observer.emit({ event: 'api.listening', level: 'info', address: node.listening.join(', '), worker: node.name });
  const failure = await Promise.race([options.stopped, node.failed]);
  if (failure !== null) observer.emit({ event: 'worker.failed', level: 'error', ...errorFields(failure) });
  await node.stop({ deadlineMs: options.stopMs });
  await telemetry.stop();
  return failure === null ? 0 : 1;
}

/** A worker may be started before its broker: it waits and says so. Null: it was told to stop meanwhile. */
async function startWhenReachable(options: RunOptions & { readonly telemetry: Telemetry }): Promise<Node | null> {
  const { stopped } = options;
  let over = false;
  void stopped.then(() => {
    over = true;
  });
  while (!over) {
    try {
      // Told to stop while it starts: the process ends, and whatever was begun is as after a crash.
      return await Promise.race([startNode(options), stopped]);
    } catch (error) {
      if (!isMillraceError(error, 'BROKER_UNAVAILABLE')) throw error;
      options.observer.emit({ event: 'nats.unreachable', level: 'warn', retryMs: RETRY_MS, ...errorFields(error) });
      await Promise.race([sleep(systemClock, RETRY_MS), stopped]);
    }
  }
  return null;
}
