/**
 * Who may look into a data folder: its worker alone. There is state in it, what snapshots are made of, and pipelines' code.
 * Whatever is made in it is closed to others by the mask of the process, LevelDB's files too; a folder that was there
 * before, and its older files, by closing the folder.
 */
import { chmod, stat } from 'node:fs/promises';
import { messageOf } from '../base/errors.ts';
import { makeFolder } from '../base/folder.ts';
import { storeError } from './disk.ts';

const OTHERS = 0o077;
const OWNER_ONLY = 0o700;
/** As `/tmp` is: nobody's own. */
const STICKY = 0o1000;

/** From here on this process makes files and folders that nobody else may read. */
export function closeToOthers(): void {
  process.umask(OTHERS);
}

/**
 * Makes the folder, or closes it to others. Resolves with what a person should know of that; null: nothing. Throws
 * STORE_UNAVAILABLE.
 */
export async function privateFolder(path: string): Promise<string | null> {
  let mode: number;
  try {
    makeFolder(path, OWNER_ONLY);
    ({ mode } = await stat(path));
  } catch (error) {
    throw storeError(error, `opening the data folder ${path}`);
  }
  if ((mode & OTHERS) === 0) return null;
  const was = (mode & 0o777).toString(8);
  const told = (why: string) =>
    `the data folder ${path} is open to others (mode ${was}), and ${why}; only what this worker makes in it is closed`;
  if ((mode & STICKY) !== 0) return told('others have things in it: give a folder of its own');
  try {
    await chmod(path, OWNER_ONLY);
    return `the data folder ${path} was open to others (mode ${was}) and is no longer`;
  } catch (error) {
    // A volume that belongs to somebody else, as a cluster mounts them: what is made in it is ours alone all the same.
    return told(`that cannot be changed: ${messageOf(error)}`);
  }
}
