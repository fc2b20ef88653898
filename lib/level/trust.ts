/**
 * Whether a store on disk may be trusted: the note beside it that says which incarnation counts, on which boot of the
 * machine it was written, and whether it was closed cleanly.
 */
import { open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeFolder } from '../base/folder.ts';
import { codeOf, isMissing, syncPath } from './disk.ts';

export interface Note {
  readonly incarnation: string;
  readonly bootId: string | null;
  readonly clean: boolean;
}

export const noteName = 'meta.json';

/**
 * Without a sync a write lives in the page cache: that survives the process and not the machine. Where no boot id tells
 * the two ends apart, only a clean close counts.
 */
export function isTrusted(note: Note, bootId: string | null): boolean {
  return note.clean || (bootId !== null && note.bootId === bootId);
}

/** The kernel's id of this boot; null where the kernel has none to show. */
export async function kernelBootId(): Promise<string | null> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Null: there is none, or it is no note of ours. */
export async function readNote(folder: string): Promise<Note | null> {
  let text: string;
  try {
    text = await readFile(join(folder, noteName), 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
  let note: Partial<Note> | null;
  try {
    note = JSON.parse(text);
  } catch {
    return null; // half written or damaged: as good as none
  }
  const { incarnation, bootId = null, clean = false } = note ?? {};
  return typeof incarnation === 'string' ? { incarnation, bootId, clean: clean === true } : null;
}

/** Resolves when it is on the disk, whole. */
export async function writeNote(folder: string, note: Note): Promise<void> {
  makeFolder(folder);
  const path = join(folder, noteName);
  const file = await open(`${path}.new`, 'w');
  try {
    await file.writeFile(JSON.stringify(note));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.new`, path);
  await syncPath(folder);
}

/** After it nothing in the folder is trusted. */
export async function removeNote(folder: string): Promise<void> {
  await rm(join(folder, noteName), { force: true });
}

/** Brings all files of a closed store to the disk: LevelDB's own close leaves its log in the page cache. */
export async function syncFolder(folder: string): Promise<void> {
  for (const name of await readdir(folder)) await syncPath(join(folder, name));
  await syncPath(folder);
}
