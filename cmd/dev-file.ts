/**
 * How commands find the `dev` of the project that they are run in: a file in its folder, `.millrace/dev.json`, says where
 * API and broker are while `dev` runs, since another project's may have the usual ports. Owns that file, and who counts as
 * whose.
 */
import { existsSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import { MillraceError } from '../lib/base/errors.ts';
import { makeFolder } from '../lib/base/folder.ts';

/** A `dev` that runs. */
export interface Dev {
  /** Folder of its project. */
  readonly project: string;
  /** `host:port` of its API. */
  readonly api: string;
  /** Servers of its broker, separated by commas, without a login. */
  readonly nats: string;
  readonly pid: number;
}

const FOLDER = '.millrace';
const NAME = 'dev.json';

/** Says where API and broker are. Returns what takes that back, unless another has taken its place. */
export function publishDev({ project, ...dev }: Dev): () => void {
  const path = join(project, FOLDER, NAME);
  makeFolder(dirname(path), 0o700);
  const partial = `${path}.${dev.pid}.partial`;
  writeFileSync(partial, `${JSON.stringify(dev)}\n`, { mode: 0o600 });
  renameSync(partial, path);
  return () => {
    if (readDev(project)?.pid === dev.pid) rmSync(path, { force: true });
  };
}

/** The `dev` of the nearest folder upwards that has one; null: none, or it runs no more. */
export function findDev(from: string): Dev | null {
  for (const folder of foldersUp(from)) {
    const dev = readDev(folder);
    if (dev !== null && isAlive(dev.pid)) return dev;
  }
  return null;
}

/** The nearest folder upwards with a `package.json`; null: none has one. */
export function projectOf(from: string): string | null {
  return foldersUp(from).find(folder => existsSync(join(folder, 'package.json'))) ?? null;
}

/**
 * Whether the worker that was found by its usual place, and not by name, is the one that is meant. Throws
 * INVALID_ARGUMENT: it is another project's `dev`.
 * @param options.project whose `dev` answers; null: it is a worker.
 */
export function checkMeant(options: {
  readonly server: string;
  readonly project: string | null;
  readonly here: string | null;
}): void {
  const { server, project, here } = options;
  if (project === null || here === null || isWithin(project, here) || isWithin(here, project)) return;
  throw new MillraceError(
    'INVALID_ARGUMENT',
    `at ${server} there is millrace dev of ${project}, and this is ${here}; start dev here, or, if that one is meant, say so: --server ${server}`,
  );
}

function isWithin(folder: string, other: string): boolean {
  return folder === other || folder.startsWith(other.endsWith(sep) ? other : other + sep);
}

function foldersUp(from: string): string[] {
  const folders = [resolve(from)];
  while (dirname(folders.at(-1)!) !== folders.at(-1)) folders.push(dirname(folders.at(-1)!));
  return folders;
}

/** Null: there is no such file, or it is none of ours. */
function readDev(project: string): Dev | null {
  try {
    const { api, nats, pid } = JSON.parse(readFileSync(join(project, FOLDER, NAME), 'utf8')) as Partial<Dev>;
    const isOurs = typeof api === 'string' && typeof nats === 'string' && Number.isSafeInteger(pid);
    return isOurs ? { project, api, nats, pid: pid! } : null;
  } catch {
    return null;
  }
}

/** A process that was killed leaves its file behind. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The folder that commands are run in, by its real name; null: it is gone. */
export function currentFolder(): string | null {
  try {
    return realpathSync(process.cwd());
  } catch {
    return null;
  }
}
