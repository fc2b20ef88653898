/**
 * The lock on a data folder: one process at a time. Owns what this process has locked; knows nothing of stores.
 *
 * The lock is an empty LevelDB in the folder, because LevelDB's is the one file lock there is: it goes with the process
 * that holds it, however that ends. A second open of it *in the same process* would release it for everybody, so a map
 * of what this process holds comes first, and locking and unlocking take turns.
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { MillraceError } from '../base/errors.ts';
import { codeOf, isMissing, namesIn } from './disk.ts';

export const lockName = 'lock.db';
/** Says who holds the lock, for messages only. */
const holderName = 'lock.pid';

/** A share of a locked folder: the lock goes with the last one. */
export interface FolderLock {
  /** Names of what this process has open in the folder; kept by whoever opens. */
  readonly open: Set<string>;
  release(): Promise<void>;
}

interface Held {
  readonly db: Level;
  readonly open: Set<string>;
  shares: number;
}

const held = new Map<string, Held>();
let turn: Promise<void> = Promise.resolve();

/**
 * @param root the real path of an existing folder: two names of one folder must not count as two.
 * Throws STORE_IN_USE, or what the file system says.
 */
export async function lockFolder(root: string): Promise<FolderLock> {
  const mine = await inTurn(async () => {
    const found = held.get(root);
    if (found !== undefined) {
      found.shares++;
      return found;
    }
    const made: Held = { db: await openLock(root), open: new Set(), shares: 1 };
    held.set(root, made);
    return made;
  });
  let released = false;
  return {
    open: mine.open,
    release: () =>
      inTurn(async () => {
        if (released) return;
        released = true;
        if (--mine.shares > 0) return;
        held.delete(root);
        await mine.db.close();
      }),
  };
}

async function openLock(root: string): Promise<Level> {
  const path = join(root, lockName);
  for (let attempt = 0; ; attempt++) {
    const db = new Level(path);
    try {
      await db.open();
      await writeFile(join(root, holderName), `${process.pid} on ${hostname()}`);
      return db;
    } catch (error) {
      const code = codeOf(error);
      if (code === 'LEVEL_LOCKED') {
        const message = `the data folder ${root} is used by another process${await holderOf(root)}: give each worker a folder of its own, or stop the other one`;
        throw new MillraceError('STORE_IN_USE', message, { cause: error });
      }
      // A damaged CURRENT may name a file that is not there: to LevelDB that is an I/O error, like a full disk.
      if ((code !== 'LEVEL_CORRUPTION' && code !== 'LEVEL_IO_ERROR') || attempt > 0) throw error;
      // It holds nothing worth keeping, except the file that others may be about to lock.
      for (const name of await namesIn(path)) if (name !== 'LOCK') await rm(join(path, name), { force: true });
    }
  }
}

/** ` (pid … on …)`, or nothing when it is not known. */
async function holderOf(root: string): Promise<string> {
  try {
    return ` (pid ${await readFile(join(root, holderName), 'utf8')})`;
  } catch (error) {
    if (!isMissing(error)) throw error;
    return '';
  }
}

function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const done = turn.then(work);
  turn = done.then(
    () => undefined,
    () => undefined,
  );
  return done;
}
