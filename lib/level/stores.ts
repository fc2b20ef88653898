/**
 * The stores of a data folder: a folder for each location, in it one for each incarnation (`<id>.db`) and a note that
 * names the one that counts. Owns when a store is resumed and when it is made anew; `trust.ts` has the rule,
 * `folder-lock.ts` the lock, `store.ts` the open store.
 *
 * a. A store is resumed only if it may be trusted. Whatever may not is as good as absent: `open` returns null, and a
 *    fresh one takes its place. LevelDB's own repair is never used: it makes a readable store of what is left, and we
 *    need all or nothing.
 * b. The note says "not clean" before the first write, and "clean" only after every file was synced.
 * c. The folder, or one above it, is locked as a whole while any of its stores is open: LevelDB's lock on the one store
 *    would not keep another process from putting a new incarnation in place of one that is in use.
 * d. Of the threads of that process one has a store open at a time: LevelDB knows what its process has open, and neither
 *    opens nor destroys that. Whoever comes too early tries again.
 */
import { randomBytes } from 'node:crypto';
import { realpath, rm, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { Level } from 'level';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import { makeFolder } from '../base/folder.ts';
import { checkLocation, type Store, type Stores } from '../port/store.ts';
import { codeOf, exists, isMissing, namesIn, storeError } from './disk.ts';
import { type FolderLock, lockFolder } from './folder-lock.ts';
import { type Db, LevelStore } from './store.ts';
import { isTrusted, kernelBootId, noteName, readNote, removeNote, syncFolder, writeNote } from './trust.ts';

export interface LevelStoresOptions {
  /** The data folder; made if missing. One process at a time. */
  readonly root: string;
  /**
   * True: the process has a lock on a folder above, for longer than it has stores here. Then several of its threads may each
   * have stores in this one; which thread has which does not matter. Default: the folder is locked here, for one thread.
   */
  readonly isLocked?: boolean;
  /** This machine's boot; default: as the kernel says. Null: there is none. */
  readonly bootId?: string | null;
  /** Cache of each open store. Default 2 MiB. */
  readonly cacheBytes?: number;
  /** Write buffer of each open store; up to two are held. Default 2 MiB. */
  readonly writeBufferBytes?: number;
}

/** LevelDB's own, which takes a store's lock before it removes anything; where `Level` is ClassicLevel, it has it. */
const { destroy } = Level as unknown as { destroy(path: string): Promise<void> };

interface Place {
  readonly location: string;
  readonly folder: string;
  readonly root: string;
}

export class LevelStores implements Stores {
  readonly #root: string;
  readonly #sizes: { readonly cacheSize: number; readonly writeBufferSize: number };
  readonly #bootId: string | null | undefined;
  readonly #lock: (root: string) => Promise<FolderLock>;
  /** Locations that failed a write, where it could not be noted: on a disk that takes nothing, for instance. */
  readonly #distrusted = new Set<string>();

  constructor({ root, isLocked, bootId, cacheBytes = 2 << 20, writeBufferBytes = 2 << 20 }: LevelStoresOptions) {
    this.#root = root;
    this.#bootId = bootId;
    const above: FolderLock = { open: new Set(), release: async () => {} };
    this.#lock = isLocked === true ? async () => above : lockFolder;
    this.#sizes = { cacheSize: cacheBytes, writeBufferSize: writeBufferBytes };
  }

  /** Throws STORE_IN_USE, and STORE_UNAVAILABLE when the folder cannot be read or written. */
  async open(location: string, { fresh }: { fresh: boolean }): Promise<Store | null> {
    return this.#inFolder(location, async (place, lock) => {
      lock.open.add(location);
      let store: Store | null = null;
      try {
        store = fresh ? await this.#create(place) : await this.#resume(place);
        return store;
      } finally {
        if (store === null) lock.open.delete(location);
      }
    });
  }

  async discard(location: string): Promise<void> {
    return this.#inFolder(location, async ({ root, folder }) => {
      await removeNote(folder);
      await removeIncarnations({ folder, location });
      for (let at = folder; at !== root && (await namesIn(at)).length === 0; at = dirname(at)) {
        await rmdir(at).catch(error => {
          if (!isMissing(error)) throw error;
        });
      }
    });
  }

  async list(): Promise<string[]> {
    const locations: string[] = [];
    const walk = async (folder: string): Promise<void> => {
      for (const name of await namesIn(folder)) {
        if (name === noteName) locations.push(relative(this.#root, folder).split(sep).join('/'));
        else if (!name.includes('.')) await walk(join(folder, name));
      }
    };
    await walk(this.#root);
    return locations.sort();
  }

  async #create(place: Place): Promise<Store> {
    const { folder } = place;
    const incarnation = `${Date.now().toString(36)}-${randomBytes(4).toString('hex')}`;
    // What was there counts for nothing from here on, and half of it less than that.
    await removeNote(folder);
    await removeIncarnations(place);
    // Named before it exists: what is made next is either whole, or lacks its CURRENT and counts for nothing.
    await writeNote(folder, { incarnation, bootId: await this.#boot(), clean: false });
    this.#distrusted.delete(place.location);
    const db = await openDb(join(folder, `${incarnation}.db`), { ...this.#sizes, errorIfExists: true });
    return this.#hand(db, place, incarnation);
  }

  async #resume(place: Place): Promise<Store | null> {
    const { folder, location } = place;
    const note = await readNote(folder);
    const bootId = await this.#boot();
    if (note === null || !isTrusted(note, bootId) || this.#distrusted.has(location)) return null;
    const path = join(folder, `${note.incarnation}.db`);
    // LevelDB takes a folder without CURRENT for a new, empty store.
    if (!(await exists(join(path, 'CURRENT')))) return null;
    let db: Db;
    try {
      db = await openDb(path, { ...this.#sizes, createIfMissing: false });
    } catch (error) {
      const failure = storeError(error, `the store ${location}`);
      if (failure.code === 'STORE_CORRUPT') return null;
      if (failure.code === 'STORE_IN_USE') throw openElsewhere(location, error);
      // LevelDB says "I/O error" to a missing file of its own and to a full disk: only the latter is worth an alarm.
      await assertWritable(folder);
      return null;
    }
    await writeNote(folder, { incarnation: note.incarnation, bootId, clean: false });
    return this.#hand(db, place, note.incarnation);
  }

  /** An open store has a share of the lock of its own. */
  async #hand(db: Db, { root, folder, location }: Place, incarnation: string): Promise<Store> {
    const lock = await this.#lock(root);
    return new LevelStore({
      db,
      location,
      distrust: () => {
        this.#distrusted.add(location);
        return removeNote(folder);
      },
      closed: async ({ clean }) => {
        try {
          if (clean) {
            await syncFolder(join(folder, `${incarnation}.db`));
            await writeNote(folder, { incarnation, bootId: await this.#boot(), clean: true });
          }
        } catch (error) {
          throw storeError(error, `closing the store ${location}`);
        } finally {
          lock.open.delete(location);
          await lock.release();
        }
      },
    });
  }

  /** Runs `work` with the data folder locked, and says in our words what the file system objects to. */
  async #inFolder<T>(location: string, work: (place: Place, lock: FolderLock) => Promise<T>): Promise<T> {
    checkLocation(location);
    try {
      makeFolder(this.#root);
      const root = await realpath(this.#root);
      const lock = await this.#lock(root);
      try {
        if (lock.open.has(location)) {
          throw new MillraceError('STORE_IN_USE', `the store ${location} is open in this process: close it first`);
        }
        return await work({ root, folder: join(root, location), location }, lock);
      } finally {
        await lock.release();
      }
    } catch (error) {
      throw isMillraceError(error) ? error : storeError(error, `the store ${location} in ${this.#root}`);
    }
  }

  async #boot(): Promise<string | null> {
    return this.#bootId === undefined ? kernelBootId() : this.#bootId;
  }
}

async function openDb(path: string, options: Record<string, number | boolean>): Promise<Db> {
  const db: Db = new Level<Uint8Array, Buffer>(path, { ...options, keyEncoding: 'view', valueEncoding: 'buffer' });
  await db.open();
  return db;
}

/** Throws STORE_UNAVAILABLE where another thread has one open; that one is whole then. */
async function removeIncarnations({ folder, location }: Pick<Place, 'folder' | 'location'>): Promise<void> {
  for (const name of await namesIn(folder)) {
    if (!name.endsWith('.db')) continue;
    try {
      await destroy(join(folder, name));
    } catch (error) {
      if (codeOf(error) === 'LEVEL_LOCKED') throw openElsewhere(location, error);
      // What LevelDB does not take for one of its own goes as files do.
    }
    await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** The folder is this process's, so it is another of its threads, which is about to hand it over. */
function openElsewhere(location: string, cause: unknown): MillraceError {
  const message = `the store ${location} is still open in another thread of this process`;
  return new MillraceError('STORE_UNAVAILABLE', message, { cause });
}

async function assertWritable(folder: string): Promise<void> {
  const probe = join(folder, 'probe.new');
  await writeFile(probe, 'x'.repeat(4096));
  await rm(probe);
}
