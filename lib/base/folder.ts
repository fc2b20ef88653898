/** Folders that are made where a person has said. `mkdir` with `recursive` never comes to an end below `/proc`. */
import { mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** With those above it; does nothing where there is one. Throws what the system says. @param mode of those that are made */
export function makeFolder(path: string, mode = 0o777): void {
  const folder = resolve(path);
  if (made(folder, mode)) return;
  makeFolder(dirname(folder), mode);
  if (!made(folder, mode)) throw new Error(`no folder can be made at ${folder}`);
}

/** False: there is nothing to make it in. */
function made(folder: string, mode: number): boolean {
  try {
    mkdirSync(folder, { mode });
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return false;
    if (code === 'EEXIST' && statSync(folder).isDirectory()) return true;
    throw error;
  }
}
