/**
 * A nats-server of our own: for `dev`, for tests and for benchmarks. Owns the process, its configuration and its
 * temporary folder; knows nothing of clients. `find-server.ts` owns the question where the program comes from.
 *
 * - The server picks its port itself and writes it down (`ports_file_dir`), so two starts can never race for one.
 * - It is ready when its greeting says that JetStream is on, not when the process exists.
 * - It never outlives its parent. A small shell holds the reading end of a pipe; when this process ends, however
 *   abruptly, the pipe closes, and the shell kills the server and removes the temporary folder.
 * - It never keeps its parent alive: all handles are unreferenced, except while somebody waits for them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sleep, systemClock } from '../base/clock.ts';
import { invariant, isMillraceError, MillraceError, messageOf } from '../base/errors.ts';

const host = '127.0.0.1';
const startMs = 15_000;
const stopMs = 10_000;
const pollMs = 15;
/** A port that was ours a moment ago may be lent to somebody's outgoing connection; those pass. */
const portRetryMs = 10_000;

/** Remembers the pid it was told last; when its input ends, ends that process and what it left behind. */
const watchdog = `while read -r line; do pid=$line; done
if [ -n "$pid" ]; then
  kill -CONT "$pid"; kill -9 "$pid"
  for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" || break; sleep 0.1; done
fi 2>/dev/null
rm -rf "$1"`;

export interface ServerConfig {
  /** Largest message in bytes. Default 8 MiB. */
  readonly maxPayloadBytes?: number;
  /** Sync every write to the disk before it is acknowledged. Default false: a test need not survive a power cut. */
  readonly syncAlways?: boolean;
  /** What JetStream may take on disk, in bytes (`max_file`). Default: the server's own, of what is free. */
  readonly fileBytesMax?: number;
  /** Further blocks of its settings, as text: accounts, users, TLS, a cluster. */
  readonly blocks?: readonly string[];
}

export interface ServerOptions {
  /** Where the streams are kept. Absent: a temporary folder that goes when the server stops. */
  readonly dataDir?: string;
  /** 0 or absent: a free one, which the server then keeps across `restart`. */
  readonly port?: number;
  readonly config?: ServerConfig;
  /** The program. Default `nats-server`, looked up on the PATH. */
  readonly binary?: string;
}

export interface NatsServer {
  readonly url: string;
  readonly port: number;
  /** The running process's, or the last one's when there is none. */
  readonly pid: number;
  readonly version: string;
  readonly dataDir: string;
  /** Called when the process ends although nobody asked for it, with the end of its log. */
  onDeath: ((reason: string) => void) | null;
  /** Ends the server for good and removes the temporary folder. May be called twice. */
  stop(): Promise<void>;
  /** SIGKILL. The data stays for `restart`. */
  kill(): Promise<void>;
  /** Starts again on the same port and data, after a graceful end if it runs. `config`: with another one from then on. */
  restart(config?: ServerConfig): Promise<void>;
}

interface Greeting {
  readonly port: number;
  readonly version: string;
}

/**
 * Starts a server and resolves when it takes connections with JetStream on.
 * Throws SERVER_NOT_FOUND when the program cannot be run, BROKER_UNAVAILABLE when it does not come up.
 */
export async function startServer(options: ServerOptions = {}): Promise<NatsServer> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-nats-'));
  const server = new RunningServer(folder, options);
  try {
    await server.start();
  } catch (error) {
    await server.stop();
    throw error;
  }
  return server;
}

class RunningServer implements NatsServer {
  onDeath: ((reason: string) => void) | null = null;
  readonly dataDir: string;
  readonly #folder: string;
  readonly #binary: string;
  #config: ServerConfig;
  readonly #guard: ChildProcess;
  #port: number;
  #version = '';
  #child: ChildProcess | null = null;
  #pid = 0;

  constructor(folder: string, options: ServerOptions) {
    this.#folder = folder;
    this.dataDir = options.dataDir ?? join(folder, 'data');
    this.#binary = options.binary ?? 'nats-server';
    this.#config = options.config ?? {};
    this.#port = options.port ?? 0;
    // Detached: Ctrl-C in a terminal goes to the whole process group, and the order of the end is ours to choose.
    this.#guard = spawn('sh', ['-c', watchdog, 'sh', folder], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] });
    this.#guard.unref();
    this.#guard.stdin?.on('error', () => {
      // The guard was killed; the server then only loses its protection against our own sudden end.
    });
    const stdin: unknown = this.#guard.stdin;
    if (stdin !== null && typeof stdin === 'object' && 'unref' in stdin && typeof stdin.unref === 'function') {
      stdin.unref();
    }
  }

  get url(): string {
    return `nats://${host}:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    return this.#pid;
  }

  get version(): string {
    return this.#version;
  }

  async start(): Promise<void> {
    const deadline = systemClock.monotonic() + portRetryMs;
    for (;;) {
      try {
        const greeting = await this.#startOnce();
        this.#port = greeting.port;
        this.#version = greeting.version;
        return;
      } catch (error) {
        await this.#end('SIGKILL');
        const retry = this.#version !== '' && isMillraceError(error, 'BROKER_UNAVAILABLE');
        if (!retry || systemClock.monotonic() > deadline) throw error;
        await sleep(systemClock, 200);
      }
    }
  }

  async stop(): Promise<void> {
    await this.#end('SIGTERM');
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
    this.#guard.stdin?.end();
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  async restart(config?: ServerConfig): Promise<void> {
    if (config !== undefined) this.#config = config;
    await this.#end('SIGTERM');
    await this.start();
  }

  async #startOnce(): Promise<Greeting> {
    const configFile = join(this.#folder, 'server.conf');
    await writeFile(configFile, this.#configText());
    const child = spawn(this.#binary, ['-c', configFile], { detached: true, stdio: 'ignore' });
    const died = new Promise<string>(resolve => {
      child.once('error', error => resolve(messageOf(error)));
      child.once('exit', (code, signal) => resolve(`it ended with ${signal ?? `code ${code}`}`));
    });
    if (child.pid === undefined) {
      throw new MillraceError(
        'SERVER_NOT_FOUND',
        `${this.#binary} cannot be run (${await died}): install nats-server 2.12 or newer, or name its path`,
      );
    }
    this.#child = child;
    this.#pid = child.pid;
    this.#guard.stdin?.write(`${child.pid}\n`);
    let ready = false;
    let death: string | null = null;
    void died.then(async reason => {
      death = reason;
      if (ready && this.#child === child) this.onDeath?.(`${reason}: ${await this.#logTail()}`);
    });

    const deadline = systemClock.monotonic() + startMs;
    while (death === null && systemClock.monotonic() < deadline) {
      const greeting = await this.#greeting(child.pid);
      if (greeting !== null) {
        ready = true;
        child.unref();
        return greeting;
      }
      await sleep(systemClock, pollMs);
    }
    throw new MillraceError(
      'BROKER_UNAVAILABLE',
      `nats-server did not start, ${death ?? `it was not ready within ${startMs} ms`}: ${await this.#logTail()}`,
    );
  }

  /** Ends the process with `signal`, or by force when that takes too long (a stopped process hears only SIGKILL). */
  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#child = null;
    if (child.exitCode === null && child.signalCode === null) {
      child.ref();
      const exited = new Promise(resolve => child.once('exit', resolve));
      child.kill(signal);
      child.kill('SIGCONT');
      const cancel = systemClock.after(stopMs, () => child.kill('SIGKILL'));
      await exited;
      cancel();
    }
    this.#guard.stdin?.write('\n');
  }

  #configText(): string {
    const { maxPayloadBytes = 8 << 20, syncAlways = false, fileBytesMax, blocks = [] } = this.#config;
    const jetstream = [
      `store_dir: ${JSON.stringify(this.dataDir)}`,
      ...(syncAlways ? ['sync_interval: always'] : []),
      ...(fileBytesMax === undefined ? [] : [`max_file: ${fileBytesMax}`]),
    ];
    invariant(Number.isSafeInteger(maxPayloadBytes) && maxPayloadBytes > 0, 'maxPayloadBytes is a positive integer');
    // JSON strings are valid strings of the server's configuration language.
    return [
      `host: ${host}`,
      `port: ${this.#port === 0 ? -1 : this.#port}`,
      `ports_file_dir: ${JSON.stringify(this.#folder)}`,
      `log_file: ${JSON.stringify(join(this.#folder, 'server.log'))}`,
      `max_payload: ${maxPayloadBytes}`,
      // The server's own bound on what a client may leave unread must not cut off a batch of large messages.
      `max_pending: ${Math.max(64 << 20, maxPayloadBytes * 4)}`,
      `jetstream { ${jetstream.join(', ')} }`,
      ...blocks,
      '',
    ].join('\n');
  }

  /** What the server of this pid says to a new connection, or null while it is not ready. */
  async #greeting(pid: number): Promise<Greeting | null> {
    const files = await readdir(this.#folder);
    const file = files.find(name => name.endsWith(`_${pid}.ports`));
    if (file === undefined) return null;
    const text = await readFile(join(this.#folder, file), 'utf8');
    const port = /(?:nats|tls):\/\/[^"]*:(\d+)"/.exec(text)?.[1];
    if (port === undefined) return null;
    const line = await firstLine(Number(port));
    if (!line.startsWith('INFO ')) return null;
    const info: { version?: string; jetstream?: boolean } = JSON.parse(line.slice(5));
    return info.jetstream === true ? { port: Number(port), version: info.version ?? 'unknown' } : null;
  }

  /** The end of the server's log: nobody should have to look for the file. */
  async #logTail(): Promise<string> {
    try {
      const log = await readFile(join(this.#folder, 'server.log'), 'utf8');
      const lines = log.trimEnd().split('\n');
      const bad = lines.filter(line => /\[(FTL|ERR)\]/.test(line));
      return (bad.length > 0 ? bad : lines).slice(-5).join(' | ');
    } catch (error) {
      return `no log (${messageOf(error)})`;
    }
  }
}

/** The first line that a port sends, or an empty one when it sends none. */
function firstLine(port: number): Promise<string> {
  return new Promise(resolve => {
    const socket = connect({ host, port });
    let text = '';
    const finish = () => {
      socket.destroy();
      const end = text.indexOf('\r\n');
      resolve(end < 0 ? '' : text.slice(0, end));
    };
    socket.setTimeout(2_000, finish);
    socket.setEncoding('utf8');
    socket.on('data', chunk => {
      text += chunk;
      if (text.includes('\r\n')) finish();
    });
    socket.on('error', finish);
    socket.on('end', finish);
  });
}
