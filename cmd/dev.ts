/**
 * `millrace dev FILE`: everything in one process. A broker of its own (unless one is given) with its data in `.millrace/`
 * of the project, a worker, the pipeline deployed, its status, results and dead letters on the screen. The pipeline is
 * deployed again when its file, or one that it imports, is saved. The same command goes on where it was stopped.
 */
import { once } from 'node:events';
import { mkdir, realpath } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { bareHost, splitAddress } from '../lib/base/address.ts';
import { sleep, systemClock } from '../lib/base/clock.ts';
import { isMillraceError, MillraceError, messageOf } from '../lib/base/errors.ts';
import type { Bundle } from '../lib/bundle/bundle.ts';
import { bundlePipeline, projectRoot } from '../lib/bundle/bundle.ts';
import { AdminClient } from '../lib/control/client.ts';
import { lockFolder } from '../lib/level/folder-lock.ts';
import { connectNats, type NatsLink, type NatsOptions } from '../lib/nats/connection.ts';
import { findServer } from '../lib/nats/find-server.ts';
import { NatsLog } from '../lib/nats/log.ts';
import { type NatsServer, startServer } from '../lib/nats/server.ts';
import type { Log } from '../lib/port/log.ts';
import type { PlanSummary } from '../lib/topology/summary.ts';
import { inputsOf, nearbyInputs, stampOf } from './inputs.ts';
import { runWorker } from './run-worker.ts';
import { liveScreen, plainScreen, type Screen } from './screen.ts';
import { Tail } from './tail.ts';
import type { MetricsAddress } from './telemetry.ts';
import { firstSignal } from './worker.ts';

const STATUS_MS = 1_000;
const LOOK_MS = 250;
const NATS_PORT = 4222;

export interface DevOptions {
  readonly file: string;
  /** An existing broker; null: one of our own. */
  readonly nats: Omit<NatsOptions, 'name'> | null;
  /** Null: `.millrace` in the file's project. */
  readonly dataDir: string | null;
  readonly listen: string;
  readonly metrics: MetricsAddress;
  readonly stopMs: number;
  /** See `RunOptions`. */
  readonly stuckMs: number;
  /** Path of a nats-server; null: it is looked for. */
  readonly natsServer: string | null;
  /** Where this user's caches go. */
  readonly cacheDir: string;
}

/** Resolves with the exit code. Throws NOT_FOUND when there is no such file; a file with mistakes is waited for. */
export async function devCommand(options: DevOptions): Promise<number> {
  const file = resolve(options.file);
  const first = await attempt(file);
  const dataDir = options.dataDir ?? join(projectRoot(file), '.millrace');
  await mkdir(dataDir, { recursive: true });
  // Before the broker is started: two brokers on one folder destroy each other's streams, and nats-server lets them.
  const lock = await lockFolder(await realpath(dataDir));
  let broker: NatsServer | null = null;
  let worker: Promise<number> | null = null;
  let link: NatsLink | null = null;
  let screen: Screen | null = null;
  const stopped = firstSignal({ emit: event => screen?.say(`stopping … (${event.signal}; once more to force it)`) });
  const over = new AbortController();
  try {
    if (options.nats === null) broker = await startBroker(join(dataDir, 'nats'), options);
    const nats = options.nats ?? { servers: broker!.url };
    const isFixed = !options.listen.endsWith(':0') && (await isFree(options.listen));
    const address = isFixed ? options.listen : await freeAddress();
    let up: () => void = () => {};
    const listening = new Promise<void>(resolve => {
      up = resolve;
    });
    const { metrics, stopMs, stuckMs } = options;
    worker = runWorker({
      nats,
      dataDir: join(dataDir, 'worker'),
      listen: address,
      advertise: null,
      metrics,
      stopMs,
      stuckMs,
      observer: {
        emit(event) {
          if (event.event === 'api.listening') up();
          screen?.emit(event);
        },
      },
      stopped: once(over.signal, 'abort').then(() => null),
    });
    const ended = worker.then(code => {
      if (!over.signal.aborted) throw new MillraceError('WORKER_UNAVAILABLE', `the worker ended with code ${code}`);
    });
    await Promise.race([listening, ended, stopped]);
    link = await connectNats({ ...nats, name: 'millrace dev' });
    const title = `millrace dev  ${options.file}  broker ${[nats.servers].flat().join(',')}  api ${address}`;
    screen = makeScreen(title);
    await Promise.race([stopped, ended, follow({ address, log: new NatsLog(link), first, file, screen })]);
    return 0;
  } finally {
    screen?.stop();
    over.abort();
    // Why it could not start has been thrown already.
    await worker?.catch(() => {});
    await link?.close();
    await broker?.stop();
    await lock.release();
  }
}

/** A bundle, or why there is none. */
type Attempt = { readonly bundle: Bundle } | { readonly mistake: MillraceError };

/** Throws what an author cannot mend by saving, e.g. NOT_FOUND. */
async function attempt(file: string): Promise<Attempt> {
  try {
    return { bundle: await bundlePipeline(file) };
  } catch (error) {
    if (isMillraceError(error, 'PLAN_INVALID')) return { mistake: error };
    throw error;
  }
}

/**
 * Deploys, then shows status and results, and deploys again what has changed; ends only by throwing. The author is at
 * work: a mistake is shown, and what was deployed goes on.
 */
async function follow(options: {
  address: string;
  log: Log;
  first: Attempt;
  file: string;
  screen: Screen;
}): Promise<never> {
  const { address, log, file, screen } = options;
  const client = new AdminClient({ address });
  const tail = new Tail(log, { row: row => screen.row(row), letter: letter => screen.letter(letter) });
  let next: Attempt | null = options.first;
  let name: string | null = null;
  let inputs: readonly string[] = [file];
  let stamp = '';
  let statusAtMs = 0;
  while (true) {
    try {
      if (next !== null) {
        const made: Attempt = next;
        next = null;
        // Before it is deployed, so that a save meanwhile is not missed.
        inputs = 'bundle' in made ? inputsOf(made.bundle, file) : nearbyInputs(file);
        stamp = stampOf(inputs);
        if ('mistake' in made) throw made.mistake;
        name = await deploy(client, { bundle: made.bundle, screen, tail });
      }
      await tail.poll();
      if (name !== null && performance.now() - statusAtMs > STATUS_MS) {
        statusAtMs = performance.now();
        screen.status(await client.get(name));
      }
    } catch (error) {
      screen.say(`error: ${messageOf(error)}${name === null ? '\nsave the file to try again' : ''}`);
    }
    await sleep(systemClock, LOOK_MS);
    const now = stampOf(inputs);
    if (now === stamp) continue;
    // An editor may write a file in several steps.
    await sleep(systemClock, LOOK_MS / 2);
    try {
      next = await attempt(file);
    } catch (error) {
      stamp = stampOf(inputs);
      screen.say(`error: ${messageOf(error)}`);
    }
  }
}

async function deploy(client: AdminClient, options: { bundle: Bundle; screen: Screen; tail: Tail }): Promise<string> {
  const { bundle, screen, tail } = options;
  const { name, summary } = await client.plan(bundle);
  await tail.add({ pipeline: name, sinks: (summary as PlanSummary).sinks });
  try {
    const { name, revision, outcome } = await client.deploy(bundle);
    screen.say(
      outcome === 'unchanged' ? `${name} goes on (revision ${revision})` : `${name} ${outcome} (revision ${revision})`,
    );
    return name;
  } catch (error) {
    if (!isMillraceError(error, 'PLAN_INCOMPATIBLE')) throw error;
    throw new MillraceError('PLAN_INCOMPATIBLE', `${error.message}, or delete the folder .millrace to begin anew`, {
      cause: error,
    });
  }
}

async function startBroker(
  dataDir: string,
  { natsServer, cacheDir }: Pick<DevOptions, 'natsServer' | 'cacheDir'>,
): Promise<NatsServer> {
  // The usual port where it is free, so that other programs find the broker without being told.
  const port = (await isFree(`127.0.0.1:${NATS_PORT}`)) ? NATS_PORT : 0;
  const tried = (line: string) => void process.stderr.write(`${line}\n`);
  const found = await findServer({
    cacheDir: join(cacheDir, 'nats-server'),
    variable: natsServer ?? undefined,
    // On the way to the PATH's nothing needs to be told; a download takes a while.
    log: line => (line.startsWith('nats-server ') ? undefined : tried(line)),
  });
  return startServer({ dataDir, port, binary: found.binary });
}

function makeScreen(title: string): Screen {
  const options = {
    title,
    write: (text: string) => void process.stdout.write(text),
    now: () => Date.now(),
    columns: () => process.stdout.columns ?? 120,
  };
  return process.stdout.isTTY ? liveScreen(options) : plainScreen(options);
}

function isFree(address: string): Promise<boolean> {
  const [host, port] = splitAddress(address);
  return new Promise(resolve => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: bareHost(host), port }, () => server.close(() => resolve(true)));
  });
}

async function freeAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return `127.0.0.1:${port}`;
}
