/**
 * The thread of a worker (`supervisor.ts` starts it): all that it does happens here. What it wants to tell, the main
 * thread says.
 */
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';
import { invariant } from '../lib/base/errors.ts';
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
const code = await runWorker({ ...options, observer: { emit: event => say({ kind: 'event', event }) }, hand, stopped });
clearInterval(beat);
say({ kind: 'ended', code });
process.exit(code);
