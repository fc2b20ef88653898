/**
 * Contexts: which worker a client asks, and as whom. They are kept in a file of the user's, which this file owns: how it
 * is read, how the current context is found, and how it is changed (whole or not at all; comments stay).
 */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Document } from 'yaml';
import { MillraceError } from '../lib/base/errors.ts';
import { makeFolder } from '../lib/base/folder.ts';
import { didYouMean } from '../lib/base/nearest.ts';
import { type FileValues, type Flags, NO_FILE, platform, type Source, settle, settleOne, tokenOf } from './config.ts';
import { readYaml, throwIfAny, valuesOf } from './config-file.ts';
import { currentFolder, type Dev, findDev } from './dev-file.ts';
import { CLIENT_SETTINGS, SETTINGS, type Setting, type Settings } from './settings.ts';
import { yaml } from './yaml.ts';

export interface ClientFile {
  readonly path: string;
  readonly current: string | null;
  readonly contexts: ReadonlyMap<string, FileValues>;
}

/** Where a client's settings are: what was named, or the place for it. */
export function clientFilePath(): string {
  return settle(['clientConfig']).clientConfig ?? join(platform().configDir, 'config.yaml');
}

/** No file is no context. Throws INVALID_ARGUMENT with all mistakes in it. */
export function readClientFile(path = clientFilePath()): ClientFile {
  const document = readYaml(path);
  const top: unknown = document?.toJS() ?? {};
  const mistakes: string[] = [];
  const contexts = new Map<string, FileValues>();
  if (typeof top !== 'object' || top === null || Array.isArray(top)) {
    throw new MillraceError('INVALID_ARGUMENT', `${path} is no mapping; give current-context and contexts`);
  }
  const { 'current-context': current = null, contexts: list = [], ...rest } = top as Record<string, unknown>;
  for (const key of Object.keys(rest)) {
    mistakes.push(`${path}: ${key} is no setting${didYouMean(key, ['current-context', 'contexts'])}`);
  }
  if (current !== null && typeof current !== 'string') {
    mistakes.push(`${path}: current-context is ${JSON.stringify(current)}; give the name of a context`);
  }
  if (!Array.isArray(list)) {
    mistakes.push(`${path}: contexts is ${JSON.stringify(list)}; give a list of contexts`);
  } else {
    list.forEach((one: unknown, index) => {
      const { name, ...values } = (typeof one === 'object' && one !== null ? one : {}) as Record<string, unknown>;
      if (typeof name !== 'string' || name === '') {
        mistakes.push(`${path}: contexts[${index}] has no name; give it one`);
      } else if (contexts.has(name)) {
        mistakes.push(`${path}: contexts[${index}] has the name ${name}, as an earlier one has; give it another`);
      } else {
        contexts.set(name, valuesOf(values, { kind: 'context', path, within: `contexts[${index}].`, mistakes }));
      }
    });
  }
  throwIfAny(mistakes);
  return { path, current: typeof current === 'string' ? current : null, contexts };
}

/** How to reach a worker's API, and where each part of that comes from. */
export interface Target extends Omit<Settings<(typeof CLIENT_SETTINGS)[number]>, 'token' | 'tokenFile' | 'tls'> {
  /** Null: none was named. */
  readonly context: string | null;
  readonly tls: boolean;
  readonly token: string | null;
  /** This project's own `dev`, asked or not; null: none runs. */
  readonly dev: Dev | null;
  /** `dev`: of the project's own `dev`, which is asked where nobody was named. */
  readonly sources: Readonly<Record<(typeof CLIENT_SETTINGS)[number], Source | 'dev'>>;
}

/**
 * A context that is named by a flag is meant as a whole: what the environment says about server, TLS and token is not
 * mixed into it. Throws INVALID_ARGUMENT.
 */
export function targetOf(flags: Flags): Target {
  const named = settleOne('context', { flags });
  const file = readClientFile();
  const context = named.value ?? file.current;
  const values = context === null ? NO_FILE : contextOf(file, context);
  const from = { flags, file: values, ...(named.source === 'flag' ? { environment: 'ignored' as const } : {}) };
  const settings = settle(CLIENT_SETTINGS, from);
  const { tls, tlsCa, tlsCert, tlsKey, tlsServerName } = settings;
  if ((tlsCert === null) !== (tlsKey === null)) {
    const [given, missing] = tlsCert === null ? ['--tls-key', '--tls-cert'] : ['--tls-cert', '--tls-key'];
    throw new MillraceError('INVALID_ARGUMENT', `${given} needs ${missing} with it`);
  }
  const sources: Record<string, Source | 'dev'> = Object.fromEntries(
    CLIENT_SETTINGS.map(name => [name, settleOne(name, from).source]),
  );
  const folder = currentFolder();
  const dev = folder === null ? null : findDev(folder);
  if (dev !== null && sources.server === 'default') sources.server = 'dev';
  return {
    ...settings,
    server: sources.server === 'dev' ? dev!.api : settings.server,
    context,
    dev,
    tls: tls || [tlsCa, tlsCert, tlsServerName].some(value => value !== null),
    token: tokenOf('client', from),
    sources: sources as Target['sources'],
  };
}

function contextOf(file: ClientFile, name: string): FileValues {
  const values = file.contexts.get(name);
  if (values !== undefined) return values;
  const names = [...file.contexts.keys()];
  const which = names.length === 0 ? 'it has none' : `it has ${names.join(', ')}`;
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `there is no context ${name} in ${file.path}, ${which}${didYouMean(name, names)}; add it with: millrace config set-context ${name} --server HOST:PORT`,
  );
}

/** A context as it may be shown: nested as in the file, secrets left out. */
export function shownContext(name: string, values: FileValues): Record<string, unknown> {
  const shown: Record<string, unknown> = { name };
  for (const [setting, value] of values) {
    const { key, secret }: Setting = SETTINGS[setting];
    const parts = key.split('.');
    let at = shown;
    for (const part of parts.slice(0, -1)) at = (at[part] ??= {}) as Record<string, unknown>;
    at[parts.at(-1)!] = secret ? '(not shown)' : value;
  }
  return shown;
}

/** Writes values into a context, a new one if need be. The file is checked before it takes its place. */
export function setContext(name: string, values: FileValues, options: { use: boolean }): { readonly created: boolean } {
  let created = false;
  editClientFile((document, index) => {
    const at = index(name);
    created = at < 0;
    const place = created
      ? ((document.getIn(['contexts']) as { items: unknown[] } | undefined)?.items.length ?? 0)
      : at;
    if (created) {
      if (!yaml().isSeq(document.get('contexts'))) document.set('contexts', document.createNode([]));
      document.addIn(['contexts'], document.createNode({ name }));
    }
    for (const [setting, value] of values) {
      document.setIn(['contexts', place, ...SETTINGS[setting].key.split('.')], value);
    }
    if (options.use || !document.has('current-context')) document.set('current-context', name);
  });
  return { created };
}

/** Throws INVALID_ARGUMENT if there is no such context. */
export function useContext(name: string): void {
  contextOf(readClientFile(), name);
  editClientFile(document => document.set('current-context', name));
}

/** Throws INVALID_ARGUMENT if there is no such context. */
export function deleteContext(name: string): void {
  const file = readClientFile();
  contextOf(file, name);
  editClientFile((document, index) => {
    document.deleteIn(['contexts', index(name)]);
    if (file.current === name) document.delete('current-context');
  });
}

/** Nobody ever sees half a file: it is written beside and then takes the place. */
function editClientFile(edit: (document: Document, index: (name: string) => number) => void): void {
  const path = clientFilePath();
  readClientFile(path);
  const read = readYaml(path);
  const document = read !== null && yaml().isMap(read.contents) ? read : new (yaml().Document)({});
  const index = (name: string) => {
    const { contexts = [] } = document.toJS() as { contexts?: readonly { name: string }[] };
    return contexts.findIndex(context => context.name === name);
  };
  edit(document, index);
  makeFolder(dirname(path), 0o700);
  const partial = `${path}.${process.pid}.partial`;
  try {
    // Its reader alone may know a token that somebody has put into it.
    writeFileSync(partial, document.toString(), { mode: 0o600 });
    renameSync(partial, path);
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
}
