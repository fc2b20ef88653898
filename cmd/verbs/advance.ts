/**
 * `advance`: says for those who write to a source that they have told everything up to some event time, so that what waits
 * for them need not.
 */
import { type Command, Option } from 'commander';
import { print } from '../output.ts';
import { type Around, asking, formatOf, makeCommand, type Options, printing, withClient } from './common.ts';

export function advanceVerb(around: Around): Command {
  const command = makeCommand(
    'advance',
    'Say that a source is complete up to an event time, or that it has ended: what waits for it goes on. What comes after all the same is late.',
    ['millrace advance orders weather --to 2026-03-01T18:00:00Z', 'all of weather before six is told'],
    ['millrace advance orders weather --to end', 'weather will say nothing any more'],
    ['millrace describe orders', 'says who waits for whom'],
  )
    .argument('<pipeline>', 'the pipeline')
    .argument('<source>', 'its source, as describe lists it')
    .addOption(new Option('--to <time>', 'event time in ISO, UTC if it names no zone; or: end').makeOptionMandatory());
  return asking(printing(command)).action((pipeline: string, source: string, options: Options) =>
    withClient(around, options, async client => {
      const to = String(options.to);
      const told = await client.advance(pipeline, { source, to });
      const until = to === 'end' ? 'has come to its end' : `is complete up to ${to}`;
      const where = `message ${told.sequence} of stream ${told.stream}, on ${told.subject}`;
      print(around.terminal, formatOf(options).output, { pipeline, source, to, ...told }, () => {
        return `source ${source} ${until} (${where}; every pipeline that reads it will hear of it)`;
      });
    }),
  );
}
