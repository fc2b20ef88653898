/**
 * What every measurement happens on: one broker and one worker, each a process of its own, in a temporary folder; and
 * what can be asked of both. A scene takes itself down, also when the bench is interrupted.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { bundlePipeline } from '../../lib/bundle/bundle.ts';
import { AdminClient } from '../../lib/control/client.ts';
import type { NatsServer } from '../../lib/nats/server.ts';
import type { PipelineStatus } from '../../lib/observe/status.ts';
import { startBroker } from '../rig/broker.ts';
import { Closing } from '../rig/closing.ts';
import { WorkerProcess } from '../rig/worker-process.ts';

/** The account in which a server tells about itself; everybody else needs no login. */
const SYSTEM = { user: 'sys', pass: 'sys' };
const SYSTEM_BLOCK = `accounts { $SYS { users: [{ user: ${SYSTEM.user}, password: ${SYSTEM.pass} }] } }`;

export interface SceneOptions {
  /** Takes the scene down at the latest. */
  readonly closing: Closing;
  /** What starts the program under test; absent: the sources, by the repository's own. */
  readonly launcher?: string;
  /** The broker syncs every write before it acknowledges it. */
  readonly syncAlways?: boolean;
  /** Told what is being done. */
  readonly say: (text: string) => void;
}

export class Scene {
  readonly folder: string;
  readonly broker: NatsServer;
  readonly connection: NatsConnection;
  readonly worker: WorkerProcess;
  readonly #system: NatsConnection;
  readonly #closing: Closing;

  private constructor(parts: {
    folder: string;
    broker: NatsServer;
    connection: NatsConnection;
    system: NatsConnection;
    worker: WorkerProcess;
    closing: Closing;
  }) {
    this.folder = parts.folder;
    this.broker = parts.broker;
    this.connection = parts.connection;
    this.worker = parts.worker;
    this.#system = parts.system;
    this.#closing = parts.closing;
  }

  /** Starts the broker; the worker waits for its `start`. Throws when the broker does not come up. */
  static async set({ closing: outer, launcher, syncAlways = false, say }: SceneOptions): Promise<Scene> {
    const closing = new Closing();
    outer.add(() => closing.run());
    const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
    closing.add(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
    const config = { syncAlways, blocks: [SYSTEM_BLOCK] };
    const broker = await startBroker({ dataDir: join(folder, 'nats'), config, say: () => {} });
    closing.add(() => broker.stop());
    broker.onDeath = reason => say(`the broker has ended: ${reason}`);
    const connection = await connect({ servers: broker.url });
    closing.add(() => connection.close());
    const system = await connect({ servers: broker.url, ...SYSTEM });
    closing.add(() => system.close());
    const worker = new WorkerProcess({
      natsUrl: broker.url,
      dataDir: join(folder, 'worker'),
      // As users run it, metrics included; the port is whichever is free.
      flags: ['--metrics', '127.0.0.1:0'],
      ...(launcher === undefined ? {} : { launcher }),
    });
    worker.onDeath = reason => say(reason);
    closing.add(() => worker.stop());
    return new Scene({ folder, broker, connection, system, worker, closing });
  }

  /** The worker's cache on disk. */
  get workerFolder(): string {
    return join(this.folder, 'worker');
  }

  /** Deploys a pipeline as a user would: from its file, over the API. */
  async deploy(file: string): Promise<void> {
    await this.#ask(async client => client.deploy(await bundlePipeline(file)));
  }

  status(pipeline: string): Promise<PipelineStatus> {
    return this.#ask(async client => (await client.get(pipeline)).status);
  }

  /** What the worker knows of a run that went wrong. */
  async explain(pipeline: string): Promise<string> {
    const { state, reason, counts } = await this.status(pipeline);
    return `wrong rows; the pipeline is ${state} (${reason ?? 'no reason'}), ${JSON.stringify(counts)}\n${this.worker.said()}`;
  }

  /** All that the broker has been sent by its clients, bytes. */
  async brokerBytesIn(): Promise<number> {
    const answer = await this.#system.request('$SYS.REQ.SERVER.PING.VARZ', '');
    return answer.json<{ data: { in_bytes: number } }>().data.in_bytes;
  }

  /** What the broker stores in all streams, bytes. */
  async brokerBytesStored(): Promise<number> {
    const manager = await this.connection.jetstreamManager();
    return (await manager.getAccountInfo()).storage;
  }

  close(): Promise<void> {
    return this.#closing.run();
  }

  async #ask<T>(question: (client: AdminClient) => Promise<T>): Promise<T> {
    const client = new AdminClient({ address: this.worker.address });
    try {
      return await question(client);
    } finally {
      client.close();
    }
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
