/**
 * The blob port on a folder (a local disk, or a share that all workers see): a file for each blob, its content followed
 * by a SHA-256 of it. A file is written beside its place, synced, and linked into it, so a name exists whole or not at
 * all, and the first who writes it wins. One that a disk has damaged is replaced in one step, by a rename.
 *
 * Each `/` of a name is a folder. What a file name may not hold everywhere is `%` and two hex digits a byte.
 */
import { createHash, randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MillraceError, messageOf } from '../base/errors.ts';
import type { Blobs } from '../port/blob.ts';
import { codeOf, isMissing, syncPath } from './disk.ts';

const digestBytes = 32;
/** Names of files on the way: no encoded name contains a dot. */
const unfinished = '.new';
/** What file systems take, with room for the suffix. */
const partBytesMax = 200;

export class FolderBlobs implements Blobs {
  readonly #root: string;

  /** @param root made if missing. */
  constructor({ root }: { readonly root: string }) {
    this.#root = root;
  }

  async put(name: string, content: Uint8Array): Promise<boolean> {
    const path = this.#pathOf(name);
    return this.#orExplain(name, async () => {
      const found = await readFile(path).catch(nullIfMissing);
      if (found !== null && contentOf(found) !== null) return false;
      const temporary = `${path}.${randomBytes(8).toString('hex')}${unfinished}`;
      try {
        await createAndSync(temporary, [content, digestOf(content)]);
        await (found === null ? link(temporary, path) : rename(temporary, path));
        await syncPath(dirname(path));
        return true;
      } catch (error) {
        // Somebody else was first, which is as good.
        if (codeOf(error) !== 'EEXIST') throw error;
        return false;
      } finally {
        await rm(temporary, { force: true });
      }
    });
  }

  async get(name: string): Promise<Uint8Array | null> {
    const path = this.#pathOf(name);
    const bytes = await this.#orExplain(name, () => readFile(path).catch(nullIfMissing));
    if (bytes === null) return null;
    const content = contentOf(bytes);
    if (content !== null) return content;
    throw new MillraceError('JOURNAL_CORRUPT', `the blob ${path} fails its checksum: restore it from a backup`);
  }

  async delete(name: string): Promise<void> {
    const path = this.#pathOf(name);
    // The folder stays, empty or not: somebody may be about to write into it.
    await this.#orExplain(name, () => rm(path, { force: true }));
  }

  async list(prefix: string): Promise<string[]> {
    const whole = prefix.slice(0, prefix.lastIndexOf('/') + 1);
    const names: string[] = [];
    const walk = async (folder: string, before: string): Promise<void> => {
      const entries = await readdir(folder, { withFileTypes: true }).catch(nullIfMissing);
      for (const entry of entries ?? []) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) await walk(path, `${before}${partOf(entry.name)}/`);
        else if (!entry.name.endsWith(unfinished)) names.push(before + partOf(entry.name.slice(0, -suffix.length)));
      }
    };
    const start = join(this.#root, ...whole.split('/').slice(0, -1).map(fileOf));
    await this.#orExplain(prefix, () => walk(start, whole));
    return names.filter(name => name.startsWith(prefix)).sort();
  }

  #pathOf(name: string): string {
    if (name === '') throw new MillraceError('INVALID_ARGUMENT', 'a blob needs a name');
    const parts = name.split('/').map(fileOf);
    for (const part of parts) {
      if (part.length <= partBytesMax) continue;
      throw new MillraceError(
        'INVALID_ARGUMENT',
        `the blob name ${name} has a part of more than ${partBytesMax} bytes`,
      );
    }
    return join(this.#root, ...parts) + suffix;
  }

  /** What the disk refuses, in our words. */
  async #orExplain<T>(name: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const hint = 'check free space, permissions and mount';
      throw new MillraceError('STORE_UNAVAILABLE', `blob ${name} in ${this.#root}: ${messageOf(error)}; ${hint}`, {
        cause: error,
      });
    }
  }
}

/** Keeps the file `a` and the folder `a` of the blob `a/b` apart. */
const suffix = '.blob';

async function createAndSync(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const folder = dirname(path);
  const made = await mkdir(folder, { recursive: true });
  // A new folder is durable when the one that holds it is.
  if (made !== undefined) {
    for (let at = folder; at.length >= made.length; at = dirname(at)) await syncPath(dirname(at));
  }
  const file = await open(path, 'wx');
  try {
    for (const part of parts) await file.writeFile(part);
    await file.sync();
  } finally {
    await file.close();
  }
}

function nullIfMissing(error: unknown): null {
  if (isMissing(error)) return null;
  throw error;
}

/** Null: it is damaged. */
function contentOf(bytes: Buffer): Uint8Array | null {
  const end = bytes.length - digestBytes;
  if (end < 0) return null;
  const content = bytes.subarray(0, end);
  return digestOf(content).equals(bytes.subarray(end)) ? content : null;
}

function digestOf(content: Uint8Array): Buffer {
  return createHash('sha256').update(content).digest();
}

/** Lower-case names stay as they are; upper-case letters are encoded, since some file systems cannot tell them apart. */
function fileOf(part: string): string {
  if (part === '') return '%';
  let file = '';
  for (const byte of Buffer.from(part)) {
    const char = String.fromCharCode(byte);
    file += /[a-z0-9_-]/.test(char) ? char : `%${byte.toString(16).padStart(2, '0')}`;
  }
  return file;
}

function partOf(file: string): string {
  return file === '%' ? '' : decodeURIComponent(file);
}
