/**
 * `millrace worker`: a worker that runs until it is told to stop. The first SIGTERM or SIGINT hands everything over
 * within the deadline, a second one ends the process at once (safe: whoever takes over recovers from the journals).
 *
 * This thread only says what happens, passes signals on, and looks after the thread that does the work.
 */
import type { Access } from '../lib/control/access.ts';
import type { NatsOptions } from '../lib/nats/connection.ts';
import type { Observer } from '../lib/observe/events.ts';
import { supervise } from './supervisor.ts';
import type { MetricsAddress } from './telemetry.ts';

/** Plain data: it is handed to a thread. */
export interface WorkerOptions {
  readonly nats: Omit<NatsOptions, 'name'>;
  readonly dataDir: string;
  readonly listen: string;
  readonly advertise: string | null;
  readonly metrics: MetricsAddress;
  /** Of a collector that spans are sent to; absent or null: nobody traces. */
  readonly otlp?: string | null;
  /** Of the streams that Millrace makes, 1 to 5. Default 1. */
  readonly replicas?: number;
  /** TLS and token of its API; absent: neither. */
  readonly access?: Access;
  readonly stopMs: number;
}

export interface WorkerCommandOptions extends WorkerOptions {
  /** How long a function of a pipeline may take for one record before it counts as stuck, ms. */
  readonly stuckMs: number;
  readonly observer: Observer;
}

/** Resolves with the exit code. */
export function workerCommand(options: WorkerCommandOptions): Promise<number> {
  const { observer, stuckMs, ...worker } = options;
  const stopped = firstSignal(observer);
  return supervise({ launcher: 'worker-thread.mjs', options: worker, stuckMs, observer, stopped });
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
