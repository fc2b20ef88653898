/**
 * `millrace dev FILE`: everything in one process. A broker of its own (unless one is given) with its data in `.millrace/`
 * of the project, a worker, the pipeline deployed, its status and results on the screen. The file is deployed again when
 * it changes. The same command goes on where it was stopped.
 */
import { statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { sleep, systemClock } from '../lib/base/clock.ts';
import { isMillraceError, MillraceError, messageOf } from '../lib/base/errors.ts';
import { AdminClient } from '../lib/control/client.ts';
import { findServer } from '../lib/nats/find-server.ts';
import { type NatsServer, startServer } from '../lib/nats/server.ts';
import { bundlePipeline, projectRoot } from '../lib/worker/bundle.ts';
import type { Bundle } from '../lib/worker/host.ts';
import type { Environment } from './config.ts';
import { type Node, startNode } from './node.ts';
import { liveScreen, plainScreen, type Screen } from './screen.ts';
import { Tail } from './tail.ts';
import { firstSignal } from './worker.ts';

const STATUS_MS = 1_000;
const NATS_PORT = 4222;

export interface DevOptions {
  readonly file: string;
  /** An existing broker; null: one of our own. */
  readonly nats: string | null;
  /** Null: `.millrace` in the file's project. */
  readonly dataDir: string | null;
  readonly listen: string;
  readonly stopMs: number;
  readonly environment: Environment;
}

/** Resolves with the exit code. */
export async function devCommand(options: DevOptions): Promise<number> {
  const file = resolve(options.file);
  const bundle = await bundlePipeline(file);
  const dataDir = options.dataDir ?? join(projectRoot(file), '.millrace');
  let broker: NatsServer | null = null;
  let node: Node | null = null;
  let screen: Screen | null = null;
  const observer = { emit: (event: Parameters<Screen['emit']>[0]) => screen?.emit(event) };
  const stopped = firstSignal({ emit: event => screen?.say(`stopping … (${event.signal}; once more to force it)`) });
  try {
    if (options.nats === null) broker = await startBroker(join(dataDir, 'nats'), options.environment);
    const url = options.nats ?? broker!.url;
    const listen = (await isFree(options.listen)) ? options.listen : '127.0.0.1:0';
    node = await startNode({
      nats: { ...options.environment.login, servers: url.split(',') },
      dataDir: join(dataDir, 'worker'),
      listen,
      advertise: null,
      observer,
    });
    const title = `millrace dev  ${options.file}  broker ${url}  api ${node.address}`;
    screen = makeScreen(title);
    const failure = await Promise.race([stopped, node.failed, follow({ node, bundle, file, screen })]);
    if (failure !== null) throw failure;
    return 0;
  } finally {
    screen?.stop();
    await node?.stop({ deadlineMs: options.stopMs });
    await broker?.stop();
  }
}

/** Deploys, then shows status and results, and deploys again what has changed; ends only by throwing. */
async function follow(options: { node: Node; bundle: Bundle; file: string; screen: Screen }): Promise<never> {
  const { node, file, screen } = options;
  const client = new AdminClient({ address: node.address });
  const tail = new Tail(node.ground.log, row => screen.row(row));
  let name = await deploy(client, { ...options, tail });
  let changedMs = statSync(file).mtimeMs;
  while (true) {
    await tail.poll();
    try {
      screen.status(await client.get(name));
      const nowMs = statSync(file).mtimeMs;
      if (nowMs !== changedMs) {
        changedMs = nowMs;
        name = await deploy(client, { ...options, bundle: await bundlePipeline(file), tail });
      }
    } catch (error) {
      // The author is at work: a mistake is shown, and what was deployed goes on.
      screen.say(`error: ${messageOf(error)}`);
    }
    await sleep(systemClock, STATUS_MS);
  }
}

async function deploy(
  client: AdminClient,
  options: { node: Node; bundle: Bundle; screen: Screen; tail: Tail },
): Promise<string> {
  const { node, bundle, screen, tail } = options;
  const { plan } = await node.ground.engine.plan(bundle);
  await tail.add(plan.sinks);
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

async function startBroker(dataDir: string, environment: Environment): Promise<NatsServer> {
  // The usual port where it is free, so that other programs find the broker without being told.
  const port = (await isFree(`127.0.0.1:${NATS_PORT}`)) ? NATS_PORT : 0;
  const tried = (line: string) => void process.stderr.write(`${line}\n`);
  const found = await findServer({
    cacheDir: join(environment.cacheDir, 'nats-server'),
    variable: environment.natsServer ?? undefined,
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
  const at = address.lastIndexOf(':');
  return new Promise(resolve => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: address.slice(0, at), port: Number(address.slice(at + 1)) }, () =>
      server.close(() => resolve(true)),
    );
  });
}
