/**
 * What a data folder says of its worker: the name, which stays, and the processes that have had the folder, each of which
 * adds itself. `lib/cluster/identity.ts` says what that is for.
 */
import { randomBytes } from 'node:crypto';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { makeFolder } from '../lib/base/folder.ts';
import type { Identity } from '../lib/cluster/identity.ts';
import { storeError } from '../lib/level/disk.ts';

/**
 * So many former processes are kept: the last one that came as far as the registry is among them, even in a loop of
 * crashes.
 */
const FORMERS_MAX = 16;

/** Makes the folder if need be, and in it a name for its worker: after a restart it is the same worker. */
export function workerName(dataDir: string): Promise<string> {
  return inFolder(dataDir, async () => {
    makeFolder(dataDir);
    const path = join(dataDir, 'worker-name');
    const there = ((await textOf(path)) ?? '').trim();
    if (/^[A-Za-z0-9_-]{1,80}$/.test(there)) return there;
    const host = hostname()
      .replace(/[^A-Za-z0-9_-]/g, '-')
      .slice(0, 40);
    const name = `${host}-${randomBytes(3).toString('hex')}`;
    await replace(path, name);
    return name;
  });
}

/** Gives this process an instance and writes it down, before anybody else may hear of it. The folder must be locked. */
export function identify(dataDir: string): Promise<Omit<Identity, 'name'>> {
  return inFolder(dataDir, async () => {
    const path = join(dataDir, 'worker-instances');
    const there = ((await textOf(path)) ?? '').split('\n').filter(line => /^[0-9a-f]{16}$/.test(line));
    const formers = there.slice(-FORMERS_MAX);
    const instance = randomBytes(8).toString('hex');
    await replace(path, [...formers, instance].join('\n'));
    return { instance, formers };
  });
}

async function inFolder<T>(dataDir: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw storeError(error, `opening the data folder ${dataDir}`);
  }
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return null;
  }
}

/** Whole or not at all, whenever the process ends. */
async function replace(path: string, text: string): Promise<void> {
  const partial = `${path}.${process.pid}`;
  await writeFile(partial, `${text}\n`);
  await rename(partial, path);
}
