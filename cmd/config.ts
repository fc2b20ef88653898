/**
 * Configuration: where settings get their values. Flags win over variables, variables over the file, the file over
 * defaults. The sole reader of the environment. What settings there are is in `settings.ts`, how files are read in
 * `config-file.ts`.
 */
import { readFileSync } from 'node:fs';
import { MillraceError, messageOf } from '../lib/base/errors.ts';
import type { NatsOptions } from '../lib/nats/connection.ts';
import type { Level } from '../lib/observe/events.ts';
import { didYouMean } from './nearest.ts';
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

/** The values of `names`. Throws INVALID_ARGUMENT, which names the flag or the variable. */
export function settle<N extends SettingName>(
  names: readonly N[],
  from: { readonly flags?: Flags; readonly file?: FileValues; readonly environment?: 'ignored' } = {},
): Settings<N> {
  const values: [string, unknown][] = names.map(name => {
    const setting: Setting = SETTINGS[name];
    const flag = from.flags?.[name];
    if (flag !== undefined) return [name, parse(flag, setting.kind, setting.flag!.split(' ')[0]!)];
    const variable = from.environment === 'ignored' || setting.variable === null ? null : variableOf(setting.variable);
    if (variable !== null) return [name, parse(variable, setting.kind, setting.variable!)];
    return [name, from.file?.get(name) ?? setting.default];
  });
  return Object.fromEntries(values) as Settings<N>;
}

/** Whether any of `names` is given by a flag or, unless ignored, a variable. */
export function isGiven(names: readonly SettingName[], flags: Flags): boolean {
  return names.some(name => {
    const { variable }: Setting = SETTINGS[name];
    return flags[name] !== undefined || (variable !== null && variableOf(variable) !== null);
  });
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
  if (kind === 'seconds' || kind === 'count') {
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

/** The token itself, from its file if need be. Throws INVALID_ARGUMENT. */
export function tokenOf(token: string | null, file: string | null): string | null {
  if (token !== null || file === null) return token;
  try {
    const text = readFileSync(file, 'utf8').trim();
    if (text !== '') return text;
  } catch (error) {
    throw new MillraceError('INVALID_ARGUMENT', `the token file ${file} cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
  throw new MillraceError('INVALID_ARGUMENT', `the token file ${file} is empty; write the token into it`);
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

export interface Environment {
  readonly nats: string;
  readonly server: string;
  readonly data: string;
  readonly listen: string;
  /** Address that other workers reach this one at, if it differs from `listen`. */
  readonly advertise: string | null;
  readonly logLevel: Level;
  readonly logFormat: 'json' | 'text';
  /** Path of a nats-server for `dev`; null: it is looked for. */
  readonly natsServer: string | null;
  /** Credentials for NATS, whatever was given. */
  readonly login: Omit<NatsOptions, 'servers' | 'name'>;
  /** Where this user's caches go. */
  readonly cacheDir: string;
}

export const ENVIRONMENT_HELP = `
Environment (flags win):
  MILLRACE_NATS         NATS URLs, separated by commas      default nats://127.0.0.1:4222
  MILLRACE_SERVER       address of a worker's API           default 127.0.0.1:4280
  MILLRACE_DATA         data folder of a worker             default .millrace/worker
  MILLRACE_LISTEN       where a worker's API listens        default 127.0.0.1:4280
  MILLRACE_ADVERTISE    where other workers reach it        default: where it listens
  MILLRACE_LOG          debug | info | warn | error         default info
  MILLRACE_LOG_FORMAT   json | text                         default text at a terminal, else json
  NATS_USER, NATS_PASSWORD, NATS_TOKEN, NATS_CREDS (path of a .creds file), NATS_NKEY (seed),
  NATS_CA, NATS_CERT, NATS_KEY (paths of PEM files)         how to log in to NATS
  NATS_SERVER           path of a nats-server for 'dev'     default: looked for`;

/** Throws INVALID_ARGUMENT. */
export function readEnvironment(): Environment {
  const env = process.env;
  const text = (name: string) => (env[name] === undefined || env[name] === '' ? null : env[name]);
  const login: { -readonly [K in keyof Environment['login']]: Environment['login'][K] } = {};
  const [user, password, token] = [text('NATS_USER'), text('NATS_PASSWORD'), text('NATS_TOKEN')];
  const [credentialsFile, nkeySeed] = [text('NATS_CREDS'), text('NATS_NKEY')];
  if (user !== null) login.user = user;
  if (password !== null) login.password = password;
  if (token !== null) login.token = token;
  if (credentialsFile !== null) login.credentialsFile = credentialsFile;
  if (nkeySeed !== null) login.nkeySeed = nkeySeed;
  const [caFile, certFile, keyFile] = [text('NATS_CA'), text('NATS_CERT'), text('NATS_KEY')];
  if (caFile !== null || certFile !== null) {
    login.tls = {
      ...(caFile === null ? {} : { caFile }),
      ...(certFile === null ? {} : { certFile }),
      ...(keyFile === null ? {} : { keyFile }),
    };
  }
  const home = text('HOME') ?? '/tmp';
  return {
    nats: text('MILLRACE_NATS') ?? 'nats://127.0.0.1:4222',
    server: text('MILLRACE_SERVER') ?? '127.0.0.1:4280',
    data: text('MILLRACE_DATA') ?? '.millrace/worker',
    listen: text('MILLRACE_LISTEN') ?? '127.0.0.1:4280',
    advertise: text('MILLRACE_ADVERTISE'),
    logLevel: oneOf('MILLRACE_LOG', text('MILLRACE_LOG') ?? 'info', ['debug', 'info', 'warn', 'error']),
    logFormat: oneOf('MILLRACE_LOG_FORMAT', text('MILLRACE_LOG_FORMAT') ?? (process.stderr.isTTY ? 'text' : 'json'), [
      'json',
      'text',
    ]),
    natsServer: text('NATS_SERVER'),
    login,
    cacheDir: `${text('XDG_CACHE_HOME') ?? `${home}/.cache`}/millrace`,
  };
}

function oneOf<T extends string>(name: string, value: string, values: readonly T[]): T {
  const found = values.find(one => one === value);
  if (found !== undefined) return found;
  throw new MillraceError('INVALID_ARGUMENT', `${name} is ${value}; give one of ${values.join(', ')}`);
}
