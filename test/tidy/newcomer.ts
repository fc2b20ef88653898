/**
 * A newcomer: types commands into a shell, in a fresh copy of the tree, with nothing of this machine's environment but
 * where programs are. Commands that stay (`dev`, `worker`, a broker) run on beside the others, until they are stopped.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import { freePort } from '../rig/worker-process.ts';
import { projectFiles, root } from './texts.ts';

const STAY_MS = 60_000;

export interface Said {
  readonly code: number | null;
  readonly text: string;
}

interface Staying {
  readonly command: string;
  readonly child: ChildProcess;
  readonly gone: Promise<Said>;
}

export class Newcomer {
  /** The clone. */
  readonly folder: string;
  private at: string;
  private readonly env: Record<string, string>;
  private staying: Staying[] = [];
  private broker: NatsServer | null = null;

  private constructor(port: number) {
    this.folder = join(mkdtempSync(join(tmpdir(), 'millrace-newcomer-')), 'millrace');
    this.at = this.folder;
    for (const file of projectFiles()) {
      mkdirSync(dirname(join(this.folder, file)), { recursive: true });
      cpSync(join(root, file), join(this.folder, file));
    }
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'));
    this.env = {
      HOME: this.folder,
      MILLRACE_LISTEN: `127.0.0.1:${port}`,
      MILLRACE_SERVER: `127.0.0.1:${port}`,
      ...named(['PATH', 'NATS_SERVER', 'XDG_CACHE_HOME']),
    };
    const { HOME } = process.env;
    if (HOME !== undefined) this.env.XDG_CACHE_HOME ??= join(HOME, '.cache');
    // What npm has fetched once, it does not ask for again.
    if (HOME !== undefined) this.env.npm_config_cache = process.env.npm_config_cache ?? join(HOME, '.npm');
    Object.assign(this.env, { npm_config_prefer_offline: 'true', npm_config_audit: 'false', npm_config_fund: 'false' });
  }

  static async arrive(): Promise<Newcomer> {
    return new Newcomer(await freePort());
  }

  /** Whether commands run in the clone. */
  get isHome(): boolean {
    return this.at === this.folder;
  }

  /** Goes to a folder; none: back to the clone. */
  go(folder = ''): void {
    this.at = folder === '' ? this.folder : join(this.at, folder);
  }

  /** Runs a command to its end. */
  run(command: string): Promise<Said> {
    return this.begin(command).gone;
  }

  /** Starts a command that stays, and resolves with what it has said when that matches. Throws when it ends before. */
  async start(command: string, ready: RegExp): Promise<string> {
    const staying = this.begin(command);
    this.staying.push(staying);
    let text = '';
    const matches = new Promise<string>((resolve, reject) => {
      const hear = (more: Buffer) => {
        text += more.toString();
        if (ready.test(text)) resolve(text);
      };
      staying.child.stdout?.on('data', hear);
      staying.child.stderr?.on('data', hear);
      void staying.gone.then(said => reject(new Error(`${command} has ended with ${said.code}:\n${said.text}`)));
      setTimeout(() => reject(new Error(`${command} does not come up:\n${text}`)), STAY_MS).unref();
    });
    const heard = await matches;
    const url = /broker (nats:\S+)/.exec(heard)?.[1];
    if (url !== undefined) this.env.NATS_URL = url;
    return heard;
  }

  /** A broker on a free port: the usual one may be somebody's. What stayed so far is stopped. */
  async startBroker(): Promise<void> {
    await this.stopAll();
    this.broker = await startServer({ dataDir: join(this.folder, 'broker') });
    this.env.MILLRACE_NATS = this.broker.url;
    this.env.NATS_URL = this.broker.url;
  }

  async leave(): Promise<void> {
    await this.stopAll();
    rmSync(dirname(this.folder), { recursive: true, force: true });
  }

  /** Ctrl-C for each, the last first. Throws when one does not end well. */
  async stopAll(): Promise<void> {
    const failed: string[] = [];
    for (const { command, child, gone } of this.staying.reverse()) {
      if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGINT');
      const force = setTimeout(() => child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'), STAY_MS);
      const { code, text } = await gone;
      clearTimeout(force);
      if (code !== 0 && child.signalCode !== 'SIGINT') failed.push(`${command} ended with ${code}:\n${text}`);
    }
    this.staying = [];
    await this.broker?.stop();
    this.broker = null;
    if (failed.length > 0) throw new Error(failed.join('\n'));
  }

  private begin(command: string): Staying {
    // A group of its own, so that Ctrl-C reaches what npx has started, as it does in a terminal.
    const child = spawn('sh', ['-c', command], {
      cwd: this.at,
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (more: Buffer) => (text += more.toString()));
    const gone = new Promise<Said>(resolve => child.once('close', code => resolve({ code, text })));
    return { command, child, gone };
  }
}

/** Those of the environment's variables that are set. */
function named(names: readonly string[]): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of names) {
    const value = process.env[name];
    if (value !== undefined && value !== '') found[name] = value;
  }
  return found;
}
