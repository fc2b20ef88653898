/**
 * The `millrace` command: reads what was typed, runs it, and ends with its exit code. The commands are in `tree.ts`, the
 * exit codes in `exit.ts`.
 */
import { strangeVariables } from './config.ts';
import { EXIT_CODES, report } from './exit.ts';
import { COLORS, endQuietlyWithoutReader, openTerminal } from './terminal.ts';
import { makeTree } from './tree.ts';

/** The value of a flag before anything is parsed: errors and the terminal depend on it. */
function early(args: readonly string[], flag: string): string | null {
  const end = args.indexOf('--');
  const own = end < 0 ? args : args.slice(0, end);
  const at = own.findIndex(arg => arg === flag || arg.startsWith(`${flag}=`));
  if (at < 0) return null;
  return own[at]!.includes('=') ? own[at]!.slice(flag.length + 1) : (own[at + 1] ?? '');
}

async function main(args: readonly string[]): Promise<number> {
  const terminal = openTerminal(COLORS.find(color => color === early(args, '--color')) ?? 'auto');
  let code: number = EXIT_CODES.done.code;
  try {
    const tree = makeTree({
      terminal,
      exit: given => {
        code = given;
      },
    });
    if (args.length === 0) {
      tree.outputHelp({ error: true });
      return EXIT_CODES.usage.code;
    }
    // A worker says it in its log, completion must say nothing else.
    if (!['worker', '__complete'].includes(args[0]!)) {
      for (const line of strangeVariables()) terminal.err(`warning: ${line}\n`);
    }
    await tree.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    return report(error, { debug: early(args, '--debug') !== null, write: terminal.err });
  }
}

endQuietlyWithoutReader();
process.exitCode = await main(process.argv.slice(2));
// A command that is done is done: no handle that somebody forgot keeps the shell waiting.
await Promise.all(
  [process.stdout, process.stderr].map(stream => new Promise<void>(resolve => stream.write('', () => resolve()))),
);
process.exit();
