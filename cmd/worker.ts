/**
 * `millrace worker`: a worker that runs until it is told to stop. The first SIGTERM or SIGINT hands everything over
 * within the deadline, a second one ends the process at once (safe: whoever takes over recovers from the journals).
 */
import type { Observer } from '../lib/observe/events.ts';
import { type RunOptions, runWorker } from './run-worker.ts';

/** Resolves with the exit code. */
export function workerCommand(options: Omit<RunOptions, 'stopped'>): Promise<number> {
  return runWorker({ ...options, stopped: firstSignal(options.observer) });
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
