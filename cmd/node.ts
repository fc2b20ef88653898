/**
 * A node: one worker with its API in this thread, and its engine in others, from the data folder up. Used by `worker` and
 * by `dev`.
 *
 * Start order: folder and broker, API, worker, engine. Stop order is the reverse, all within one deadline: pipelines are
 * handed over while the API still answers, and the broker's connection goes last.
 */
import { hostname } from 'node:os';
import { splitAddress } from '../lib/base/address.ts';
import { systemClock } from '../lib/base/clock.ts';
import { MillraceError } from '../lib/base/errors.ts';
import { VERSION } from '../lib/base/package.ts';
import type { SpecKeys } from '../lib/cluster/spec-keys.ts';
import { Specs } from '../lib/cluster/specs.ts';
import type { Access } from '../lib/control/access.ts';
import { AdminServer } from '../lib/control/server.ts';
import { ClusterEvents } from '../lib/host/cluster-events.ts';
import { readinessOf } from '../lib/host/readiness.ts';
import { Sweep } from '../lib/host/sweep.ts';
import { Worker, type WorkerOptions } from '../lib/host/worker.ts';
import type { NatsOptions } from '../lib/nats/connection.ts';
import { NatsPeers } from '../lib/nats/peers.ts';
import { type Observer, observers } from '../lib/observe/events.ts';
import { EventMemory } from '../lib/observe/history.ts';
import { noMeter } from '../lib/observe/meter.ts';
import { emptyStatus } from '../lib/observe/status.ts';
import { Audit } from '../lib/service/audit.ts';
import { Commands } from '../lib/service/commands.ts';
import { LetterBox } from '../lib/service/letters.ts';
import type { Environment } from './config.ts';
import { identify, workerName } from './identity.ts';
import { linkEvent } from './link-events.ts';
import type { Telemetry } from './telemetry.ts';
import { openWiring, type Wiring } from './wiring.ts';

export interface NodeOptions {
  readonly nats: Omit<NatsOptions, 'name'>;
  readonly dataDir: string;
  /** The bucket of the cluster. */
  readonly bucket: string;
  /** What pipelines' code may read of the environment. */
  readonly env: Environment;
  /** `host:port`; port 0 takes a free one, which other workers are then not told. */
  readonly listen: string;
  /** `host:port` that other workers reach it at; null: `listen`. */
  readonly advertise: string | null;
  /** Replicas of the streams that Millrace makes, 1 to 5. Default 1. */
  readonly replicas?: number;
  /** Threads that share the pipelines. Default 1. */
  readonly threads?: number;
  /** What the cluster's other workers go by; see `WorkerOptions`. */
  readonly place?: Pick<WorkerOptions, 'zone' | 'capacity' | 'standbys'>;
  readonly observer: Observer;
  /** How long a function of a pipeline may take for one record before it counts as stuck, ms. */
  readonly stuckMs: number;
  /** Address of a collector that spans are sent to; absent or null: nobody traces. */
  readonly otlp?: string | null;
  /** TLS of its API, and who may call it; absent: neither is asked for. */
  readonly access?: Access;
  /** What specs are signed and known by; absent or null: every spec is taken. */
  readonly keys?: SpecKeys | null;
  /** Folder of the project whose `millrace dev` this is; absent or null: a worker. */
  readonly project?: string | null;
  /** Shows this node, and is one of its observers already; absent: nobody looks. */
  readonly telemetry?: Telemetry;
}

export interface Node {
  readonly name: string;
  /** Where its API is reached from this machine. */
  readonly address: string;
  /** Where it listens. */
  readonly listening: readonly string[];
  readonly wiring: Wiring;
  /** Resolves if it cannot go on: a broken invariant, a connection that is closed for good. */
  readonly failed: Promise<MillraceError>;
  stop(options: { deadlineMs: number }): Promise<void>;
}

/** Throws STORE_IN_USE, STORE_UNAVAILABLE, BROKER_UNAVAILABLE, BROKER_REFUSED, INVALID_ARGUMENT (cannot listen there). */
export async function startNode(options: NodeOptions): Promise<Node> {
  const { dataDir, bucket, env, telemetry } = options;
  const events = new EventMemory(systemClock);
  const observer = observers(options.observer, events);
  const name = await workerName(dataDir);
  const { replicas = 1, threads = 1, stuckMs, otlp = null, keys = null } = options;
  const nats = { ...options.nats, name: `millrace ${name}` };
  const meter = (pipeline: string) => telemetry?.meter(pipeline) ?? noMeter;
  const wiring = await openWiring({ nats, dataDir, bucket, env, threads, replicas, stuckMs, otlp, observer, meter });
  let stopping = false;
  let server: AdminServer | null = null;
  const audit = new Audit({ log: wiring.log, clock: systemClock, observer, worker: name });
  const closed = new Promise<MillraceError>(resolve => {
    wiring.link.onStatus(status => {
      if (stopping) return;
      observer.emit(linkEvent(status));
      if (status.kind === 'closed') {
        const text = 'the connection to NATS is closed for good; see the server for why, then start the worker again';
        resolve(new MillraceError('BROKER_REFUSED', text, { cause: status.cause }));
      }
    });
  });
  try {
    const { registry, blobs, engine, judge, clear } = wiring;
    const [host, port] = splitAddress(options.listen);
    const address = options.advertise ?? (port === 0 ? null : `${isWildcard(host) ? hostname() : host}:${port}`);
    const peers = new NatsPeers(wiring.link, { cluster: bucket, member: name });
    const worker = new Worker({
      me: { name, ...(await identify(dataDir)) },
      address,
      registry,
      peers,
      engine,
      clear,
      clock: systemClock,
      observer,
      keys,
      ...options.place,
    });
    const specs = new Specs(registry, keys);
    const sweep = new Sweep({
      blobs,
      disk: wiring.stores,
      specs: () => specs.all(),
      active: () => worker.active,
      clock: systemClock,
      observer,
    });
    const connected = () => wiring.link.connected;
    const pipelines = () => {
      const wanted = worker.specs.filter(({ name, desired }) => desired !== 'deleted' && worker.has(name));
      return wanted.map(({ name, desired }) => ({
        name,
        status: desired === 'paused' ? emptyStatus('paused', null) : worker.statusHere(name),
      }));
    };
    const readiness = () =>
      readinessOf({
        connected: connected(),
        stopping,
        holder: worker.holder?.name ?? null,
        active: worker.active,
        pipelines: pipelines().map(({ name, status }) => ({ name, state: status.state })),
      });
    telemetry?.watch({
      name,
      readiness,
      look: () => ({
        active: worker.active,
        connected: connected(),
        engineBusyMs: engine.busyMs,
        ready: readiness().ok,
        pipelines: pipelines(),
      }),
    });
    const fatal = Promise.race([worker.fatal, engine.fatal]);
    void fatal.then(error => telemetry?.fatal(error));
    const commands = new Commands({
      registry,
      blobs,
      log: wiring.log,
      judge,
      clock: systemClock,
      worker,
      connected,
      keys,
    });
    server = new AdminServer({
      listen: options.listen,
      commands,
      worker,
      observer,
      about: {
        version: VERSION,
        natsUrl: [options.nats.servers].flat().join(','),
        startedAtMs: Date.now(),
        project: options.project ?? null,
        nats: () => (wiring.link.connected ? { version: wiring.link.serverVersion } : null),
      },
      access: options.access ?? {},
      letters: new LetterBox({ log: wiring.log, registry, clock: systemClock, keys, seal: wiring.seal, observer }),
      events: new ClusterEvents({
        ...{ clock: systemClock, peers, me: name, memory: events },
        others: () => worker.others,
      }),
      audit,
      healthy: () => readiness().ok,
    });
    const api = server;
    const bound = await api.start();
    await worker.start();
    engine.open();
    sweep.start();
    return {
      name,
      address: `${isWildcard(host) ? '127.0.0.1' : host}:${bound.port}`,
      listening: bound.addresses,
      wiring,
      failed: Promise.race([closed, fatal]),
      async stop({ deadlineMs }) {
        stopping = true;
        // Beside the hand-over, which somebody waits for; nobody waits for a sweep.
        await Promise.all([sweep.stop({ deadlineMs: 500 }), worker.stop({ deadlineMs })]);
        peers.stop();
        await Promise.all([engine.close({ deadlineMs: 1_000 }), api.stop({ deadlineMs: 500 })]);
        await audit.stop({ deadlineMs: 1_000 });
        await wiring.close();
      },
    };
  } catch (error) {
    stopping = true;
    await server?.stop({ deadlineMs: 0 });
    await wiring.close();
    throw error;
  }
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === '[::]';
}
