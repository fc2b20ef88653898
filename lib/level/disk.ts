/**
 * The disk as all of this folder use it: what its errors mean to us (judged by code, never by text), and the small
 * questions that `node:fs` answers with an error.
 */
import { access, open, readdir } from 'node:fs/promises';
import { MillraceError, messageOf } from '../base/errors.ts';

/** The code of the innermost error that has one: `level` wraps LevelDB's reasons in errors of its own. */
export function codeOf(error: unknown): string | null {
  let code: string | null = null;
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    if ('code' in at && typeof at.code === 'string') code = at.code;
  }
  return code;
}

/**
 * STORE_IN_USE, STORE_CORRUPT, or STORE_UNAVAILABLE for all that the disk may refuse. LevelDB reports a full and a
 * read-only disk alike, with the system's own words in its message, which is why they are passed on.
 */
export function storeError(error: unknown, what: string): MillraceError {
  const code = codeOf(error);
  const text = messageOf(error instanceof Error && error.cause !== undefined ? error.cause : error);
  if (code === 'LEVEL_LOCKED') {
    return new MillraceError('STORE_IN_USE', `${what} is open in another process: ${text}`, { cause: error });
  }
  if (code === 'LEVEL_CORRUPTION') {
    return new MillraceError('STORE_CORRUPT', `${what} cannot be read: ${text}`, { cause: error });
  }
  const hint = 'check free space, permissions and mount of the data folder';
  return new MillraceError('STORE_UNAVAILABLE', `${what} failed: ${text}; ${hint}`, { cause: error });
}

export function isMissing(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Names in a folder; none when there is no folder. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

export async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Brings a file, or the names in a folder, to the disk. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
