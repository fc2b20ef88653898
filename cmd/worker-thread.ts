/**
 * The thread of a worker (`supervisor.ts` starts it): all that it does happens here. What it wants to tell, the main
 * thread says.
 */
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { invariant, isMillraceError } from '../lib/base/errors.ts';
import type { Observer } from '../lib/observe/events.ts';
import { Hand } from '../lib/operator/hand.ts';
import { runWorker } from './run-worker.ts';
import type { ThreadData, ThreadMessage } from './supervisor.ts';
import type { WorkerOptions } from './worker.ts';

const BEAT_MS = 100;

const port = parentPort;
invariant(port !== null, 'worker-thread runs in a thread of its own');
const say = (message: ThreadMessage) => port.postMessage(message);
const { options, memory, suspects } = workerData as ThreadData<WorkerOptions>;
const hand = new Hand({ memory, suspects, named: (number, site) => say({ kind: 'site', number, site }) });
const beat = setInterval(() => hand.beat(), BEAT_MS);
const stopped = once(port, 'message').then(() => null);
const observer: Observer = { emit: event => say({ kind: 'event', event }) };
try {
  const code = await runWorker({ ...options, observer, hand, stopped });
  say({ kind: 'ended', code });
  process.exit(code);
} catch (error) {
  // What a person must mend is no crash: the command ends with it, as every other does.
  if (!isMillraceError(error) || error.fate === 'fatal') throw error;
  say({ kind: 'refused', code: error.code, message: error.message });
  process.exit(1);
} finally {
  clearInterval(beat);
}
