/**
 * What a round happens on: a nats-server and workers, two or more, each a process of its own with its defaults; a cable between
 * each worker and the broker; the services; and whoever starts a worker again that has ended, as a machine's init does. A
 * stage takes itself down, also when the program is interrupted.
 */
import { appendFileSync, mkdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect, type NatsConnection } from 'nats';
import { type ErrorCode, messageOf } from '../../lib/base/errors.ts';
import type { Random } from '../../lib/base/random.ts';
import { AdminClient } from '../../lib/control/client.ts';
import type { NatsServer } from '../../lib/nats/server.ts';
import { pause } from '../bench/scene.ts';
import { startBroker } from '../rig/broker.ts';
import { Closing } from '../rig/closing.ts';
import { WorkerProcess } from '../rig/worker-process.ts';
import { COUNTRIES } from './answer.ts';
import { Cable } from './cable.ts';
import { deployEdition } from './deploy.ts';
import { Load } from './load.ts';

/** A machine's init waits a little. */
const RESTART_MS = 300;
const API_MS = 40_000;
/** As many workers as there can be. */
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
export const WORKERS_MAX = NAMES.length - 1;

/** A worker with what is around it. */
export interface Post {
  readonly name: string;
  readonly worker: WorkerProcess;
  readonly cable: Cable;
  readonly folder: string;
  /** Started again when it ends. */
  kept: boolean;
  /** Who is starting it just now. */
  starting: Promise<void> | null;
}

export interface StageOptions {
  readonly folder: string;
  readonly random: Random;
  readonly closing: Closing;
  /** What starts the workers; absent: the sources, by the repository's own. */
  readonly launcher?: string | undefined;
  /** See `Load`. */
  readonly ordersPerSecond: number;
  /** How many there are to begin with. Default 2. */
  readonly workers?: number;
}

export class Stage {
  readonly folder: string;
  readonly broker: NatsServer;
  readonly connection: NatsConnection;
  #load: Load | null = null;
  #posts: readonly Post[];
  readonly #closing: Closing;
  readonly #logFile: string;
  readonly #launcher: string | undefined;
  #edition = 0;

  private constructor(parts: {
    folder: string;
    broker: NatsServer;
    connection: NatsConnection;
    posts: readonly Post[];
    closing: Closing;
    launcher: string | undefined;
  }) {
    this.folder = parts.folder;
    this.broker = parts.broker;
    this.connection = parts.connection;
    this.#posts = parts.posts;
    this.#launcher = parts.launcher;
    this.#closing = parts.closing;
    this.#logFile = join(parts.folder, 'round.log');
  }

  /** Everything runs, the pipeline too, and load flows. */
  static async set({
    folder,
    random,
    ordersPerSecond,
    launcher,
    workers = 2,
    closing: outer,
  }: StageOptions): Promise<Stage> {
    const closing = new Closing();
    outer.add(() => closing.run());
    mkdirSync(folder, { recursive: true });
    await writeFile(join(folder, 'package.json'), '{"type":"module"}');
    const broker = await startBroker({ dataDir: join(folder, 'nats'), say: () => {} });
    closing.add(() => broker.stop());
    const connection = await connect({ servers: broker.url, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
    closing.add(() => connection.close());
    await makeStreams(connection);
    const posts: Post[] = [];
    for (let i = 0; i < workers; i++) posts.push(await makePost(NAMES[i]!, { folder, broker, closing, launcher }));
    await Promise.all(posts.map(({ worker }) => worker.start()));
    for (const post of posts) post.kept = true;
    const stage = new Stage({ folder, broker, connection, posts, closing, launcher });
    await stage.deploy();
    await stage.running();
    // Only now, or the first silence would be that of the start.
    const load = new Load(connection, { random, ordersPerSecond });
    closing.add(() => load.stop());
    stage.#load = load;
    return stage;
  }

  get load(): Load {
    if (this.#load === null) throw new Error('nothing flows yet');
    return this.#load;
  }

  close(): Promise<void> {
    return this.#closing.run();
  }

  /** For whoever reads a round that went wrong. */
  note(text: string): void {
    appendFileSync(this.#logFile, `${new Date().toISOString()} ${text}\n`);
  }

  get posts(): readonly Post[] {
    return this.#posts;
  }

  /** The worker that leads, and another one; by chance while nobody can say. */
  async roles(random: Random): Promise<{ active: Post; other: Post }> {
    const holder = await this.#activeName();
    const posts = this.#posts;
    const names = await Promise.all(posts.map(post => nameOf(post)));
    const active = posts[names.indexOf(holder ?? '')] ?? random.pick(posts);
    return { active, other: random.pick(posts.filter(post => post !== active)) };
  }

  /** One more worker, which stays until it is dismissed. Resolves when it is up; null: there are as many as there may be. */
  async join(): Promise<Post | null> {
    const name = NAMES.find(free => this.#posts.every(post => post.name !== free));
    if (name === undefined) return null;
    const around = { folder: this.folder, broker: this.broker, closing: this.#closing, launcher: this.#launcher };
    const post = await makePost(name, around);
    this.#posts = [...this.#posts, post];
    await this.start(post);
    return post;
  }

  /** Ends a worker for good. */
  async dismiss(post: Post): Promise<void> {
    this.#posts = this.#posts.filter(one => one !== post);
    await this.terminate(post);
  }

  async #activeName(): Promise<string | null> {
    try {
      return await this.ask(async client => {
        const workers = await client.workers();
        return workers.find(({ active }) => active)?.name ?? null;
      }, 5_000);
    } catch {
      // Nobody answers at the moment, which is what this program is for.
      return null;
    }
  }

  /** Deploys the pipeline with other code and the same meaning. */
  async deploy(): Promise<void> {
    const edition = this.#edition++;
    await this.ask(client => deployEdition(client, { edition, folder: this.folder }));
  }

  /** Asks whichever worker answers, until one does. Throws what the last said after `withinMs`. */
  async ask<T>(question: (client: AdminClient) => Promise<T>, withinMs = API_MS): Promise<T> {
    const deadlineMs = performance.now() + withinMs;
    for (let turn = 0; ; turn++) {
      const client = new AdminClient({
        address: this.posts[turn % this.posts.length]!.worker.address,
        timeoutMs: 5_000,
      });
      try {
        return await question(client);
      } catch (error) {
        if (performance.now() > deadlineMs) throw error;
        this.note(`asked in vain: ${messageOf(error)}`);
        await pause(200);
      } finally {
        client.close();
      }
    }
  }

  /** Waits until the pipeline runs. */
  async running(withinMs = API_MS): Promise<void> {
    await this.settled([], withinMs);
  }

  /** Waits until the pipeline runs (null), or stands with one of these codes, and resolves with that. */
  settled(codes: readonly ErrorCode[], withinMs = API_MS): Promise<ErrorCode | null> {
    return this.ask(async client => {
      const { status } = await client.get('story');
      if (status.state === 'running') return null;
      const code = status.state === 'failed' ? codes.find(one => status.reason?.startsWith(`${one}: `)) : undefined;
      if (code === undefined) throw new Error(`the pipeline is ${status.state}: ${status.reason}`);
      return code;
    }, withinMs);
  }

  async kill(post: Post): Promise<void> {
    this.note(`kill ${post.name}`);
    post.kept = false;
    await post.worker.kill();
  }

  /** SIGTERM. Resolves when it has ended, with how long that took. */
  async terminate(post: Post): Promise<number> {
    this.note(`terminate ${post.name}`);
    post.kept = false;
    const fromMs = performance.now();
    await post.worker.stop();
    const tookMs = Math.round(performance.now() - fromMs);
    this.note(`${post.name} took ${tookMs} ms to stop`);
    return tookMs;
  }

  async start(post: Post): Promise<void> {
    this.note(`start ${post.name}`);
    post.kept = true;
    await keepUp(post, this.note.bind(this));
  }

  freeze(post: Post): void {
    this.note(`freeze ${post.name}`);
    signal(post, 'SIGSTOP');
  }

  thaw(post: Post): void {
    this.note(`thaw ${post.name}`);
    signal(post, 'SIGCONT');
  }

  cut(post: Post, mode: Cable['mode']): void {
    this.note(`${post.name} is ${mode}`);
    post.cable.set(mode);
  }

  async killBroker(downMs: number): Promise<void> {
    this.note(`kill the broker for ${downMs} ms`);
    await this.broker.kill();
    await pause(downMs);
    await this.broker.restart();
    await this.heard();
  }

  /** Waits until the broker answers the stage's own connection again. */
  async heard(): Promise<void> {
    const untilMs = performance.now() + API_MS;
    for (;;) {
      try {
        await this.connection.flush();
        return this.note('the broker is back');
      } catch (error) {
        // A connection that is just being lost, or made again.
        if (performance.now() > untilMs) throw error;
        await pause(100);
      }
    }
  }
}

async function makeStreams(connection: NatsConnection): Promise<void> {
  const manager = await connection.jetstreamManager();
  for (const name of ['orders', 'payments']) await manager.streams.add({ name, subjects: [`in.${name}`] });
  const cities = await connection.jetstream().views.kv('cities');
  for (const [city, country] of Object.entries(COUNTRIES)) await cities.put(city, JSON.stringify({ country }));
}

async function makePost(
  name: string,
  around: { folder: string; broker: NatsServer; closing: Closing; launcher: string | undefined },
): Promise<Post> {
  const { folder, broker, closing, launcher } = around;
  const cable = await Cable.open({ brokerPort: broker.port });
  closing.add(() => cable.stop());
  const dataDir = join(folder, `worker-${name}`);
  const logFile = join(folder, `worker-${name}.log`);
  // What a process has said comes out of its pipe after its end, when the round and its folder may be gone.
  let isOpen = true;
  const log = (text: string) => {
    if (isOpen) appendFileSync(logFile, text);
  };
  const worker = new WorkerProcess({
    natsUrl: cable.url,
    dataDir,
    flags: ['--metrics', '127.0.0.1:0'],
    heard: log,
    ...(launcher === undefined ? {} : { launcher }),
  });
  const post: Post = { name, worker, cable, folder: dataDir, kept: false, starting: null };
  worker.onDeath = reason => {
    log(`${reason.split('\n', 1)[0]}\n`);
    if (post.kept) void keepUp(post, text => log(`${text}\n`));
  };
  closing.add(async () => {
    post.kept = false;
    await worker.kill();
    isOpen = false;
  });
  return post;
}

/**
 * Starts a worker again until it is up, or nobody wants it any more. Whoever asks while somebody does that already waits
 * with him: it may die while it is being started, and two who both start it would leave one behind.
 */
function keepUp(post: Post, note: (text: string) => void): Promise<void> {
  post.starting ??= startAgain(post, note).finally(() => {
    post.starting = null;
  });
  return post.starting;
}

async function startAgain(post: Post, note: (text: string) => void): Promise<void> {
  const { name, worker } = post;
  while (post.kept && !worker.runs) {
    try {
      await worker.start();
    } catch (error) {
      note(`worker ${name}: ${messageOf(error).split('\n', 1)[0]}`);
      await worker.kill();
      await pause(RESTART_MS);
    }
  }
}

/** Nothing, where something else has ended it meanwhile. */
function signal({ worker }: Post, name: 'SIGSTOP' | 'SIGCONT'): void {
  if (worker.runs) process.kill(worker.pid, name);
}

/** As its folder says; null: it has none yet. */
async function nameOf({ folder }: Post): Promise<string | null> {
  try {
    return (await readFile(join(folder, 'worker-name'), 'utf8')).trim();
  } catch {
    return null;
  }
}
