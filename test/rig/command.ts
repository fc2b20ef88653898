/** The `millrace` command as a process: what it said, and how it ended. It never outlives the test that began it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { LAUNCHER } from './launcher.ts';

export interface Command {
  readonly child: ChildProcess;
  /** Both outputs so far. */
  readonly said: { text: string };
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>;
}

/** @param options.env added to an environment without any settings for NATS. */
export function beginCommand(
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
): Command {
  const own = Object.entries(process.env).filter(([name]) => !/^(NATS|MILLRACE)_/.test(name));
  const child = spawn(process.execPath, [LAUNCHER, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...Object.fromEntries(own), ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const said = { text: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said.text += text;
    });
  }
  const end = () => child.kill('SIGKILL');
  process.once('exit', end);
  const ended = new Promise<number | null>(resolve => {
    child.once('close', code => {
      process.removeListener('exit', end);
      resolve(code);
    });
  });
  return { child, said, ended };
}
