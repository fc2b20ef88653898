/**
 * Configuration: where settings get their values. Flags win over variables, variables over the file, the file over
 * defaults. The sole reader of the environment. What settings there are is in `settings.ts`, how files are read in
 * `config-file.ts`.
 */
import { readFileSync } from 'node:fs';
import { MillraceError, messageOf } from '../lib/base/errors.ts';
import { didYouMean } from '../lib/base/nearest.ts';
import type { NatsOptions } from '../lib/nats/connection.ts';
import {
  type Kind,
  type NATS_SETTINGS,
  SETTINGS,
  type Setting,
  type SettingName,
  type Settings,
  type SettingValue,
} from './settings.ts';

/** Flags as they were given, by the name of their setting. */
export type Flags = { readonly [K in SettingName]?: string | boolean };

/** Values of a file by setting, checked already. */
export type FileValues = ReadonlyMap<SettingName, SettingValue<Setting>>;

export const NO_FILE: FileValues = new Map();

/** Where a value came from, the strongest first. */
export const SOURCES = ['flag', 'variable', 'file', 'default'] as const;
export type Source = (typeof SOURCES)[number];

interface From {
  readonly flags?: Flags;
  readonly file?: FileValues;
  /** `ignored`: somebody named a context, and means all of it. */
  readonly environment?: 'ignored';
}

/** The values of `names`. Throws INVALID_ARGUMENT, which names the flag or the variable. */
export function settle<N extends SettingName>(names: readonly N[], from: From = {}): Settings<N> {
  return Object.fromEntries(names.map(name => [name, settleOne(name, from).value])) as Settings<N>;
}

/** A value and its source. Throws INVALID_ARGUMENT. */
export function settleOne<N extends SettingName>(
  name: N,
  from: From = {},
): { readonly value: Settings<N>[N]; readonly source: Source } {
  const setting: Setting = SETTINGS[name];
  const found = (value: unknown, source: Source) => ({ value: value as Settings<N>[N], source });
  const flag = from.flags?.[name];
  if (flag !== undefined) return found(parse(flag, setting.kind, setting.flag?.split(' ')[0] ?? name), 'flag');
  const variable = from.environment === 'ignored' || setting.variable === null ? null : variableOf(setting.variable);
  if (variable !== null) return found(parse(variable, setting.kind, setting.variable ?? name), 'variable');
  const filed = from.file?.get(name);
  return filed === undefined ? found(setting.default, 'default') : found(filed, 'file');
}

/** A variable that is empty is not set. */
function variableOf(name: string): string | null {
  const value = process.env[name];
  return value === undefined || value === '' ? null : value;
}

function parse(text: string | boolean, kind: Kind, where: string): unknown {
  if (kind === 'switch') {
    if (text === true || text === 'true' || text === '1') return true;
    if (text === false || text === 'false' || text === '0') return false;
    throw wrong(where, text, 'true or false');
  }
  const value = String(text);
  if (kind === 'seconds' || kind === 'count' || (kind === 'count-auto' && value !== 'auto')) {
    const number = value.trim() === '' ? Number.NaN : Number(value);
    return checked(number, kind, where, value);
  }
  if (kind === 'list')
    return checked(
      value
        .split(',')
        .map(part => part.trim())
        .filter(part => part !== ''),
      kind,
      where,
      value,
    );
  return checked(value, kind, where, value);
}

/** A value as a file or a parsed text has it. Throws INVALID_ARGUMENT that begins with `where`. */
export function checked(value: unknown, kind: Kind, where: string, shown: unknown = value): SettingValue<Setting> {
  if (typeof kind !== 'string') {
    if (typeof value === 'string' && kind.includes(value)) return value;
    throw wrong(where, shown, `one of ${kind.join(', ')}${typeof value === 'string' ? didYouMean(value, kind) : ''}`);
  }
  switch (kind) {
    case 'switch':
      if (typeof value === 'boolean') return value;
      throw wrong(where, shown, 'true or false');
    case 'seconds':
      if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
      throw wrong(where, shown, 'a number of seconds, e.g. 10');
    case 'count':
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value;
      throw wrong(where, shown, 'a whole number, 1 or more');
    case 'count-auto':
      if (value === 'auto' || (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1)) return value;
      throw wrong(where, shown, 'a whole number, 1 or more, or auto');
    case 'list': {
      const list = typeof value === 'string' ? [value] : value;
      if (Array.isArray(list) && list.length > 0 && list.every(one => typeof one === 'string' && one !== '')) {
        return list as string[];
      }
      throw wrong(where, shown, 'one or more texts');
    }
    case 'off-address':
      if (value === 'off') return value;
      return addressOf(typeof value === 'number' ? String(value) : value, where, ', or off');
    case 'address':
      return addressOf(typeof value === 'number' ? String(value) : value, where);
    case 'path':
    case 'text':
      if (typeof value === 'string' && value !== '') return value;
      throw wrong(where, shown, kind === 'path' ? 'a path' : 'a text');
  }
}

function wrong(where: string, value: unknown, wanted: string): MillraceError {
  const shown = typeof value === 'string' ? value : JSON.stringify(value);
  return new MillraceError('INVALID_ARGUMENT', `${where} is ${shown === '' ? 'empty' : shown}; give ${wanted}`);
}

/** Checks an address; a port alone means this machine. Throws INVALID_ARGUMENT. */
export function addressOf(text: unknown, where: string, or = ''): string {
  const match = typeof text === 'string' ? /^(?:(.*):)?(\d{1,5})$/.exec(text) : null;
  if (match === null || Number(match[2]) > 65_535) throw wrong(where, text, `HOST:PORT, e.g. 127.0.0.1:4280${or}`);
  return `${match[1] === undefined || match[1] === '' ? '127.0.0.1' : match[1]}:${match[2]}`;
}

/** How to log in to NATS. @param name is shown by the server's monitoring. */
export function natsOptions(settings: Settings<(typeof NATS_SETTINGS)[number]>, name: string): NatsOptions {
  const { natsUser, natsPassword, natsToken, natsNkey, natsCreds, natsCa, natsCert, natsKey } = settings;
  return {
    servers: settings.nats,
    name,
    ...(natsUser === null ? {} : { user: natsUser }),
    ...(natsPassword === null ? {} : { password: natsPassword }),
    ...(natsToken === null ? {} : { token: natsToken }),
    ...(natsNkey === null ? {} : { nkeySeed: natsNkey }),
    ...(natsCreds === null ? {} : { credentialsFile: natsCreds }),
    ...(natsCa === null && natsCert === null
      ? {}
      : {
          tls: {
            ...(natsCa === null ? {} : { caFile: natsCa }),
            ...(natsCert === null ? {} : { certFile: natsCert }),
            ...(natsKey === null ? {} : { keyFile: natsKey }),
          },
        }),
  };
}

/** The token, given as such or as its file, whichever has the stronger source. Throws INVALID_ARGUMENT. */
export function tokenOf(names: 'client' | 'worker', from: From): string | null {
  const token = settleOne(names === 'client' ? 'token' : 'serverToken', from);
  const file = settleOne(names === 'client' ? 'tokenFile' : 'serverTokenFile', from);
  if (file.value === null || SOURCES.indexOf(token.source) <= SOURCES.indexOf(file.source)) return token.value;
  try {
    const text = readFileSync(file.value, 'utf8').trim();
    if (text !== '') return text;
  } catch (error) {
    const what = `the token file ${file.value} cannot be read: ${messageOf(error)}`;
    throw new MillraceError('INVALID_ARGUMENT', what, { cause: error });
  }
  throw new MillraceError('INVALID_ARGUMENT', `the token file ${file.value} is empty; write the token into it`);
}

/** What the platform says: folders by the XDG rules, and whether colours are wanted. */
export function platform(): { readonly cacheDir: string; readonly configDir: string; readonly noColor: boolean } {
  const home = variableOf('HOME') ?? variableOf('USERPROFILE') ?? '/tmp';
  return {
    cacheDir: `${variableOf('XDG_CACHE_HOME') ?? `${home}/.cache`}/millrace`,
    configDir: `${variableOf('XDG_CONFIG_HOME') ?? `${home}/.config`}/millrace`,
    noColor: variableOf('NO_COLOR') !== null,
  };
}

/**
 * Variables that look like ours and are not, one line each. No errors: Kubernetes gives pods variables named after each
 * service, so one that is called `millrace` must not keep a worker from starting; those are passed over.
 */
export function strangeVariables(): string[] {
  const known = Object.values<Setting>(SETTINGS).flatMap(({ variable }) => variable ?? []);
  return Object.keys(process.env)
    .filter(name => name.startsWith('MILLRACE_') && !known.includes(name))
    .filter(name => !/^MILLRACE_(.+_)?(PORT|SERVICE_HOST|SERVICE_PORT)(_|$)/.test(name))
    .map(name => `the variable ${name} means nothing to millrace${didYouMean(name, known)}`);
}
