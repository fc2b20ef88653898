/**
 * A thread of the engine (`lib/host/engine-thread.ts` starts it): connects, takes orders, and runs pipelines until it is told to
 * close. All code of pipelines' authors runs here. It waits for a broker that is not there yet.
 */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { sleep, systemClock } from '../lib/base/clock.ts';
import { invariant, isMillraceError, MillraceError } from '../lib/base/errors.ts';
import { isAuthors, placedMessageOf } from '../lib/base/place.ts';
import { Random } from '../lib/base/random.ts';
import { bundlePlanner } from '../lib/bundle/compile.ts';
import type { EngineThreadData } from '../lib/host/engine-life.ts';
import { LevelStores } from '../lib/level/stores.ts';
import { openBlobs } from '../lib/nats/blobs.ts';
import { connectNats, type NatsLink, type NatsOptions } from '../lib/nats/connection.ts';
import { NatsLog } from '../lib/nats/log.ts';
import { type Event, errorFields } from '../lib/observe/events.ts';
import { CallWatch } from '../lib/operator/call-watch.ts';
import { Seal } from '../lib/record/seal.ts';
import { EngineEnd } from '../lib/seam/engine-end.ts';
import { tellError } from '../lib/seam/errors.ts';
import type { ToEngine, ToHost } from '../lib/seam/messages.ts';
import { Budget } from '../lib/task/budget.ts';
import { linkEvent } from './link-events.ts';
import { openTracing } from './tracing.ts';

const BEAT_MS = 100;
const RETRY_MS = 2_000;

/** Plain data: it is handed to the thread. */
export interface EngineOptions {
  readonly nats: NatsOptions;
  /** The real path of the data folder, which the host has locked. */
  readonly root: string;
  /** Where the cluster's blobs are. */
  readonly bucket: string;
  readonly replicas: number;
  /** How much its pipelines may hold in memory of what all of a worker may, 0 to 1. */
  readonly share: number;
  /** Address of a collector that spans are sent to; null: nobody traces. */
  readonly otlp: string | null;
  /** How else they are sent, as variables of its SDK; they may hold keys. */
  readonly otlpEnv: Readonly<Record<string, string>>;
  /** Variables that pipelines' code is given. */
  readonly given: readonly string[];
  /** See `clusterSecret`. */
  readonly secret: Uint8Array;
}

invariant(parentPort !== null, 'engine-thread runs in a thread of its own');
const port: MessagePort = parentPort;
const say = (message: ToHost) => port.postMessage(message);
const emit = (event: Event) => say({ kind: 'event', event });
const exit: (code: number) => never = process.exit.bind(process);
const fault = (error: unknown): never => {
  say({ kind: 'fault', error: tellError(error) });
  exit(1);
};

// A pipeline's function that calls these would end every pipeline here, and again at the same record.
const refuse = (call: string) => (): never => {
  throw new MillraceError('USER_CODE', `${call} would end the worker: throw an error, and the record is a dead letter`);
};
process.exit = refuse('process.exit');
process.kill = refuse('process.kill');
// What one adds to every object all others would have, ours too.
Object.preventExtensions(Object.prototype);

// What nobody expected ends the thread: recovery is tested, going on with half a state is not. What a pipeline's functions
// have left behind (a promise that nobody waited for, a timer) touches no state of ours.
process.on('uncaughtException', error => {
  if (!isAuthors(error)) return fault(error);
  emit({ event: 'user.failed', level: 'warn', code: 'USER_CODE', message: placedMessageOf(error) });
});

const { options, memory, suspects } = workerData as EngineThreadData<EngineOptions>;
// Code of pipelines' authors can ask for it, too, and there is the login in it.
delete workerData.options;
const callWatch = new CallWatch({ memory, suspects, named: (number, site) => say({ kind: 'site', number, site }) });
setInterval(() => callWatch.beat(), BEAT_MS);
let isClosing = false;
let end: EngineEnd | null = null;
let close = async () => exit(0);
port.on('message', (message: ToEngine) => {
  end?.hear(message);
  if (message.kind === 'close') void close();
});
try {
  await open();
} catch (error) {
  fault(error);
}

async function open(): Promise<void> {
  const { root, bucket, replicas, share, otlp, otlpEnv, given, secret } = options;
  const tracing = otlp === null ? undefined : await openTracing(otlp, otlpEnv);
  const link = await connected();
  link.onStatus(status => {
    const { kind } = status;
    if (kind === 'refused' || kind === 'misanswered' || kind === 'starved') emit(linkEvent(status));
    // That it is away the host says of its own connection.
    if (status.kind !== 'closed' || isClosing) return;
    const text = 'the connection to NATS is closed for good; see the server for why';
    fault(new MillraceError('BROKER_REFUSED', text, { cause: status.cause }));
  });
  const log = new NatsLog(link, { replicas });
  end = new EngineEnd({
    port,
    around: {
      log,
      blobs: await openBlobs(link, { bucket, replicas }),
      stores: new LevelStores({ root: join(root, 'state'), isLocked: true }),
      clock: systemClock,
      random: new Random(randomBytes(4).readUInt32LE()),
      tracing,
      seal: new Seal(secret),
    },
    plan: bundlePlanner({ broker: log, dir: join(root, 'bundles'), given }),
    callWatch,
    budget: new Budget({ share }),
  });
  close = async () => {
    isClosing = true;
    await tracing?.stop();
    await link.close();
    exit(0);
  };
  say({ kind: 'ready' });
}

async function connected(): Promise<NatsLink> {
  while (true) {
    try {
      return await connectNats(options.nats);
    } catch (error) {
      if (!isMillraceError(error, 'BROKER_UNAVAILABLE')) throw error;
      emit({ event: 'nats.unreachable', level: 'warn', retryMs: RETRY_MS, ...errorFields(error) });
      await sleep(systemClock, RETRY_MS);
    }
  }
}
