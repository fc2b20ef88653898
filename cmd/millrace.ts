/**
 * The `millrace` command: reads what was typed, runs it, and ends with its exit code. The commands are in `tree.ts`, the
 * exit codes in `exit.ts`.
 */
import { EXIT_CODES } from './exit.ts';
import { COLORS, endQuietlyWithoutReader, openTerminal } from './terminal.ts';
import { run } from './tree.ts';

/** They end by themselves when they are told to, and say so. */
const STAYING = ['worker', 'dev'];

/** The value of a flag before anything is parsed: errors and the terminal depend on it. */
function early(args: readonly string[], flag: string): string | null {
  const end = args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  const at = own.findIndex(arg => arg === flag || arg.startsWith(`${flag}=`));
  if (at < 0) return null;
  return own[at]!.includes('=') ? own[at]!.slice(flag.length + 1) : (own[at + 1] ?? '');
}

const args = process.argv.slice(2);
const color = COLORS.find(one => one === early(args, '--color')) ?? 'auto';
endQuietlyWithoutReader();
// What a library should no longer do is for its authors, not for whoever types a command.
process.noDeprecation = true;
// What only asks leaves nothing half done: it goes at once and quietly.
if (!STAYING.includes(args.find(arg => !arg.startsWith('-')) ?? ''))
  process.once('SIGINT', () => process.exit(EXIT_CODES.interrupted.code));
process.exitCode = await run(args, { terminal: openTerminal(color), debug: early(args, '--debug') !== null });
// A command that is done is done: no handle that somebody forgot keeps the shell waiting.
await Promise.all(
  [process.stdout, process.stderr].map(stream => new Promise<void>(resolve => stream.write('', () => resolve()))),
);
process.exit();
