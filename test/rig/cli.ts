/**
 * The `millrace` command as a user runs it, in a folder of its own: child processes with nothing in their environment but
 * what is given, what they write, and how they end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openTerminal, shownText, type Terminal } from '../../cmd/terminal.ts';
import { run } from '../../cmd/tree.ts';
import { LAUNCHER } from './launcher.ts';

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

export interface Begun {
  readonly child: ChildProcess;
  /** What it has written so far. */
  readonly said: { out: string; err: string };
  readonly ended: Promise<Ended>;
}

export class Cli {
  readonly folder = mkdtempSync(join(tmpdir(), 'millrace-cli-test-'));
  readonly #children: ChildProcess[] = [];
  /** Added to the environment of every command. */
  env: Record<string, string> = {};

  begin(args: readonly string[], options: { env?: Record<string, string> } = {}): Begun {
    const child = spawn(process.execPath, [LAUNCHER, ...args], {
      cwd: this.folder,
      env: { PATH: process.env.PATH, HOME: this.folder, ...this.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.push(child);
    const said = { out: '', err: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said.out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said.err += text));
    const ended = new Promise<Ended>(resolve =>
      child.once('close', (code, signal) => resolve({ code, signal, ...said })),
    );
    return { child, said, ended };
  }

  run(...args: readonly string[]): Promise<Ended> {
    return this.begin(args).ended;
  }

  /** The same in this process, in its folder and with its environment, which costs less. */
  async ask(...args: readonly string[]): Promise<Omit<Ended, 'signal'>> {
    const said = { out: '', err: '' };
    const color = args.includes('always') ? 'always' : 'never';
    const terminal: Terminal = {
      ...openTerminal(color),
      out: text => void (said.out += shownText(text)),
      err: text => void (said.err += shownText(text)),
    };
    const code = await run(args, { terminal, debug: args.includes('--debug') });
    return { code, ...said };
  }

  /** Ends what still runs and removes the folder. */
  stop(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
