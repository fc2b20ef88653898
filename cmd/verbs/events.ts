/**
 * `events`: what has happened on all workers, and what happens.
 */
import { type Command, Option } from 'commander';
import type { Level } from '../../lib/observe/events.ts';
import { printList, table } from '../output.ts';
import * as resources from '../resources.ts';
import {
  type Around,
  asking,
  formatOf,
  makeCommand,
  numberArgument,
  type Options,
  printing,
  withClient,
} from './common.ts';

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

export function eventsVerb(around: Around): Command {
  const command = makeCommand(
    'events',
    'Show what has happened on all workers, and with --follow what happens. A worker that cannot be reached is named.',
    ['millrace events'],
    ['millrace events orders --level warn --follow'],
    ['millrace events --past 1000 -o json'],
  )
    .argument('[pipeline]', 'only of this pipeline')
    .addOption(
      new Option('--level <level>', 'this level and above; debug: only what happens on the worker that answers')
        .choices(LEVELS)
        .default('info'),
    )
    .option('--past <count>', 'so many of the past at most; each worker remembers some 1,000', numberArgument, 50)
    .option('--follow', 'go on with each event as it happens');
  return asking(printing(command, ['table', 'wide', 'json', 'yaml', 'name'])).action(
    (pipeline: string | undefined, options: Options) =>
      withClient(around, options, async client => {
        const { terminal } = around;
        const format = formatOf(options);
        const which = {
          level: LEVELS.find((level): level is Level => level === options.level) ?? 'info',
          past: Number(options.past),
          ...(pipeline === undefined ? {} : { pipeline }),
        };
        if (options.follow !== true) {
          const events = [];
          for await (const event of client.events({ ...which, pastOnly: true })) events.push(event);
          // Nothing may have happened to a pipeline that is there; of one that is not, that would be no answer.
          if (events.length === 0 && pipeline !== undefined) await client.get(pipeline);
          return printList(terminal, resources.events, events, format);
        }
        for await (const event of client.events(which)) {
          const forProgram = format.output === 'json' || format.output === 'yaml';
          const line = forProgram
            ? JSON.stringify(resources.events.json(event))
            : format.output === 'name'
              ? `event/${event.event}`
              : table(resources.events.columns, [event], { headers: false, terminal });
          terminal.out(`${line}\n`);
        }
      }),
  );
}
