/** Live input: the sender, started as a process of its own and watched until it has sent everything. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { clockOffsetMs } from './clock.ts';
import type { SenderBegun, SenderTask } from './sender.ts';

const SENDER = fileURLToPath(new URL('sender.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * Sends events at a rate for so long, each with the moment at which it was due, by the clock of this process. Resolves
 * when all are stored; throws with what the sender said when it did not come that far.
 * @param begun told when the first tick begins, ms since 1970; every event is due later
 */
export async function sendLive(
  options: Omit<SenderTask, 'clockOffsetMs'>,
  begun: (fromMs: number) => void,
): Promise<void> {
  const task: SenderTask = { ...options, clockOffsetMs: clockOffsetMs() };
  const child = spawn(process.execPath, ['--import', 'tsx', SENDER, JSON.stringify(task)], {
    cwd: ROOT,
    // Ctrl-C is for the bench, which takes everything down in its order; the sender ends when the channel closes.
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  child.on('message', message => begun((message as SenderBegun).fromMs));
  const [said, [code, signal]] = await Promise.all([text(child.stderr!), once(child, 'exit')]);
  if (code !== 0) throw new Error(`the sender ended with ${signal ?? `code ${code}`}: ${said.trim()}`);
}
