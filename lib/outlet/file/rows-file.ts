/** A file that grows at its end: all that an outlet asks of a disk. What was appended is durable when `append` returns. */
import { type FileHandle, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { MillraceError, messageOf } from '../../base/errors.ts';
import { makeFolder } from '../../base/folder.ts';
import type { Readable } from './record.ts';

export interface RowsFile extends Readable {
  /** Wherever the end is by then; all of it in one piece, or it throws. */
  append(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Opens a file, and makes it where there is none. Throws STORE_UNAVAILABLE, as all calls of the file do. */
export type OpenRowsFile = (name: string) => Promise<RowsFile>;

/** Files of a folder, which is made where it is missing. */
export function folderFiles(root: string): OpenRowsFile {
  return name =>
    told(async () => {
      const path = join(root, name);
      makeFolder(dirname(path));
      const file = await open(path, 'a+');
      await syncFolder(dirname(path));
      return new FolderFile(file);
    });
}

class FolderFile implements RowsFile {
  #file: FileHandle;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  append(bytes: Uint8Array): Promise<void> {
    return told(async () => {
      // One call: another owner's record lies before or behind this one, never in it.
      const { bytesWritten } = await this.#file.write(bytes);
      if (bytesWritten < bytes.length) throw new Error(`only ${bytesWritten} of ${bytes.length} bytes were written`);
      await this.#file.datasync();
    });
  }

  read(at: number, length: number): Promise<Uint8Array> {
    return told(async () => {
      const bytes = Buffer.allocUnsafe(length);
      let read = 0;
      while (read < length) {
        const { bytesRead } = await this.#file.read(bytes, read, length - read, at + read);
        if (bytesRead === 0) break;
        read += bytesRead;
      }
      return bytes.subarray(0, read);
    });
  }

  close(): Promise<void> {
    return told(() => this.#file.close());
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function told<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw new MillraceError('STORE_UNAVAILABLE', `a file of results: ${messageOf(cause)}`, { cause });
  }
}
