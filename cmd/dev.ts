/**
 * `millrace dev FILE`: everything in one process. A broker of its own (unless one is given) with its data in `.millrace/`
 * of the project, a worker, the pipeline deployed, its status, results and dead letters on the screen. The pipeline is
 * deployed again when its file, or one that it imports, is saved. The same command goes on where it was stopped.
 */
import { once } from 'node:events';
import { realpath } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { bareHost, splitAddress } from '../lib/base/address.ts';
import { MillraceError, messageOf } from '../lib/base/errors.ts';
import { projectRoot } from '../lib/bundle/bundle.ts';
import { AdminClient } from '../lib/control/client.ts';
import { lockFolder } from '../lib/level/folder-lock.ts';
import { closeToOthers, privateFolder } from '../lib/level/private.ts';
import { connectNats, type NatsLink, type NatsOptions } from '../lib/nats/connection.ts';
import { findServer } from '../lib/nats/find-server.ts';
import { NatsLog } from '../lib/nats/log.ts';
import { type NatsServer, startServer } from '../lib/nats/server.ts';
import type { Environment } from './config.ts';
import { publishDev } from './dev-file.ts';
import { attempt, loop } from './dev-loop.ts';
import { runWorker } from './run-worker.ts';
import { liveScreen, plainScreen, type Screen } from './screen.ts';
import type { MetricsAddress } from './telemetry.ts';
import { firstSignal } from './worker.ts';

const NATS_PORT = 4222;

export interface DevOptions {
  readonly file: string;
  /** An existing broker; null: one of our own. */
  readonly nats: Omit<NatsOptions, 'name'> | null;
  /** Null: `.millrace` in the file's project. */
  readonly dataDir: string | null;
  readonly listen: string;
  /** It may listen where others reach it. */
  readonly insecure: boolean;
  readonly metrics: MetricsAddress;
  readonly stopMs: number;
  /** See `RunOptions`. */
  readonly stuckMs: number;
  /** See `RunOptions`. */
  readonly bucket: string;
  /** See `RunOptions`. */
  readonly env: Environment;
  /** Where state cannot be read by what was saved: begin anew without being asked. */
  readonly reset: boolean;
  /** Where commands that are run in the project go instead of here, e.g. `context prod`; null: they come here. */
  readonly elsewhere: string | null;
  /** Path of a nats-server; null: it is looked for. */
  readonly natsServer: string | null;
  /** Where this user's caches go. */
  readonly cacheDir: string;
}

/** Resolves with the exit code. Throws NOT_FOUND when there is no such file; a file with mistakes is waited for. */
export async function devCommand(options: DevOptions): Promise<number> {
  const file = resolve(options.file);
  const first = await attempt(file);
  const project = await realpath(projectRoot(file));
  const dataDir = options.dataDir ?? join(project, '.millrace');
  closeToOthers();
  const opened = await privateFolder(dataDir);
  // Before the broker is started: two brokers on one folder destroy each other's streams, and nats-server lets them.
  const lock = await lockFolder(await realpath(dataDir));
  let broker: NatsServer | null = null;
  let worker: Promise<number> | null = null;
  let link: NatsLink | null = null;
  let screen: Screen | null = null;
  let unpublish = () => {};
  let client: AdminClient | null = null;
  const stopped = firstSignal({ emit: event => screen?.say(`stopping … (${event.signal}; once more to force it)`) });
  const over = new AbortController();
  try {
    if (options.nats === null) broker = await startBroker(join(dataDir, 'nats'), options);
    const nats = options.nats ?? { servers: broker!.url };
    const isFixed = !options.listen.endsWith(':0') && (await isFree(options.listen));
    const address = isFixed ? options.listen : await freeAddress();
    let metricsAt: string | null = null;
    let up: () => void = () => {};
    const listening = new Promise<void>(resolve => {
      up = resolve;
    });
    const { metrics, insecure, stopMs, stuckMs, bucket, env } = options;
    worker = runWorker({
      nats,
      dataDir: join(dataDir, 'worker'),
      listen: address,
      advertise: null,
      access: { insecure },
      metrics,
      project,
      bucket,
      env,
      stopMs,
      stuckMs,
      observer: {
        emit(event) {
          if (event.event === 'api.listening') up();
          if (event.event === 'metrics.listening') metricsAt = String(event.address);
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
    if (opened !== null) screen.say(opened);
    for (const line of placeLines({ ...options, address, broker, metricsAt })) screen.say(line);
    try {
      unpublish = publishDev({
        project,
        api: address,
        nats: [nats.servers].flat().join(','),
        pid: process.pid,
      });
    } catch (error) {
      screen.say(`commands will not find this dev by themselves, give --server ${address}: ${messageOf(error)}`);
    }
    client = new AdminClient({ address });
    const { reset } = options;
    const { signal } = over;
    const log = new NatsLog(link);
    await Promise.race([stopped, ended, loop({ client, log, first, file, screen, reset, signal })]);
    return 0;
  } finally {
    unpublish();
    over.abort();
    screen?.stop();
    client?.close();
    // Why it could not start has been thrown already.
    await worker?.catch(() => {});
    await link?.close();
    await broker?.stop();
    await lock.release();
  }
}

/** What is not where one expects it, and how commands and programs find it. */
export function placeLines(
  options: Pick<DevOptions, 'listen' | 'metrics' | 'elsewhere'> & {
    readonly address: string;
    readonly broker: NatsServer | null;
    readonly metricsAt: string | null;
  },
): string[] {
  const { listen, metrics, elsewhere, address, broker, metricsAt } = options;
  const lines: string[] = [];
  if (address !== listen && !listen.endsWith(':0')) {
    lines.push(`${listen} is taken, so the API is at ${address}; commands that are run in this project find it there`);
  }
  if (broker !== null && new URL(broker.url).port !== String(NATS_PORT)) {
    lines.push(`port ${NATS_PORT} is taken, so the broker is at ${broker.url}; programs that publish must be told`);
  }
  if (metricsAt !== null && metrics !== 'off' && metrics.address !== metricsAt && !metrics.address.endsWith(':0')) {
    lines.push(`${metrics.address} is taken, so metrics are at http://${metricsAt}/metrics`);
  }
  if (elsewhere !== null) {
    lines.push(`commands go to ${elsewhere}, and not here; to ask this one give --server ${address}`);
  }
  return lines;
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
    // Which one it was is nobody's news; a download takes a while.
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
