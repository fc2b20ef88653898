/**
 * Where the nats-server program comes from. Owns the order of the ways and the test that every candidate has to pass
 * (it runs, and is new enough); `fetch-server.ts` owns how one is fetched.
 *
 * Node packages carry no server binary, so it is looked for, nearest first: the path that was named, the PATH, what was
 * fetched before; and if need be fetched: the official release, Debian's package (never installed, only unpacked), a
 * build by Go. A path that was named is an order: if it is of no use, nothing else is tried.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isMillraceError, MillraceError, messageOf } from '../base/errors.ts';
import { makeFolder } from '../base/folder.ts';
import { buildWithGo, fetchDebian, fetchRelease, run } from './fetch-server.ts';
import { SERVER_PINS, SERVER_VERSION, type ServerPins } from './server-pins.ts';

/** Atomic batches came with 2.12. */
const oldest = [2, 12] as const;

export const SERVER_WAYS = ['variable', 'path', 'cache', 'release', 'debian', 'go'] as const;
export type ServerWay = (typeof SERVER_WAYS)[number];

export interface FindServerOptions {
  /** Where fetched servers are kept; made if missing. Safe for several processes at once. */
  readonly cacheDir: string;
  /** Told what is tried and what was taken, a line each. */
  readonly log?: (line: string) => void;
  /** The value of `NATS_SERVER`: a path. */
  readonly variable?: string | undefined;
  /** Which ways may be gone; default all. */
  readonly ways?: readonly ServerWay[];
  /** Default: the official one on GitHub. Below it `v<version>/<archive>`. */
  readonly releaseUrl?: string;
  /** What is fetched must be this. Default: `SERVER_PINS`. */
  readonly pins?: ServerPins;
}

export interface FoundServer {
  readonly binary: string;
  /** Without a `v`. */
  readonly version: string;
  readonly way: ServerWay;
}

const FETCHED: ReadonlySet<ServerWay> = new Set(['release', 'debian', 'go']);

const titles: Readonly<Record<ServerWay, string>> = {
  variable: 'NATS_SERVER',
  path: 'the PATH',
  cache: 'the cache folder',
  release: 'the official release',
  debian: "Debian's package",
  go: 'go install',
};

/**
 * Throws SERVER_NOT_FOUND with all that was tried, why it failed, and what to do.
 */
export async function findServer(options: FindServerOptions): Promise<FoundServer> {
  const { variable, ways = SERVER_WAYS, log = () => undefined } = options;
  const failures: string[] = [];
  for (const way of SERVER_WAYS) {
    if (!ways.includes(way) || (way === 'variable' && !variable)) continue;
    if (FETCHED.has(way)) log(`no nats-server is here that can be used; fetching one: ${titles[way]}`);
    try {
      const binary = await take(way, options);
      if (binary === null) {
        failures.push(`${titles[way]}: ${way === 'cache' ? `${options.cacheDir} has none` : 'there is none'}`);
        continue;
      }
      const version = await versionOf(binary);
      log(`nats-server ${version} from ${titles[way]}: ${binary}`);
      return { binary, version, way };
    } catch (error) {
      const reason = isMillraceError(error) ? error.message : `it failed unexpectedly: ${messageOf(error)}`;
      if (way === 'variable') throw notFound(`NATS_SERVER names ${variable}, but ${reason}`);
      log(`${titles[way]} gave no nats-server: ${reason}`);
      failures.push(`${titles[way]}: ${reason}`);
    }
  }
  const tried = failures.length > 0 ? failures.map(line => `\n  - ${line}`).join('') : ' nothing: no way was allowed';
  throw notFound(
    `no nats-server ${oldest.join('.')} or newer was found. Tried:${tried}\n` +
      'Install one (https://github.com/nats-io/nats-server/releases) on the PATH, or set NATS_SERVER to its path.',
  );
}

/** Resolves to a program that looks right; null: there is none where one need not be. Throws why it is of no use. */
async function take(way: ServerWay, options: FindServerOptions): Promise<string | null> {
  const { cacheDir, variable, releaseUrl, pins = SERVER_PINS } = options;
  switch (way) {
    case 'variable':
      return variable ?? '';
    case 'path':
      return onPath();
    case 'cache':
      return inCache(cacheDir);
    default: {
      makeFolder(cacheDir);
      const order = { cacheDir, version: SERVER_VERSION, pins, check: versionOf };
      if (way === 'release') return fetchRelease(order, releaseUrl);
      return way === 'debian' ? fetchDebian(order) : buildWithGo(order);
    }
  }
}

async function onPath(): Promise<string | null> {
  // The shell knows its PATH; nobody here reads the environment.
  const found = await run('sh', ['-c', 'command -v nats-server'], { timeoutMs: 5_000 }).catch(() => '');
  return found.trim() === '' ? null : found.trim();
}

/** The newest that runs. */
async function inCache(cacheDir: string): Promise<string | null> {
  const names = await readdir(cacheDir).catch(() => [] as string[]);
  const found = names
    .filter(name => /^nats-server-\d/.test(name))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
  const failures: string[] = [];
  for (const name of found) {
    try {
      await versionOf(join(cacheDir, name));
      return join(cacheDir, name);
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  if (failures.length > 0) throw notFound(failures.join('; '));
  return null;
}

/** The version that the program reports, e.g. `2.15.0`. Throws when it does not run or is too old. */
async function versionOf(binary: string): Promise<string> {
  let said: string;
  try {
    said = await run(binary, ['--version'], { timeoutMs: 10_000 });
  } catch (error) {
    throw notFound(`${binary} does not run: ${messageOf(error)}`);
  }
  const [, version, major, minor] = /nats-server: v((\d+)\.(\d+)\.\S+)/.exec(said) ?? [];
  if (version === undefined) throw notFound(`${binary} does not say that it is a nats-server: ${said.trim()}`);
  const isNew = Number(major) > oldest[0] || (Number(major) === oldest[0] && Number(minor) >= oldest[1]);
  if (!isNew) throw notFound(`${binary} is ${version}, which is older than ${oldest.join('.')}`);
  return version;
}

function notFound(message: string): MillraceError {
  return new MillraceError('SERVER_NOT_FOUND', message);
}
