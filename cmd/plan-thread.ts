/**
 * The thread that plans one bundle (`lib/host/planning.ts` starts it), and then ends.
 */
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { invariant } from '../lib/base/errors.ts';
import { isAuthors } from '../lib/base/place.ts';
import type { PlanThreadData } from '../lib/host/planning.ts';
import type { ToPlanning } from '../lib/seam/messages.ts';
import { planBundle } from '../lib/seam/planning.ts';

const port = parentPort;
invariant(port !== null, 'plan-thread runs in a thread of its own');
// What the author's code has left behind (a promise that nobody waited for, a timer) is no part of its plan.
process.on('uncaughtException', error => {
  if (!isAuthors(error)) throw error;
});
// As in the engine's thread, where this would be in everybody's objects.
Object.preventExtensions(Object.prototype);
const { bundle, dir, asks, given } = workerData as PlanThreadData;
await planBundle({
  port,
  bundle,
  dir,
  asks,
  given,
  next: async () => (await once(port, 'message'))[0] as ToPlanning,
});
