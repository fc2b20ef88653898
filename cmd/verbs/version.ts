/**
 * `version`: of this program, of the worker that answers, and of its broker.
 */
import type { Command } from 'commander';
import { VERSION } from '../../lib/base/package.ts';
import { facts, print } from '../output.ts';
import { known } from '../resources.ts';
import { type Around, asking, formatOf, makeCommand, type Options, printing, withClient } from './common.ts';

export function versionVerb(around: Around): Command {
  const command = makeCommand(
    'version',
    'Show the versions of this command, of the worker that answers, and of its broker.',
    ['millrace version'],
    ['millrace version --client', 'without asking a worker'],
  ).option('--client', 'only of this command');
  return asking(printing(command)).action(async (options: Options) => {
    const { terminal } = around;
    const { output } = formatOf(options);
    const client = { version: VERSION, node: process.versions.node };
    const own: [string, string] = ['Client', `${VERSION}, Node ${client.node}`];
    if (options.client === true) return print(terminal, output, { client }, () => facts([own]));
    return withClient(around, options, async asked => {
      const server = await asked.info();
      print(terminal, output, { client, server: known(server) }, () =>
        facts([
          own,
          [
            'Worker',
            `${server.version}, ${server.worker}${server.worker === server.activeWorker ? ', which leads' : ''}`,
          ],
          ['NATS', `${server.natsVersion ?? 'not connected'}, ${server.natsUrl}`],
        ]),
      );
    });
  });
}
