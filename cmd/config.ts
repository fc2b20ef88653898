/**
 * Configuration: where settings get their values. Flags win over variables, variables over the file, the file over
 * defaults. The sole reader of the environment. What settings there are is in `settings.ts`, how files are read in
 * `config-file.ts`.
 */
import { MillraceError } from '../lib/base/errors.ts';
import { didYouMean } from '../lib/base/nearest.ts';
import { type Login, shownUrl, splitLogin } from '../lib/base/url.ts';
import { readToken } from '../lib/control/files.ts';
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
  if (flag !== undefined) return found(parse(flag, setting, setting.flag?.split(' ')[0] ?? name), 'flag');
  const variable = from.environment === 'ignored' || setting.variable === null ? null : variableOf(setting.variable);
  if (variable !== null) return found(parse(variable, setting, setting.variable ?? name), 'variable');
  const filed = from.file?.get(name);
  return filed === undefined ? found(setting.default, 'default') : found(filed, 'file');
}

/** A variable that is empty is not set. */
function variableOf(name: string): string | null {
  const value = process.env[name];
  return value === undefined || value === '' ? null : value;
}

const NUMBERS: readonly Kind[] = ['seconds', 'amount', 'count', 'count-none'];
const LABEL_CHARACTERS_MAX = 64;

function parse(text: string | boolean, setting: Setting, where: string): unknown {
  const { kind } = setting;
  if (kind === 'switch') {
    if (text === true || text === 'true' || text === '1') return true;
    if (text === false || text === 'false' || text === '0') return false;
    throw wrong(where, text, 'true or false');
  }
  const value = String(text);
  if (NUMBERS.includes(kind) || (kind === 'count-auto' && value !== 'auto')) {
    const number = value.trim() === '' ? Number.NaN : Number(value);
    return checked(number, kind, where, value);
  }
  const parts = () => value.split(',').flatMap(part => part.trim() || []);
  return checked(kind === 'list' ? parts() : value, kind, where, shownValue(value, setting));
}

/** A value as messages may have it: no secret, and of a URL no login. */
export function shownValue(value: unknown, { secret }: Setting): unknown {
  if (secret === true) return '(not shown)';
  if (secret === undefined) return value;
  return typeof value === 'string' ? value.split(',').map(shownUrl).join(',') : '(not shown)';
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
    case 'amount':
      if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
      throw wrong(where, shown, 'a number, 0 or more');
    case 'count-none':
      if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
      throw wrong(where, shown, 'a whole number, 0 or more');
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
    case 'label':
      if (typeof value === 'string' && isLabel(value)) return value;
      throw wrong(where, shown, `a text of one line, at most ${LABEL_CHARACTERS_MAX} characters`);
    case 'path':
    case 'text':
      if (typeof value === 'string' && value !== '') return value;
      throw wrong(where, shown, kind === 'path' ? 'a path' : 'a text');
  }
}

/** Others are told of it again and again, so it is short. */
function isLabel(text: string): boolean {
  return text !== '' && text.length <= LABEL_CHARACTERS_MAX && !/\p{C}/u.test(text);
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

/**
 * How to log in to NATS. A login in the servers' URLs is taken out of them, so nobody who names a server shows it; one that
 * is set by itself wins. Throws INVALID_ARGUMENT: they have different ones. @param name is shown by the server's monitoring.
 */
export function natsOptions(settings: Settings<(typeof NATS_SETTINGS)[number]>, name: string): NatsOptions {
  const { natsUser, natsPassword, natsToken, natsNkey, natsCreds, natsCa, natsCert, natsKey } = settings;
  const { natsInboxPrefix } = settings;
  const servers = settings.nats.map(splitLogin);
  const isSet = [natsUser, natsToken, natsNkey, natsCreds].some(value => value !== null);
  const login = isSet ? {} : loginOf(servers.map(server => server.login));
  return {
    servers: servers.map(({ url }) => url),
    name,
    ...login,
    ...(natsInboxPrefix === SETTINGS.natsInboxPrefix.default ? {} : { inboxPrefix: natsInboxPrefix }),
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

/** One login is for all servers. Throws INVALID_ARGUMENT. */
function loginOf(logins: readonly (Login | null)[]): Pick<NatsOptions, 'user' | 'password' | 'token'> {
  const given = logins.filter(login => login !== null);
  const [first] = given;
  if (first === undefined) return {};
  if (given.some(({ user, password }) => user !== first.user || password !== first.password)) {
    const text =
      'the NATS servers have different logins in their URLs; one is used for all: set NATS_USER and NATS_PASSWORD';
    throw new MillraceError('INVALID_ARGUMENT', text);
  }
  return first.password === null ? { token: first.user } : { user: first.user, password: first.password };
}

/** Where the token is: given as such, or in a file, whichever has the stronger source; null: nowhere. */
export function tokenPlace(
  names: 'client' | 'worker',
  from: From,
): { readonly token: string } | { readonly tokenFile: string } | null {
  const token = settleOne(names === 'client' ? 'token' : 'serverToken', from);
  const file = settleOne(names === 'client' ? 'tokenFile' : 'serverTokenFile', from);
  if (file.value !== null && SOURCES.indexOf(token.source) > SOURCES.indexOf(file.source)) {
    return { tokenFile: file.value };
  }
  return token.value === null ? null : { token: token.value };
}

/** The token itself. Throws INVALID_ARGUMENT. */
export function tokenOf(names: 'client' | 'worker', from: From): string | null {
  const place = tokenPlace(names, from);
  if (place === null) return null;
  return 'token' in place ? place.token : readToken(place.tokenFile);
}

/** What pipelines' code sees of the environment: plain data, for the threads that it runs in. */
export interface Environment {
  readonly variables: Readonly<Record<string, string>>;
  /** Names that pipelines may ask for. */
  readonly given: readonly string[];
}

/** What any program may know of where it runs. */
const HARMLESS = ['HOME', 'LANG', 'LC_ALL', 'NODE_ENV', 'PATH', 'TMPDIR', 'TZ'];
/** Logins of workers, of their commands, and of where their spans go. */
const OUR_OWN = /^(NATS|MILLRACE|OTEL)_/;

/**
 * What the threads are given that run pipelines' code: what is harmless, and what `names` says. Throws INVALID_ARGUMENT:
 * one of them is not set, or is not for pipelines.
 */
export function environmentFor(names: readonly string[]): Environment {
  for (const name of names) {
    const why = OUR_OWN.test(name) ? 'is of the worker itself' : variableOf(name) === null ? 'is not set' : null;
    if (why === null) continue;
    throw new MillraceError(
      'INVALID_ARGUMENT',
      `--env names ${name}, which ${why}; name what pipelines need, and set it`,
    );
  }
  const set = [...HARMLESS, ...names].flatMap(name => {
    const value = variableOf(name);
    return value === null ? [] : [[name, value] as const];
  });
  return { variables: Object.fromEntries(set), given: names };
}

/** What the SDK of OpenTelemetry reads for itself. */
export function telemetryEnvironment(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(process.env).flatMap(([name, value]) =>
      name.startsWith('OTEL_') && value !== undefined ? [[name, value]] : [],
    ),
  );
}

/** Does the work with variables set that are not there before and after. */
export async function withVariables<T>(env: Readonly<Record<string, string>>, work: () => Promise<T>): Promise<T> {
  Object.assign(process.env, env);
  try {
    return await work();
  } finally {
    for (const name of Object.keys(env)) delete process.env[name];
  }
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
