/**
 * `letters`: what a pipeline could not process, and what becomes of it: looked at, published again, or dropped.
 */
import { type Command, Option } from 'commander';
import { MillraceError } from '../../lib/base/errors.ts';
import type { LetterQuery } from '../../lib/control/client.ts';
import type { DiscardProgress, LetterView, ReplayProgress } from '../../lib/service/views.ts';
import { Ended } from '../exit.ts';
import { bytes, count, facts, print, printList, time } from '../output.ts';
import * as resources from '../resources.ts';
import type { Terminal } from '../terminal.ts';
import {
  type Around,
  asking,
  formatOf,
  makeCommand,
  numberArgument,
  numbersArgument,
  type Options,
  printing,
  sinceMs,
  withClient,
} from './common.ts';

const PAGE_MAX = 1_000;

export function lettersVerb(around: Around): Command {
  return makeCommand(
    'letters',
    'See, replay or discard what a pipeline could not process: dead letters and late records.',
    ['millrace letters list orders'],
    ['millrace letters get orders 17', 'one letter with its content'],
    ['millrace letters replay orders --code USER_CODE', 'after the cause was mended'],
    ['millrace letters discard orders --kind late'],
  )
    .addCommand(listVerb(around))
    .addCommand(oneVerb(around))
    .addCommand(replayVerb(around))
    .addCommand(discardVerb(around));
}

/** Adds the conditions; a letter must meet all that are given. */
function choosing(command: Command): Command {
  return command
    .addOption(
      new Option('-n, --number <numbers>', 'only these letters').argParser(numbersArgument).helpGroup('Which:'),
    )
    .addOption(new Option('--operator <name>', 'only of this operator').helpGroup('Which:'))
    .addOption(new Option('--code <code>', 'only with this error code, e.g. USER_CODE').helpGroup('Which:'))
    .addOption(new Option('--kind <kind>', 'only of this kind').choices(['dead', 'late']).helpGroup('Which:'))
    .addOption(
      new Option('--since <duration>', 'only of the last so long, e.g. 1h, or since a time').helpGroup('Which:'),
    );
}

function queryOf(pipeline: string, options: Options): LetterQuery {
  const text = (value: unknown) => (typeof value === 'string' ? value : null);
  return {
    pipeline,
    kind: options.kind === 'dead' || options.kind === 'late' ? options.kind : null,
    operator: text(options.operator),
    code: text(options.code),
    numbers: (options.number as readonly number[] | undefined) ?? [],
    sinceMs: typeof options.since === 'string' ? sinceMs(options.since) : null,
  };
}

/** Changes are not made to everything by mistake. */
function chosen(pipeline: string, options: Options): { readonly query: LetterQuery; readonly named: boolean } {
  const query = queryOf(pipeline, options);
  const named = query.numbers !== undefined && query.numbers.length > 0;
  const any = named || [query.operator, query.code, query.kind, query.sinceMs].some(value => value !== null);
  if (any && options.all === true) {
    throw new MillraceError('INVALID_ARGUMENT', '--all and conditions do not go together; leave one of them out');
  }
  if (any || options.all === true) return { query, named };
  const text = 'which letters? give --number, --operator, --code, --kind or --since, or --all for all of them';
  throw new MillraceError('INVALID_ARGUMENT', text);
}

/** For a person who is asked: how many, whose, and by which conditions. */
function lettersText(
  { pipeline, operator, code, kind, sinceMs }: LetterQuery,
  { amount, all }: { readonly amount: number; readonly all: boolean },
): string {
  const conditions = [
    ...(kind == null ? [] : [`kind ${kind}`]),
    ...(operator == null ? [] : [`operator ${operator}`]),
    ...(code == null ? [] : [`code ${code}`]),
    ...(sinceMs == null ? [] : [`since ${time(sinceMs)}`]),
  ];
  const which = conditions.length === 0 ? '' : ` (${conditions.join(', ')})`;
  return `${all ? 'all ' : ''}${count(amount)} ${amount === 1 ? 'letter' : 'letters'} of pipeline ${pipeline}${which}`;
}

function listVerb(around: Around): Command {
  const command = makeCommand(
    'list',
    'List letters, the oldest first.',
    ['millrace letters list orders'],
    ['millrace letters list orders --kind dead --since 1h -o wide', 'with contents'],
  )
    .argument('<pipeline>', 'the pipeline')
    .option('--limit <count>', 'letters at most; 0: all', numberArgument, 100);
  return asking(printing(choosing(command), ['table', 'wide', 'json', 'yaml', 'name'])).action(
    (pipeline: string, options: Options) =>
      withClient(around, options, async client => {
        const { terminal } = around;
        const format = formatOf(options);
        const query = queryOf(pipeline, options);
        const limit = Number(options.limit) === 0 ? Number.POSITIVE_INFINITY : Number(options.limit);
        const letters: LetterView[] = [];
        let pageToken: string | null = null;
        let total = 0;
        do {
          const page: Awaited<ReturnType<typeof client.letters>> = await client.letters(query, {
            pageSize: Math.min(PAGE_MAX, limit - letters.length),
            pageToken,
            content: format.output === 'wide',
          });
          letters.push(...page.items);
          pageToken = page.nextPageToken;
          total = page.total;
        } while (pageToken !== null && letters.length < limit);
        printList(terminal, resources.letters, letters, format);
        if (pageToken !== null)
          terminal.err(`there are more, ${count(total)} in all; see them with a greater --limit\n`);
      }),
  );
}

function oneVerb(around: Around): Command {
  const command = makeCommand(
    'get',
    'Show one letter with its content and headers.',
    ['millrace letters get orders 17'],
    ['millrace letters get orders 17 -o json'],
  )
    .argument('<pipeline>', 'the pipeline')
    .argument('<number>', 'the number of the letter', numberArgument);
  return asking(printing(command)).action((pipeline: string, number: number, options: Options) =>
    withClient(around, options, async client => {
      const letter = await client.letter(pipeline, number);
      print(around.terminal, formatOf(options).output, resources.letters.json(letter), () => letterText(letter));
    }),
  );
}

function letterText(letter: LetterView): string {
  const headers = Object.entries(letter.headers ?? {}).map(([name, value]) => `  ${name}: ${value}`);
  return [
    facts([
      ['Number', String(letter.number)],
      ['Kind', letter.kind],
      ['Operator', letter.operator],
      ['Code', letter.code ?? ''],
      ['Message', letter.message],
      ['Written', time(letter.atMs)],
      [
        'Came in',
        letter.subject === null ? 'made by the pipeline' : `${letter.subject}, record ${letter.index} of its message`,
      ],
      [
        'Size',
        `${bytes(letter.sizeBytes)}${letter.truncated ? ', cut to what a message holds: it cannot be replayed' : ''}`,
      ],
    ]),
    ...(headers.length === 0 ? [] : ['', 'Headers:', ...headers]),
    ...(letter.content === null ? [] : ['', resources.textOf(letter.content)]),
  ].join('\n');
}

function replayVerb(around: Around): Command {
  const command = makeCommand(
    'replay',
    'Publish the contents of letters again where they came from, and delete the letters.',
    ['millrace letters replay orders --number 17'],
    ['millrace letters replay orders --operator map-1 --since 1h --yes'],
    ['millrace letters replay orders --all --to orders.mended --keep'],
  )
    .argument('<pipeline>', 'the pipeline')
    .option('--all', 'all letters')
    .option('--to <subject>', 'publish there instead; needed for rows of buckets and for what the pipeline made itself')
    .option('--keep', 'keep the letters')
    .option('--dry-run', 'say what would be replayed, change nothing')
    .option('-y, --yes', 'do not ask');
  return asking(printing(choosing(command))).action(async (pipeline: string, options: Options) => {
    const { terminal } = around;
    const { query, named } = chosen(pipeline, options);
    const dryRun = options.dryRun === true;
    const to = typeof options.to === 'string' ? { toSubject: options.to } : {};
    const ask = !dryRun && !named && options.yes !== true;
    await withClient(around, options, async client => {
      const replay = (dryRun: boolean) =>
        lastOf(
          terminal,
          client.replayLetters(query, { ...to, dryRun, keep: options.keep === true }),
          answer => answer.replayed,
        );
      if (ask) {
        const { replayed: amount } = await replay(true);
        await terminal.confirm(`replay ${lettersText(query, { amount, all: options.all === true })}`);
      }
      const answer: ReplayProgress = await replay(dryRun);
      print(terminal, formatOf(options).output, { pipeline, ...answer }, () => {
        const lines = [
          `${dryRun ? 'dry run: would replay' : 'replayed'} ${count(answer.replayed)} of ${count(answer.seen)} letters`,
        ];
        if (answer.skipped > 0)
          lines.push(`left alone ${count(answer.skipped)}:`, ...answer.reasons.map(reason => `  - ${reason}`));
        return lines.join('\n');
      });
    });
  });
}

function discardVerb(around: Around): Command {
  const command = makeCommand(
    'discard',
    'Delete letters for good.',
    ['millrace letters discard orders --number 17,18'],
    ['millrace letters discard orders --kind late --yes'],
    ['millrace letters discard orders --all --dry-run'],
  )
    .argument('<pipeline>', 'the pipeline')
    .option('--all', 'all letters')
    .option('--dry-run', 'say how many would be deleted, change nothing')
    .option('-y, --yes', 'do not ask');
  return asking(printing(choosing(command))).action(async (pipeline: string, options: Options) => {
    const { terminal } = around;
    const { query, named } = chosen(pipeline, options);
    const dryRun = options.dryRun === true;
    const ask = !dryRun && !named && options.yes !== true;
    await withClient(around, options, async client => {
      const discard = (dryRun: boolean) =>
        lastOf(terminal, client.discardLetters(query, { dryRun }), answer => answer.discarded);
      if (ask) {
        const { discarded: amount } = await discard(true);
        await terminal.confirm(`delete ${lettersText(query, { amount, all: options.all === true })} for good`);
      }
      const answer: DiscardProgress = await discard(dryRun);
      print(
        terminal,
        formatOf(options).output,
        { pipeline, ...answer },
        () =>
          `${dryRun ? 'dry run: would discard' : 'discarded'} ${count(answer.discarded)} of ${count(answer.seen)} letters`,
      );
    });
  });
}

/** Follows progress, shown to a person as it goes, to the final numbers. */
async function lastOf<T extends { readonly total: number }>(
  terminal: Terminal,
  progress: AsyncIterable<T>,
  done: (answer: T) => number,
): Promise<T> {
  let last: T | null = null;
  for await (const answer of progress) {
    if (terminal.liveErr && last !== null) terminal.err(`\r${count(done(answer))} of about ${count(answer.total)} `);
    last = answer;
  }
  if (terminal.liveErr) terminal.err('\r\x1b[K');
  if (last === null) throw new Ended('failed', 'the worker broke off before it had begun; ask again');
  return last;
}
