/**
 * `config`: the contexts of this user, and what a command would use. Secrets are never shown.
 */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { MillraceError } from '../../lib/base/errors.ts';
import { checked, type FileValues } from '../config.ts';
import { deleteContext, readClientFile, setContext, shownContext, targetOf, useContext } from '../contexts.ts';
import { type Column, type Format, print, printList, printOne, type Resource, table } from '../output.ts';
import { CLIENT_SETTINGS, SETTINGS, type Setting, type SettingName, type SettingValue } from '../settings.ts';
import { type Around, flagsOf, formatOf, makeCommand, type Options, printing, settingOption } from './common.ts';

interface ContextRow {
  readonly name: string;
  readonly current: boolean;
  readonly values: FileValues;
}

const contexts: Resource<ContextRow> = {
  kind: 'context',
  none: 'no contexts; add one with: millrace config set-context NAME --server HOST:PORT',
  name: context => context.name,
  json: ({ name, current, values }) => ({ ...shownContext(name, values), current }),
  columns: [
    { head: 'CURRENT', cell: context => (context.current ? '*' : '') },
    { head: 'NAME', cell: context => context.name },
    { head: 'SERVER', cell: ({ values }) => String(values.get('server') ?? SETTINGS.server.default) },
    { head: 'TLS', cell: ({ values }) => ([...values.keys()].some(key => key.startsWith('tls')) ? 'yes' : 'no') },
    { head: 'TOKEN', cell: ({ values }) => (values.has('token') || values.has('tokenFile') ? 'yes' : 'no') },
  ],
};

/** Throws NOT_FOUND when there is none of that name. */
export function listContexts(around: Around, format: Format, name?: string): void {
  const file = readClientFile();
  const rows = [...file.contexts].map(([name, values]) => ({ name, current: name === file.current, values }));
  if (name === undefined) return printList(around.terminal, contexts, rows, format);
  const row = rows.find(context => context.name === name);
  if (row !== undefined) return printOne(around.terminal, contexts, row, format);
  throw new MillraceError(
    'NOT_FOUND',
    `there is no context ${name} in ${file.path}; see: millrace config get-contexts`,
  );
}

const CONNECTION: readonly SettingName[] = ['context', ...CLIENT_SETTINGS];

export function configVerb(around: Around): Command {
  const group = makeCommand(
    'config',
    'Say which workers there are to ask, and which one is asked now.',
    ['millrace config set-context prod --server millrace.prod:4280 --tls-ca ca.pem --token-file token --use'],
    ['millrace config use-context local'],
    ['millrace config get-contexts'],
    ['millrace config view', 'what a command would use, and where it is from'],
  );
  const { terminal } = around;

  const view = printing(
    makeCommand(
      'view',
      'Show what a command would use, where each setting is from, and all contexts; no secrets.',
      ['millrace config view'],
      ['millrace config view --context prod -o yaml'],
    ),
  );
  for (const name of CONNECTION) if (hasFlag(name)) view.addOption(settingOption(name));
  view.action((options: Options) => {
    const file = readClientFile();
    const target = targetOf(flagsOf(CONNECTION, options));
    const rows = CLIENT_SETTINGS.flatMap(name => effective(name, target));
    const value = {
      file: file.path,
      context: target.context,
      effective: Object.fromEntries(rows.map(({ key, value, source }) => [key, { value, source }])),
      contexts: [...file.contexts].map(([name, values]) => shownContext(name, values)),
    };
    print(terminal, formatOf(options).output, value, () =>
      [`File:     ${file.path}`, `Context:  ${target.context ?? '–'}`, '', table(VIEW, rows, { terminal })].join('\n'),
    );
  });

  const list = makeCommand(
    'get-contexts',
    'List the contexts.',
    ['millrace config get-contexts'],
    ['millrace config get-contexts -o name'],
  );
  printing(list, ['table', 'wide', 'json', 'yaml', 'name']).action((options: Options) =>
    listContexts(around, formatOf(options)),
  );

  const use = makeCommand('use-context', 'Make a context the current one.', ['millrace config use-context prod'])
    .argument('<name>', 'the context')
    .action((name: string) => {
      useContext(name);
      terminal.out(`context ${name} is the current one\n`);
    });

  const set = makeCommand(
    'set-context',
    'Make a context, or change some of its settings. The first one becomes the current one.',
    ['millrace config set-context local --server 127.0.0.1:4280'],
    ['millrace config set-context prod --server millrace.prod:4280 --tls-ca ca.pem --token-file token --use'],
  ).argument('<name>', 'the context');
  for (const name of CLIENT_SETTINGS) if (hasFlag(name)) set.addOption(settingOption(name));
  set.addOption(new Option('--use', 'make it the current one')).action((name: string, options: Options) => {
    const values = new Map<SettingName, SettingValue<Setting>>();
    for (const [key, value] of Object.entries(flagsOf(CLIENT_SETTINGS, options))) {
      const setting: Setting = SETTINGS[key as SettingName];
      const good = checked(value, setting.kind, setting.flag?.split(' ')[0] ?? key);
      values.set(key as SettingName, setting.kind === 'path' ? resolve(String(good)) : good);
    }
    const { created } = setContext(name, values, { use: options.use === true });
    terminal.out(`context ${name} ${created ? 'created' : 'changed'}\n`);
  });

  const remove = makeCommand('delete-context', 'Forget a context.', ['millrace config delete-context old'])
    .argument('<name>', 'the context')
    .action((name: string) => {
      deleteContext(name);
      terminal.out(`context ${name} deleted\n`);
    });
  for (const command of [view, list, use, set, remove]) group.addCommand(command);
  return group;
}

interface Effective {
  readonly key: string;
  readonly value: unknown;
  readonly source: string;
}

const VIEW: readonly Column<Effective>[] = [
  { head: 'SETTING', cell: row => row.key },
  { head: 'VALUE', cell: row => String(row.value) },
  { head: 'FROM', cell: row => row.source },
];

function effective(name: (typeof CLIENT_SETTINGS)[number], target: ReturnType<typeof targetOf>): Effective[] {
  const { key, secret, variable, flag }: Setting = SETTINGS[name];
  const value = target[name === 'tokenFile' ? 'token' : name];
  const source = target.sources[name];
  if (value === null || (name === 'tokenFile' && source === 'default')) return [];
  if ((name === 'token' || name === 'tls') && source === 'default') return [];
  const from = {
    flag: flag ?? '',
    variable: variable ?? '',
    file: `context ${target.context}`,
    dev: "the project's dev",
    default: 'default',
  }[source];
  return [{ key, value: secret || name === 'tokenFile' ? '(not shown)' : value, source: from }];
}

function hasFlag(name: SettingName): boolean {
  return (SETTINGS[name] as Setting).flag !== null;
}
