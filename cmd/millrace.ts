/**
 * The `millrace` command: names, flags and help of all subcommands. What each does is in the files beside this one.
 *
 * Exit codes: 0 done, 1 it failed (the error says why and what to do), 2 it was called wrongly.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { isMillraceError, messageOf } from '../lib/base/errors.ts';
import { VERSION } from '../lib/base/package.ts';
import { jsonLog, textLog } from '../lib/observe/log.ts';
import { addressOf, ENVIRONMENT_HELP, type Environment, readEnvironment } from './config.ts';
import type { OutputFormat } from './output.ts';

/** Commands load what they need when they run: `--help` should not wait for a broker's client. */
const pipelines = () => import('./pipelines.ts');

function makeProgram(environment: Environment, done: (code: number) => void): Command {
  const program = new Command('millrace')
    .description(
      'Millrace, the stream processor for NATS: exactly-once joins, windows and deduplication over JetStream.',
    )
    .version(VERSION)
    .option('--debug', 'show stack traces with errors')
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      examples(
        ['millrace dev src/pipeline.ts', 'try a pipeline: broker, worker and screen in one'],
        ['millrace worker --nats nats://nats:4222', 'run a worker'],
        ['millrace deploy src/pipeline.ts', 'deploy to a cluster'],
        ['millrace get', 'see what runs'],
      ) + ENVIRONMENT_HELP,
    );

  const asking = (command: Command) =>
    command.option('--server <host:port>', "address of any worker's API", environment.server).addOption(outputOption());
  const ask = (options: { server: string; output: OutputFormat }) => ({
    server: addressOf(options.server, '--server'),
    output: options.output,
  });
  const stopOption = () =>
    new Option('--stop-seconds <seconds>', 'how long a clean stop may take').default(10).argParser(seconds);

  program
    .command('worker')
    .description('Run a worker: it serves the API, and runs the pipelines or waits to take over.')
    .option('--nats <urls>', 'NATS servers, separated by commas', environment.nats)
    .option('--data <folder>', 'data folder, one for each worker', environment.data)
    .option('--listen <host:port>', 'where the API listens', environment.listen)
    .option('--advertise <host:port>', 'where other workers reach the API', environment.advertise ?? undefined)
    .addOption(stopOption())
    .addHelpText(
      'after',
      examples(
        ['millrace worker', 'against NATS on this machine'],
        ['millrace worker --nats nats://a:4222,nats://b:4222 --data /var/lib/millrace --listen 0.0.0.0:4280', ''],
      ),
    )
    .action(
      async (options: Record<'nats' | 'data' | 'listen', string> & { advertise?: string; stopSeconds: number }) => {
        const { workerCommand } = await import('./worker.ts');
        const write = (line: string) => void process.stderr.write(line);
        const log = { level: environment.logLevel, write, now: () => Date.now() };
        done(
          await workerCommand({
            nats: { ...environment.login, servers: options.nats.split(',') },
            dataDir: options.data,
            listen: addressOf(options.listen, '--listen'),
            advertise: options.advertise === undefined ? null : addressOf(options.advertise, '--advertise'),
            stopMs: options.stopSeconds * 1_000,
            observer: environment.logFormat === 'json' ? jsonLog(log) : textLog(log),
          }),
        );
      },
    );

  program
    .command('dev')
    .description(
      'Try a pipeline: a broker of its own, a worker and a screen in one process. Goes on where it was stopped.',
    )
    .argument('<file>', 'the pipeline, e.g. src/pipeline.ts')
    .option('--nats <urls>', 'use this broker instead of one of its own')
    .option('--data <folder>', 'where broker and worker keep their data (default: .millrace in the project)')
    .option('--listen <host:port>', 'where the API listens, if it is free', environment.listen)
    .addOption(stopOption())
    .addHelpText(
      'after',
      examples(
        ['millrace dev src/pipeline.ts', ''],
        ['millrace dev src/pipeline.ts --nats nats://127.0.0.1:4222', 'with events that are there already'],
      ),
    )
    .action(async (file: string, options: { nats?: string; data?: string; listen: string; stopSeconds: number }) => {
      const { devCommand } = await import('./dev.ts');
      done(
        await devCommand({
          file,
          nats: options.nats ?? null,
          dataDir: options.data ?? null,
          listen: addressOf(options.listen, '--listen'),
          stopMs: options.stopSeconds * 1_000,
          environment,
        }),
      );
    });

  asking(program.command('plan'))
    .description('Show what a pipeline would become: stages, partitions, state, streams. Changes nothing.')
    .argument('<file>', 'the pipeline, e.g. src/pipeline.ts')
    .option('--nats <urls>', 'ask this broker about streams, without any worker')
    .addHelpText(
      'after',
      examples(
        ['millrace plan src/pipeline.ts', 'also says whether a deploy would be accepted'],
        ['millrace plan src/pipeline.ts --nats nats://127.0.0.1:4222', ''],
        ['millrace plan src/pipeline.ts -o json', ''],
      ),
    )
    .action(async (file: string, options: { server: string; output: OutputFormat; nats?: string }) => {
      await (await pipelines()).planCommand(file, { ...ask(options), nats: options.nats ?? null, environment });
    });

  asking(program.command('deploy'))
    .description('Deploy a pipeline, or a new revision of it. The same again does nothing.')
    .argument('<file>', 'the pipeline, e.g. src/pipeline.ts')
    .option('--dry-run', 'check everything, change nothing', false)
    .addHelpText(
      'after',
      examples(
        ['millrace deploy src/pipeline.ts', ''],
        ['millrace deploy src/pipeline.ts --dry-run --server millrace.prod:4280', ''],
      ),
    )
    .action(async (file: string, options: { server: string; output: OutputFormat; dryRun: boolean }) => {
      await (await pipelines()).deployCommand(file, { ...ask(options), dryRun: options.dryRun });
    });

  asking(program.command('get'))
    .description('List pipelines with their status, or show one.')
    .argument('[name]', 'one pipeline')
    .addHelpText('after', examples(['millrace get', ''], ['millrace get orders -o yaml', '']))
    .action(async (name: string | undefined, options: { server: string; output: OutputFormat }) => {
      await (await pipelines()).getCommand(name, ask(options));
    });

  asking(program.command('describe'))
    .description('Show one pipeline in full: status, readers, tasks, plan.')
    .argument('<name>', 'the pipeline')
    .addHelpText('after', examples(['millrace describe orders', '']))
    .action(async (name: string, options: { server: string; output: OutputFormat }) => {
      await (await pipelines()).describeCommand(name, ask(options));
    });

  asking(program.command('restart'))
    .description('Stop a pipeline and start it again from its state, e.g. after the cause of a failure was mended.')
    .argument('<name>', 'the pipeline')
    .addHelpText('after', examples(['millrace restart orders', '']))
    .action(async (name: string, options: { server: string; output: OutputFormat }) => {
      await (await pipelines()).restartCommand(name, ask(options));
    });

  asking(program.command('delete'))
    .description('Stop a pipeline for good. Its state is kept for a later deploy, unless it is purged.')
    .argument('<name>', 'the pipeline')
    .option('--purge', 'also delete its state: journals, channels, letters, snapshots', false)
    .option('-y, --yes', 'do not ask', false)
    .addHelpText('after', examples(['millrace delete orders', ''], ['millrace delete orders --purge --yes', '']))
    .action(async (name: string, options: { server: string; output: OutputFormat; purge: boolean; yes: boolean }) => {
      const { purge, yes } = options;
      await (await pipelines()).deleteCommand(name, { ...ask(options), purge, yes });
    });
  return program;
}

function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to print').choices(['table', 'json', 'yaml']).default('table');
}

function seconds(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0 || text.trim() === '') {
    throw new InvalidArgumentError('Give a number of seconds, e.g. 10.');
  }
  return value;
}

function examples(...lines: readonly (readonly [command: string, what: string])[]): string {
  const width = Math.max(...lines.filter(([, what]) => what !== '').map(([command]) => command.length), 0);
  const shown = lines.map(([command, what]) => `  $ ${what === '' ? command : `${command.padEnd(width)}   # ${what}`}`);
  return `\nExamples:\n${shown.join('\n')}\n`;
}

/** Errors never show a stack unless asked: whoever types a command needs to know what to do, not where we noticed. */
function report(error: unknown, debug: boolean): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  const text = messageOf(error);
  process.stderr.write(`error: ${text}\n`);
  if (debug && error instanceof Error) process.stderr.write(`${error.stack}\n${causesOf(error)}`);
  else if (!isMillraceError(error))
    process.stderr.write('this was not expected; run it again with --debug and report it\n');
  return isMillraceError(error, 'INVALID_ARGUMENT') ? 2 : 1;
}

function causesOf(error: Error): string {
  const { cause } = error;
  return cause instanceof Error ? `caused by ${cause.stack}\n${causesOf(cause)}` : '';
}

async function main(): Promise<number> {
  const debug = process.argv.includes('--debug');
  let code = 0;
  try {
    const program = makeProgram(readEnvironment(), result => {
      code = result;
    });
    for (const command of [program, ...program.commands]) command.exitOverride().showHelpAfterError('(see --help)');
    if (process.argv.length <= 2) {
      program.outputHelp({ error: true });
      return 2;
    }
    await program.parseAsync(process.argv);
    return code;
  } catch (error) {
    return report(error, debug);
  }
}

process.exitCode = await main();
// A command that is done is done: no handle that somebody forgot keeps the shell waiting.
await new Promise<void>(resolve => process.stdout.write('', () => resolve()));
process.exit();
