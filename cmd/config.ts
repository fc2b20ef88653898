/**
 * Configuration: the sole reader of the environment. Flags win over variables, variables over defaults; every variable is
 * named in `ENVIRONMENT_HELP`.
 */

import { MillraceError } from '../lib/base/errors.ts';
import type { NatsOptions } from '../lib/nats/connection.ts';
import type { Level } from '../lib/observe/events.ts';

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

/** `nats` may name several servers, separated by commas. */
export function natsOptions(environment: Environment, nats: string, name: string): NatsOptions {
  return { ...environment.login, servers: nats.split(',').map(server => server.trim()), name };
}

/** Checks an address; a port alone means this machine. Throws INVALID_ARGUMENT. */
export function addressOf(text: string, flag: string): string {
  const match = /^(?:(.*):)?(\d{1,5})$/.exec(text);
  if (match === null || Number(match[2]) > 65_535) {
    throw new MillraceError('INVALID_ARGUMENT', `${flag} is ${text}; give HOST:PORT, e.g. 127.0.0.1:4280`);
  }
  return `${match[1] === undefined || match[1] === '' ? '127.0.0.1' : match[1]}:${match[2]}`;
}

function oneOf<T extends string>(name: string, value: string, values: readonly T[]): T {
  const found = values.find(one => one === value);
  if (found !== undefined) return found;
  throw new MillraceError('INVALID_ARGUMENT', `${name} is ${value}; give one of ${values.join(', ')}`);
}
