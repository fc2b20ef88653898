/**
 * The scene of a system test: a real broker, connections to it, a folder for workers, and what a test needs to publish,
 * to deploy and to read what came out. Processes that a test starts here end with it.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { bundlePipeline } from '../../lib/bundle/bundle.ts';
import { AdminClient, type PipelineInfo } from '../../lib/control/client.ts';
import { connectNats, type NatsLink } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { type NatsServer, type ServerConfig, startServer } from '../../lib/nats/server.ts';
import type { StoredMessage } from '../../lib/port/log.ts';
import { Closing } from '../rig/closing.ts';
import { WorkerProcess } from '../rig/worker-process.ts';

const POLL_MS = 40;
const WAIT_MS = 60_000;

export class Scene {
  readonly folder: string;
  readonly server: NatsServer;
  readonly connection: NatsConnection;
  readonly link: NatsLink;
  readonly log: NatsLog;
  readonly closing: Closing;

  private constructor(parts: {
    folder: string;
    server: NatsServer;
    connection: NatsConnection;
    link: NatsLink;
    closing: Closing;
  }) {
    this.folder = parts.folder;
    this.server = parts.server;
    this.connection = parts.connection;
    this.link = parts.link;
    this.log = new NatsLog(parts.link);
    this.closing = parts.closing;
  }

  /** @param options.login of the connections that the test itself makes. */
  static async open(
    config: ServerConfig = {},
    options: { login?: { user: string; pass: string }; dataDir?: string } = {},
  ): Promise<Scene> {
    const { login } = options;
    const closing = new Closing();
    const folder = await mkdtemp(join(tmpdir(), 'millrace-system-'));
    closing.add(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
    const server = await startServer({ dataDir: options.dataDir ?? join(folder, 'nats'), config });
    closing.add(() => server.stop());
    const connection = await connect({
      servers: server.url,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      ...login,
    });
    closing.add(() => connection.close());
    const link = await connectNats({
      servers: server.url,
      ...(login === undefined ? {} : { user: login.user, password: login.pass }),
    });
    closing.add(() => link.close());
    await writeFile(join(folder, 'package.json'), '{"type":"module"}');
    return new Scene({ folder, server, connection, link, closing });
  }

  close(): Promise<void> {
    return this.closing.run();
  }

  /** A scene with a worker that runs, and a client of it. */
  static async withWorker(
    config: ServerConfig = {},
  ): Promise<{ scene: Scene; worker: WorkerProcess; client: AdminClient }> {
    const scene = await Scene.open(config);
    const worker = scene.worker();
    await worker.start();
    return { scene, worker, client: scene.client(worker) };
  }

  /** A worker that is not started yet, with a data folder of its own. */
  worker(
    name = 'worker',
    flags: readonly string[] = [],
    env: NodeJS.ProcessEnv = {},
    heard: (text: string) => void = () => {},
  ): WorkerProcess {
    const about = { natsUrl: this.server.url, dataDir: join(this.folder, name), flags, env, heard };
    const worker = new WorkerProcess(about);
    this.closing.add(() => worker.kill());
    return worker;
  }

  /** A client of a worker that runs. */
  client(worker: WorkerProcess): AdminClient {
    const client = new AdminClient({ address: worker.address, timeoutMs: 10_000 });
    this.closing.add(() => client.close());
    return client;
  }

  /** Deploys a pipeline: a file that there is, or a text that is written into one. */
  async deploy(client: AdminClient, source: { file: string } | { text: string }): Promise<string> {
    let path = 'file' in source ? source.file : join(this.folder, 'pipeline.ts');
    if ('text' in source) await writeFile(path, source.text);
    else path = source.file;
    return (await client.deploy(await bundlePipeline(path))).name;
  }

  /** The stream that keeps the journals of a pipeline, or the channels into a stage of it; null: there is none. */
  ownStream(pipeline: string, stage?: string): Promise<string | null> {
    return this.streamOf(stage === undefined ? `_mr.${pipeline}.j.>` : `_mr.${pipeline}.x.*.${stage}.>`);
  }

  /** The stream that keeps a subject; null: there is none. */
  async streamOf(subject: string): Promise<string | null> {
    return (await this.log.streamsOf(subject))[0] ?? null;
  }

  /** An output as it grows; `subject` may have wildcards. */
  output(stream: string, subject: string): Output {
    return new Output(this.log, stream, subject);
  }
}

/** What a stream holds of a subject, read as far as it went last time. */
export class Output {
  readonly messages: StoredMessage[] = [];
  readonly #log: NatsLog;
  readonly #stream: string;
  readonly #matches: RegExp;
  #lastSeq = 0;

  constructor(log: NatsLog, stream: string, subject: string) {
    this.#log = log;
    this.#stream = stream;
    const pattern = subject.replaceAll('.', '\\.').replaceAll('*', '[^.]+').replace('>', '.+');
    this.#matches = new RegExp(`^${pattern}$`);
  }

  /** All messages so far. A stream that does not exist holds none. */
  async read(): Promise<readonly StoredMessage[]> {
    const info = await this.#log.info(this.#stream);
    if (info === null || info.lastSeq <= this.#lastSeq) return this.messages;
    const reader = this.#log.read({ stream: this.#stream, from: this.#lastSeq + 1, gaps: 'allow' });
    try {
      while (this.#lastSeq < info.lastSeq) {
        const taken = reader.take({ messagesMax: 5_000, bytesMax: 32 << 20 });
        if (reader.error !== null) throw reader.error;
        for (const message of taken) {
          this.#lastSeq = message.seq;
          if (this.#matches.test(message.subject)) this.messages.push(message);
        }
        if (taken.length > 0) continue;
        // The last message may have been overwritten or trimmed meanwhile: then nothing more comes.
        if (reader.caughtUp) return this.messages;
        await pause(5);
      }
    } finally {
      await reader.stop();
    }
    return this.messages;
  }

  /** Its rows as text: a message is one record, or a frame of records a line each. */
  async rows(): Promise<string[]> {
    const messages = await this.read();
    return messages.flatMap(message =>
      textOf(message)
        .split('\n')
        .filter(line => line !== ''),
    );
  }
}

export function textOf(message: { readonly data: Uint8Array }): string {
  return Buffer.from(message.data).toString();
}

export function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}

/** Resolves as soon as `holds`; fails, naming `what` and what `otherwise` says, after longer than a hung test should. */
export async function eventually(
  what: string,
  holds: () => boolean | Promise<boolean>,
  otherwise: () => string | Promise<string> = () => '',
): Promise<void> {
  const deadlineMs = performance.now() + WAIT_MS;
  while (!(await holds())) {
    if (performance.now() > deadlineMs) throw new Error(`waited in vain until ${what}: ${await otherwise()}`);
    await pause(POLL_MS);
  }
}

/** The first status that fits, while the worker may be away. */
export async function statusOf(
  client: AdminClient,
  pipeline: string,
  fits: (info: PipelineInfo) => boolean,
): Promise<PipelineInfo> {
  let last: PipelineInfo | null = null;
  await eventually(
    `pipeline ${pipeline} is as wanted`,
    async () => {
      last = await client.get(pipeline).catch(() => null);
      return last !== null && fits(last);
    },
    () => JSON.stringify(last?.status ?? null).slice(0, 2_000),
  );
  return last as unknown as PipelineInfo;
}

export function running(client: AdminClient, pipeline: string): Promise<PipelineInfo> {
  return statusOf(client, pipeline, info => info.status.state === 'running');
}
