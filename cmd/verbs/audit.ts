/**
 * `audit`: who has changed what through the API, and who was refused.
 */
import { type Command, Option } from 'commander';
import type { AdminClient } from '../../lib/control/client.ts';
import type { AuditEntry } from '../../lib/service/audit.ts';
import { printList } from '../output.ts';
import * as resources from '../resources.ts';
import { type Around, asking, formatOf, makeCommand, type Options, printing, sinceMs, withClient } from './common.ts';

const PAGE_MAX = 1_000;

export function auditVerb(around: Around): Command {
  const command = makeCommand(
    'audit',
    'Show who has changed what through the API, and who was refused; it is kept for 90 days.',
    ['millrace audit'],
    ['millrace audit orders --since 7d'],
    ['millrace audit --since 2026-03-01T18:00:00Z -o json'],
  )
    .argument('[pipeline]', 'only what was about this pipeline')
    .addOption(new Option('--since <duration>', 'the last so long, e.g. 1h, or since a time').default('24h'));
  return asking(printing(command, ['table', 'wide', 'json', 'yaml', 'name'])).action(
    (pipeline: string | undefined, options: Options) =>
      withClient(around, options, async client => {
        const query = { sinceMs: sinceMs(String(options.since)), ...(pipeline === undefined ? {} : { pipeline }) };
        printList(around.terminal, resources.audit, await all(client, query), formatOf(options));
      }),
  );
}

async function all(client: AdminClient, query: { sinceMs: number; pipeline?: string }): Promise<AuditEntry[]> {
  const entries: AuditEntry[] = [];
  let pageToken: string | null = null;
  do {
    const page: Awaited<ReturnType<AdminClient['audit']>> = await client.audit({
      ...query,
      pageToken,
      pageSize: PAGE_MAX,
    });
    entries.push(...page.items);
    pageToken = page.nextPageToken;
  } while (pageToken !== null);
  return entries;
}
