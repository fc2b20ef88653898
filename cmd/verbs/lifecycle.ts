/**
 * `pause`, `resume`, `restart`, `delete`: what should become of a pipeline that is there.
 */
import type { Command } from 'commander';
import { print } from '../output.ts';
import { type Around, asking, formatOf, makeCommand, type Options, printing, withClient } from './common.ts';
import { timeoutOf, untilPaused, untilRunning, waiting } from './deploy.ts';

export function pauseVerb(around: Around): Command {
  const command = makeCommand(
    'pause',
    'Stop a pipeline and keep it stopped, with its state, until it is resumed, and wait until it has stopped on all workers. Paused already: nothing changes.',
    ['millrace pause orders'],
    ['millrace pause orders --no-wait'],
  ).argument('<name>', 'the pipeline');
  return asking(printing(waiting(command, 'it has stopped'))).action((name: string, options: Options) =>
    withClient(around, options, async client => {
      const timeoutMs = timeoutOf(options);
      const revision = await client.pause(name);
      if (options.wait !== false) await untilPaused({ around, client, name, revision, timeoutMs });
      const does = options.wait === false ? 'stops' : 'is paused';
      const text = `pipeline ${name} ${does} (revision ${revision}); to go on: millrace resume ${name}`;
      print(around.terminal, formatOf(options).output, { name, revision }, () => text);
    }),
  );
}

export function resumeVerb(around: Around): Command {
  const command = makeCommand('resume', 'Let a paused pipeline go on where it was, and wait until it runs.', [
    'millrace resume orders',
  ]).argument('<name>', 'the pipeline');
  return goingOn(around, command, 'resumes', client => client.resume);
}

export function restartVerb(around: Around): Command {
  const command = makeCommand(
    'restart',
    'Stop a pipeline and start it again from its state, e.g. after the cause of a failure was mended.',
    ['millrace restart orders'],
    ['millrace restart orders --no-wait'],
  ).argument('<name>', 'the pipeline');
  return goingOn(around, command, 'restarts', client => client.restart);
}

type Client = Parameters<Parameters<typeof withClient>[2]>[0];

function goingOn(
  around: Around,
  command: Command,
  does: string,
  method: (client: Client) => (name: string) => Promise<number>,
): Command {
  return asking(printing(waiting(command))).action((name: string, options: Options) =>
    withClient(around, options, async client => {
      const timeoutMs = timeoutOf(options);
      const revision = await method(client).call(client, name);
      if (options.wait !== false) await untilRunning({ around, client, name, revision, timeoutMs });
      const text = `pipeline ${name} ${options.wait === false ? does : 'runs'} (revision ${revision})`;
      print(around.terminal, formatOf(options).output, { name, revision }, () => text);
    }),
  );
}

export function deleteVerb(around: Around): Command {
  const command = makeCommand(
    'delete',
    'Stop a pipeline for good. Its state is kept for a later deploy, unless it is purged; results are kept always.',
    ['millrace delete orders', 'says what becomes of everything, then asks'],
    ['millrace delete orders --purge --dry-run'],
    ['millrace delete orders --purge --yes'],
  )
    .argument('<name>', 'the pipeline')
    .option('--purge', 'also delete its state: journals, channels, letters, snapshots')
    .option('--dry-run', 'say what would be kept and what deleted, change nothing')
    .option('-y, --yes', 'do not ask');
  return asking(printing(command)).action(async (name: string, options: Options) => {
    const { terminal } = around;
    const purge = options.purge === true;
    const what = purge
      ? `stop pipeline ${name} and delete its state for good`
      : `stop pipeline ${name}; its state is kept`;
    const ask = options.yes !== true && options.dryRun !== true;
    await withClient(around, options, async client => {
      if (options.dryRun === true) {
        const answer = await client.delete(name, { purge, dryRun: true });
        const { kept, deleted } = answer;
        const text = [
          'dry run, nothing was changed',
          ...lists('would be deleted', deleted),
          ...lists('would be kept', kept),
        ];
        return print(terminal, formatOf(options).output, { name, ...answer }, () => text.join('\n'));
      }
      if (ask) {
        const { kept, deleted } = await client.delete(name, { purge, dryRun: true });
        for (const line of [...lists('deleted will be', deleted), ...lists('kept will be', kept)])
          terminal.err(`${line}\n`);
        await terminal.confirm(what);
      }
      const answer = await client.delete(name, { purge });
      print(terminal, formatOf(options).output, { name, ...answer }, () => {
        if (!answer.done) {
          return `pipeline ${name} will be deleted as soon as a worker can do it; look again with: millrace get ${name}`;
        }
        const lines = [
          `pipeline ${name} is deleted`,
          ...lists('deleted', answer.deleted),
          ...lists('kept', answer.kept),
        ];
        if (!purge) lines.push(`a later deploy goes on from its state; to drop that: millrace delete ${name} --purge`);
        return lines.join('\n');
      });
    });
  });
}

function lists(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : [`${title}:`, ...lines.map(line => `  - ${line}`)];
}
