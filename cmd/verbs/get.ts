/**
 * `get`: lists what there is, or shows one thing of it.
 */
import type { Command } from 'commander';
import { isMillraceError, MillraceError } from '../../lib/base/errors.ts';
import { nearest } from '../../lib/base/nearest.ts';
import type { AdminClient, PipelineInfo } from '../../lib/control/client.ts';
import { type Format, printList, printOne, type Resource } from '../output.ts';
import * as resources from '../resources.ts';
import { watchList } from '../watch.ts';
import {
  type Around,
  asking,
  formatOf,
  makeCommand,
  needed,
  type Options,
  printing,
  secondsArgument,
  withClient,
} from './common.ts';

/** Each kind of thing with the words for it, the first being the one in help texts. */
export const KINDS = {
  pipelines: ['pipelines', 'pipeline', 'pl'],
  workers: ['workers', 'worker', 'wk'],
  tasks: ['tasks', 'task', 'tk'],
  tables: ['tables', 'table', 'tb'],
  letters: ['letters', 'letter', 'lt'],
  events: ['events', 'event', 'ev'],
  contexts: ['contexts', 'context', 'ctx'],
} as const;

export type Kind = keyof typeof KINDS;

const LETTERS_MAX = 100;
const EVENTS_MAX = 100;

export function kindOf(word: string): Kind | null {
  const entry = Object.entries(KINDS).find(([, words]) => (words as readonly string[]).includes(word));
  return (entry?.[0] as Kind | undefined) ?? null;
}

export function getVerb(around: Around): Command {
  const command = makeCommand(
    'get',
    `List ${Object.keys(KINDS).join(', ')}, or show one of them. Without a kind: pipelines.`,
    ['millrace get', 'all pipelines'],
    ['millrace get orders', 'one pipeline: how far its sources and operators are, and what they wait for'],
    ['millrace get orders -o yaml'],
    ['millrace get workers --watch', 'who leads, who drains, how much each has'],
    ['millrace get tasks orders --watch', 'drawn anew every second'],
    ['millrace get tables orders', 'what its operators remember'],
  )
    .argument(
      '[kind]',
      'pipelines (pl), workers (wk), tasks (tk), tables (tb), letters (lt), events (ev), contexts (ctx)',
    )
    .argument('[name]', 'one pipeline or worker, or a task as PIPELINE/STAGE/PARTITION; for the others: whose')
    .option('-w, --watch', 'go on showing what changes')
    .option('--interval <seconds>', 'how often to look', secondsArgument, 1);
  return asking(printing(command, ['table', 'wide', 'json', 'yaml', 'name'])).action(
    async (word: string | undefined, name: string | undefined, options: Options) => {
      const kind = word === undefined ? 'pipelines' : kindOf(word);
      if (kind === 'contexts') {
        const { listContexts } = await import('./config.ts');
        return listContexts(around, formatOf(options), name);
      }
      if (kind !== null) return withClient(around, options, client => show({ around, client, kind, name, options }));
      if (name !== undefined) throw unknownKind(word ?? '');
      return withClient(around, options, client =>
        show({ around, client, kind: 'pipelines', name: word, options }).catch((error: unknown) => {
          const near = nearest(word ?? '', Object.values(KINDS).flat());
          if (near === null || !isMillraceError(error, 'NOT_FOUND')) throw error;
          throw new MillraceError('NOT_FOUND', `${error.message}; did you mean: millrace get ${near}?`, {
            cause: error,
          });
        }),
      );
    },
  );
}

export function unknownKind(word: string): MillraceError {
  const near = nearest(word, Object.values(KINDS).flat());
  const hint = near === null ? `give one of ${Object.keys(KINDS).join(', ')}` : `did you mean ${near}?`;
  return new MillraceError('INVALID_ARGUMENT', `there is no kind of thing named ${word}; ${hint}`);
}

interface Showing {
  readonly around: Around;
  readonly client: AdminClient;
  readonly kind: Exclude<Kind, 'contexts'>;
  readonly name: string | undefined;
  readonly options: Options;
}

function show({ around, client, kind, name, options }: Showing): Promise<void> {
  const whose = (what: string) => needed(name, 'the name of the pipeline', `millrace get ${what} orders`);
  const list = <T>(resource: Resource<T>, read: () => Promise<readonly T[]>, one = false) =>
    shown({ around, resource, read, one, options });
  switch (kind) {
    case 'pipelines':
      if (name === undefined) return pipelines({ around, client, options });
      return list(resources.pipelines, async () => [await client.get(name)], true);
    case 'workers':
      if (name === undefined) return list(resources.workers, () => client.workers());
      return list(resources.workers, async () => [await client.worker(name)], true);
    case 'tasks':
      if (name?.includes('/')) return list(resources.tasks, async () => [await client.task(taskPlace(name))], true);
      return list(resources.tasks, () => client.tasks(name === undefined ? {} : { pipeline: name }));
    case 'tables': {
      const pipeline = whose('tables');
      return list(resources.tables, () => client.tables(pipeline));
    }
    case 'letters': {
      const pipeline = whose('letters');
      return list(resources.letters, async () => (await client.letters({ pipeline }, { pageSize: LETTERS_MAX })).items);
    }
    case 'events':
      return list(resources.events, async () => {
        const events = [];
        const which = { past: EVENTS_MAX, pastOnly: true, ...(name === undefined ? {} : { pipeline: name }) };
        for await (const event of client.events(which)) events.push(event);
        return events;
      });
  }
}

async function pipelines({ around, client, options }: Pick<Showing, 'around' | 'client' | 'options'>): Promise<void> {
  let last: readonly PipelineInfo[] = [];
  const read = async () => {
    last = await client.list();
    return last;
  };
  await shown({ around, resource: resources.pipelines, read, one: false, options });
  // A wide table has the reasons.
  if (options.watch === true || formatOf(options).output !== 'table') return;
  for (const line of failedLines(last)) around.terminal.err(`${line}\n`);
}

/** Where the reasons are, which have no room in a table. Pure. */
export function failedLines(
  pipelines: readonly { readonly name: string; readonly status: Pick<PipelineInfo['status'], 'state'> }[],
): string[] {
  const failed = pipelines.filter(({ status }) => status.state === 'failed');
  return failed.map(({ name }) => `${name} has failed; why: millrace get ${name}`);
}

async function shown<T>(showing: {
  readonly around: Around;
  readonly resource: Resource<T>;
  readonly read: () => Promise<readonly T[]>;
  readonly one: boolean;
  readonly options: Options;
}): Promise<void> {
  const { around, resource, read, one, options } = showing;
  const { terminal } = around;
  const format: Format = formatOf(options);
  if (options.watch === true) {
    if (resource.kind === 'event') {
      throw new MillraceError('INVALID_ARGUMENT', 'events are not watched but followed: millrace events --follow');
    }
    return watchList({ terminal, resource, format, read, intervalMs: Number(options.interval) * 1_000, one });
  }
  const rows = await read();
  if (one) printOne(terminal, resource, rows[0]!, format);
  else printList(terminal, resource, rows, format);
}

/** `orders/by-id/3`. Throws INVALID_ARGUMENT. */
export function taskPlace(name: string): { pipeline: string; stage: string; partition: number } {
  const match = /^([^/]+)\/(.+)\/(\d+)$/.exec(name);
  if (match === null) {
    const text = `${name} names no task; give PIPELINE/STAGE/PARTITION, as in: millrace get tasks`;
    throw new MillraceError('INVALID_ARGUMENT', text);
  }
  return { pipeline: match[1]!, stage: match[2]!, partition: Number(match[3]) };
}
