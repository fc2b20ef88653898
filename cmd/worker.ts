/**
 * `millrace worker`: a node that runs until it is told to stop. The first SIGTERM or SIGINT hands everything over within
 * the deadline, a second one ends the process at once (safe: whoever takes over recovers from the journals).
 */
import { sleep, systemClock } from '../lib/base/clock.ts';
import { isMillraceError } from '../lib/base/errors.ts';
import type { NatsOptions } from '../lib/nats/connection.ts';
import { errorFields, type Observer, observers } from '../lib/observe/events.ts';
import { type Node, startNode } from './node.ts';
import { type MetricsAddress, Telemetry } from './telemetry.ts';

const RETRY_MS = 2_000;

export interface WorkerCommandOptions {
  readonly nats: Omit<NatsOptions, 'name'>;
  readonly dataDir: string;
  readonly listen: string;
  readonly advertise: string | null;
  readonly metrics: MetricsAddress;
  /** Of the streams that Millrace makes, 1 to 5. Default 1. */
  readonly replicas?: number;
  readonly stopMs: number;
  readonly observer: Observer;
}

/** Resolves with the exit code. */
export async function workerCommand(options: WorkerCommandOptions): Promise<number> {
  // Up before the broker is reached, so that a probe does not end a worker that waits for it.
  const telemetry = await Telemetry.start(options.metrics);
  const observer = observers(options.observer, telemetry);
  // What nobody expected ends the process: recovery is tested, going on with half a state is not.
  process.on('uncaughtException', error => {
    observer.emit({ event: 'worker.crashed', level: 'error', ...errorFields(error), stack: error.stack });
    process.exit(1);
  });
  const stopped = firstSignal(observer);
  if (telemetry.address !== null) {
    observer.emit({ event: 'metrics.listening', level: 'info', address: telemetry.address });
  }
  const node = await startWhenReachable({ ...options, observer, telemetry }, stopped);
  if (node === null) {
    await telemetry.stop();
    return 0;
  }
  observer.emit({ event: 'api.listening', level: 'info', address: node.address, worker: node.name });
  const failure = await Promise.race([stopped, node.failed]);
  if (failure !== null) observer.emit({ event: 'worker.failed', level: 'error', ...errorFields(failure) });
  await node.stop({ deadlineMs: options.stopMs });
  await telemetry.stop();
  return failure === null ? 0 : 1;
}

/** A worker may be started before its broker: it waits and says so. Null: it was told to stop meanwhile. */
async function startWhenReachable(
  options: WorkerCommandOptions & { readonly telemetry: Telemetry },
  stopped: Promise<null>,
): Promise<Node | null> {
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

/** Resolves at the first signal; from then on the next one ends the process. */
export function firstSignal(observer: Observer): Promise<null> {
  return new Promise(resolve => {
    let signals = 0;
    const heard = (signal: NodeJS.Signals) => {
      if (++signals > 1) process.exit(1);
      observer.emit({ event: 'worker.stopping', level: 'info', signal });
      resolve(null);
    };
    process.on('SIGTERM', heard);
    process.on('SIGINT', heard);
  });
}
