/**
 * `state`: a look into what the operators of a running pipeline remember. Changes nothing.
 */
import type { Command } from 'commander';
import { MillraceError } from '../../lib/base/errors.ts';
import type { EntryView } from '../../lib/engine/views.ts';
import { jsonOf } from '../../lib/record/format.ts';
import type { DecodedKey } from '../../lib/record/key.ts';
import { printList } from '../output.ts';
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

const PAGE_MAX = 1_000;

export function stateVerb(around: Around): Command {
  const formats = ['table', 'wide', 'json', 'yaml', 'name'] as const;
  const group = makeCommand(
    'state',
    'Look into what the operators of a running pipeline remember. Changes nothing.',
    ['millrace state tables orders', 'which operators remember something, and how much'],
    ['millrace state get orders dedupe-orders e17', 'all that one of them remembers of a key'],
    ['millrace state scan orders join-payments --limit 20 -o json'],
  );
  const tables = makeCommand('tables', "List the tables of a pipeline's operators, with their sizes.", [
    'millrace state tables orders',
  ]).argument('<pipeline>', 'the pipeline');
  const get = makeCommand(
    'get',
    'Show all that an operator remembers of a key.',
    ['millrace state get orders dedupe-orders e17'],
    ['millrace state get orders join-payments \'["de","berlin"]\'', 'a key of two fields'],
    ['millrace state get orders join-payments \'"7"\'', 'the text 7, not the number'],
  )
    .argument('<pipeline>', 'the pipeline')
    .argument('<operator>', 'the operator, as in: millrace state tables PIPELINE')
    .argument('<key>', 'the key as JSON; what is no JSON is a text');
  const scan = makeCommand(
    'scan',
    'Show what an operator remembers, in the order of partition, table, bucket and key.',
    ['millrace state scan orders join-payments'],
    ['millrace state scan orders join-payments --table left --partition 3 --limit 1000 -o json'],
  )
    .argument('<pipeline>', 'the pipeline')
    .argument('<operator>', 'the operator, as in: millrace state tables PIPELINE')
    .option('--table <table>', 'only this table')
    .option('--partition <number>', 'only this partition', numberArgument)
    .option('--limit <count>', 'entries at most; 0: all', numberArgument, 100);
  const { terminal } = around;
  asking(printing(tables, formats)).action((pipeline: string, options: Options) =>
    withClient(around, options, async client => {
      printList(terminal, resources.tables, await client.tables(pipeline), formatOf(options));
    }),
  );
  asking(printing(get, formats)).action((pipeline: string, operator: string, key: string, options: Options) =>
    withClient(around, options, async client => {
      const entries = await client.entries({ pipeline, operator, key: keyOf(key) });
      printList(terminal, resources.entries, entries, formatOf(options));
    }),
  );
  asking(printing(scan, formats)).action((pipeline: string, operator: string, options: Options) =>
    withClient(around, options, async client => {
      const limit = Number(options.limit) === 0 ? Number.POSITIVE_INFINITY : Number(options.limit);
      const entries: EntryView[] = [];
      let pageToken: string | null = null;
      do {
        const page: Awaited<ReturnType<typeof client.scan>> = await client.scan(pipeline, {
          operator,
          table: typeof options.table === 'string' ? options.table : null,
          partition: typeof options.partition === 'number' ? options.partition : null,
          pageSize: Math.min(PAGE_MAX, limit - entries.length),
          pageToken,
        });
        entries.push(...page.items);
        pageToken = page.nextPageToken;
      } while (pageToken !== null && entries.length < limit);
      printList(terminal, resources.entries, entries, formatOf(options));
      if (pageToken !== null) terminal.err('there is more; see it with a greater --limit\n');
    }),
  );
  return group.addCommand(tables).addCommand(get).addCommand(scan);
}

/** Throws INVALID_ARGUMENT: objects are no keys. */
function keyOf(text: string): DecodedKey {
  let value: unknown;
  try {
    value = jsonOf(Buffer.from(text));
  } catch {
    return text;
  }
  if (isKey(value)) return value;
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `${text} is no key; give a text, a number, true, false, null or a list of them`,
  );
}

function isKey(value: unknown): value is DecodedKey {
  if (Array.isArray(value)) return value.every(isKey);
  return value === null || ['string', 'number', 'bigint', 'boolean'].includes(typeof value);
}
