/**
 * The tree of commands: which there are, in the order of the help. What each does is in `verbs/`.
 */
import { Command, Option } from 'commander';
import { VERSION } from '../lib/base/package.ts';
import { strangeVariables } from './config.ts';
import { EXIT_CODES, report } from './exit.ts';
import { COLORS, type Terminal } from './terminal.ts';
import { advanceVerb } from './verbs/advance.ts';
import { auditVerb } from './verbs/audit.ts';
import { drainVerb, rebalanceVerb, uncordonVerb } from './verbs/cluster.ts';
import { type Around, examples } from './verbs/common.ts';
import { completeVerb, completionVerb } from './verbs/completion.ts';
import { configVerb } from './verbs/config.ts';
import { deployVerb } from './verbs/deploy.ts';
import { describeVerb } from './verbs/describe.ts';
import { doctorVerb } from './verbs/doctor.ts';
import { eventsVerb } from './verbs/events.ts';
import { getVerb } from './verbs/get.ts';
import { initVerb } from './verbs/init.ts';
import { keysVerb } from './verbs/keys.ts';
import { lettersVerb } from './verbs/letters.ts';
import { deleteVerb, pauseVerb, restartVerb, resumeVerb } from './verbs/lifecycle.ts';
import { permissionsVerb } from './verbs/permissions.ts';
import { planVerb } from './verbs/plan.ts';
import { stateVerb } from './verbs/state.ts';
import { versionVerb } from './verbs/version.ts';
import { devVerb, workerVerb } from './verbs/worker.ts';

const GROUPS = {
  'Write a pipeline:': [initVerb, devVerb, planVerb],
  'Run it:': [workerVerb, deployVerb, pauseVerb, resumeVerb, restartVerb, advanceVerb, deleteVerb],
  'Share it out:': [drainVerb, uncordonVerb, rebalanceVerb],
  'See what it does:': [getVerb, describeVerb, doctorVerb, eventsVerb, auditVerb, stateVerb, lettersVerb],
  'This command:': [configVerb, keysVerb, permissionsVerb, completionVerb, versionVerb],
} as const;

export function makeTree(around: Around): Command {
  const root = new Command('millrace')
    .description(
      'Millrace, the stream processor for NATS: exactly-once joins, windows and deduplication over JetStream.',
    )
    .version(VERSION)
    .option('--debug', 'show stack traces with errors')
    .addOption(
      new Option('--color <when>', 'colours: auto is at a terminal, unless NO_COLOR is set')
        .choices(COLORS)
        .default('auto'),
    )
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      examples(
        ['millrace dev src/pipeline.ts', 'try a pipeline: broker, worker and screen in one'],
        ['millrace worker --nats nats://nats:4222', 'run a worker'],
        ['millrace deploy src/pipeline.ts', 'deploy to a cluster'],
        ['millrace get', 'see what runs'],
      ) + exitCodes(),
    );
  for (const [heading, verbs] of Object.entries(GROUPS)) {
    for (const verb of verbs) root.addCommand(verb(around).helpGroup(heading));
  }
  root.addCommand(
    completeVerb(around, () => root),
    { hidden: true },
  );
  root.helpCommand(false);
  const { terminal } = around;
  for (const command of commandsOf(root)) {
    command
      .exitOverride()
      .showHelpAfterError(`(see ${pathOf(command)} --help)`)
      .configureOutput({ writeOut: terminal.out, writeErr: terminal.err });
  }
  return root;
}

/** Runs what was typed. Resolves with the exit code; errors are told on the terminal. */
export async function run(args: readonly string[], options: { terminal: Terminal; debug: boolean }): Promise<number> {
  const { terminal, debug } = options;
  let code: number = EXIT_CODES.done.code;
  try {
    const exit = (given: number) => {
      code = given;
    };
    const tree = makeTree({ terminal, exit });
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
    return report(error, { debug, write: terminal.err });
  }
}

/** As it is typed: `millrace letters list`. */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

/** The command and all below it. */
export function commandsOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(commandsOf)];
}

function exitCodes(): string {
  const lines = Object.values(EXIT_CODES).map(({ code, means }) => `  ${String(code).padStart(3)}  ${means}`);
  return `\nExit codes:\n${lines.join('\n')}\n`;
}
