/**
 * A Millrace worker as a process of its own, started through the command that users run, and ended as gently or as
 * rudely as asked. It never outlives this process: a small shell waits at a pipe that closes when this process ends,
 * however abruptly, and then kills the worker.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { AdminClient, type ClientOptions } from '../../lib/control/client.ts';
import { LAUNCHER } from './launcher.ts';

const START_MS = 30_000;
const STOP_MS = 15_000;
const POLL_MS = 50;
const OUTPUT_CHARS_MAX = 16_384;

export class WorkerProcess {
  /** Where its API listens, `host:port`; known from the first start on and the same across restarts. */
  address = '';
  private readonly natsUrl: string;
  private readonly dataDir: string;
  private readonly env: NodeJS.ProcessEnv;
  private child: ChildProcess | null = null;
  private output = '';
  /** Called when it ends though nobody asked it to, with the end of what it said. */
  onDeath: ((reason: string) => void) | null = null;

  private readonly flags: readonly string[];
  private readonly launcher: string;
  private readonly heard: (text: string) => void;
  private readonly asking: Omit<ClientOptions, 'address'>;

  /**
   * @param options.flags more of the command's; the last of a name counts
   * @param options.env added to the environment of this process; with MILLRACE_NATS in the place of `natsUrl`
   * @param options.heard given all that it writes
   * @param options.launcher another one than `launcher.ts` says
   * @param options.client how its API is asked whether it answers
   */
  constructor(options: {
    natsUrl: string;
    dataDir: string;
    flags?: readonly string[];
    env?: NodeJS.ProcessEnv;
    launcher?: string;
    heard?: (text: string) => void;
    client?: Omit<ClientOptions, 'address'>;
  }) {
    this.asking = options.client ?? {};
    this.heard = options.heard ?? (() => {});
    this.launcher = options.launcher ?? LAUNCHER;
    this.flags = options.flags ?? [];
    this.natsUrl = options.natsUrl;
    this.env = options.env ?? {};
    this.dataDir = options.dataDir;
  }

  get runs(): boolean {
    return this.child?.pid !== undefined;
  }

  /** Throws when it does not run. */
  get pid(): number {
    if (this.child?.pid === undefined) throw new Error('the worker does not run');
    return this.child.pid;
  }

  /** Resolves when the process runs and its API answers. Throws when it runs already, and with what it said when it ends before. */
  async start(): Promise<void> {
    if (this.address === '') this.address = `127.0.0.1:${await freePort()}`;
    // Nobody would end the one before.
    if (this.runs) throw new Error('the worker runs already');
    const broker = this.env.MILLRACE_NATS === undefined ? ['--nats', this.natsUrl] : [];
    const flags = ['worker', ...broker, '--data', this.dataDir, '--listen', this.address, ...this.flags];
    const child = spawn(process.execPath, [this.launcher, ...flags], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, ...this.env },
    });
    this.child = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text: string) => {
        this.output = (this.output + text).slice(-OUTPUT_CHARS_MAX);
        this.heard(text);
      });
    }
    const guard = spawn('sh', ['-c', 'cat; kill -9 "$1"', 'sh', String(child.pid)], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    child.once('exit', (code, signal) => {
      guard.kill('SIGKILL');
      if (this.child !== child) return;
      this.child = null;
      this.onDeath?.(`the worker ended with ${signal ?? `code ${code}`}: ${this.said()}`);
    });
    await this.untilItAnswers(child);
  }

  /** SIGKILL: no goodbye. Resolves when the process is gone. */
  kill(): Promise<void> {
    return this.end('SIGKILL');
  }

  /** SIGTERM, and by force when that takes too long. */
  stop(): Promise<void> {
    return this.end('SIGTERM');
  }

  /** All that it wrote, as far as it is kept. */
  get log(): string {
    return this.output;
  }

  /** The last lines that it wrote. */
  said(): string {
    return this.output.trimEnd().split('\n').slice(-8).join('\n');
  }

  private async untilItAnswers(child: ChildProcess): Promise<void> {
    const client = new AdminClient({ ...this.asking, address: this.address, timeoutMs: 1_000 });
    const deadlineMs = Date.now() + START_MS;
    try {
      for (;;) {
        try {
          await client.info();
          return;
        } catch (error) {
          // Ended on purpose while it was starting: whoever did that does not wait for it.
          if (this.child !== child && child.signalCode !== null) return;
          if (this.child !== child) throw new Error(`the worker did not start: ${this.said()}`, { cause: error });
          if (Date.now() > deadlineMs) throw new Error(`the worker does not answer: ${this.said()}`, { cause: error });
        }
        await new Promise(resolve => setTimeout(resolve, POLL_MS));
      }
    } finally {
      client.close();
    }
  }

  private async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.child;
    if (child === null) return;
    this.child = null;
    const gone = new Promise(resolve => child.once('exit', resolve));
    child.kill(signal);
    const force = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(force);
  }
}

const PORTS_FROM = 10_000;
const PORTS = 20_000;

/**
 * A port of this machine that nobody uses at the moment. It is below those that systems lend to outgoing connections
 * (from 32,768 on Linux), or one of these would take it before its owner binds it, or while that one is restarted.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS_FROM + Math.floor(Math.random() * PORTS);
    const server = createServer();
    const isFree = await new Promise<boolean>(resolve => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise(resolve => server.close(resolve));
    return port;
  }
}
