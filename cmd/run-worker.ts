/**
 * What a worker's thread runs: a node, from its telemetry up, until it is told to stop. It waits for a broker that is
 * not there yet.
 */
import { sleep, systemClock } from '../lib/base/clock.ts';
import { isMillraceError } from '../lib/base/errors.ts';
import { isAuthors, placedMessageOf } from '../lib/base/place.ts';
import { errorFields, type Observer, observers } from '../lib/observe/events.ts';
import type { Hand } from '../lib/operator/hand.ts';
import { type Node, startNode } from './node.ts';
import { Telemetry } from './telemetry.ts';
import type { WorkerOptions } from './worker.ts';

const RETRY_MS = 2_000;

export interface RunOptions extends WorkerOptions {
  readonly observer: Observer;
  readonly hand: Hand;
  readonly stopped: Promise<null>;
}

/** Resolves with the exit code. */
export async function runWorker(options: RunOptions): Promise<number> {
  // Up before the broker is reached, so that a probe does not end a worker that waits for it.
  const telemetry = await Telemetry.start(options.metrics, options.otlp ?? null);
  const observer = observers(options.observer, telemetry);
  // What nobody expected ends the process: recovery is tested, going on with half a state is not. What a pipeline's
  // functions have left behind (a promise that nobody waited for, a timer) touches no state of ours.
  process.on('uncaughtException', error => {
    if (isAuthors(error)) {
      const message = placedMessageOf(error);
      observer.emit({ event: 'user.failed', level: 'warn', code: 'USER_CODE', message });
      return;
    }
    observer.emit({ event: 'worker.crashed', level: 'error', ...errorFields(error), stack: error.stack });
    process.exit(1);
  });
  if (telemetry.address !== null) {
    observer.emit({ event: 'metrics.listening', level: 'info', address: telemetry.address });
  }
  const node = await startWhenReachable({ ...options, observer, telemetry });
  if (node === null) {
    await telemetry.stop();
    return 0;
  }
  observer.emit({ event: 'api.listening', level: 'info', address: node.address, worker: node.name });
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
