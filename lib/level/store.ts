/**
 * The store port on LevelDB: one open store. Owns the checksum of its entries and the order of its writes; where it
 * lies, whether it may be trusted and who else has it is `stores.ts`'s.
 *
 * a. LevelDB does not notice a flipped bit: each value carries a CRC32 over key and value (4 bytes, big-endian, at its
 *    end), and an entry that fails it makes the whole store worthless (STORE_CORRUPT).
 * b. After a write that failed nobody knows what the disk holds: the store is distrusted at once, in a way that
 *    survives a crash, and refuses everything but `close`.
 * c. Writes happen one after the other in the order of the calls. LevelDB's own threads would not keep it, and a batch
 *    that clears a range reads before it writes.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { Level } from 'level';
import { MillraceError, messageOf } from '../base/errors.ts';
import type { Store, StoreWrite } from '../port/store.ts';
import { codeOf, storeError } from './disk.ts';

export type Db = Level<Uint8Array, Buffer>;

type Operation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Uint8Array };

/** What a range needs of LevelDB's iterator. */
interface Entries {
  nextv(sliceMax: number): Promise<[Uint8Array, Buffer][]>;
  close(): Promise<void>;
}

export interface KeyRange {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
}

const crcBytes = 4;
const clearSlice = 1_000;
const writeSlice = 1_000;
const sliceBytesMax = 1 << 20;

export class LevelStore implements Store {
  readonly #db: Db;
  readonly #location: string;
  /** Makes sure that no later `open` trusts what lies here. */
  readonly #distrust: () => Promise<void>;
  readonly #closed: (options: { clean: boolean }) => Promise<void>;
  #failure: MillraceError | null = null;
  #closing: Promise<void> | null = null;
  #lastWrite: Promise<void> = Promise.resolve();

  constructor(options: {
    readonly db: Db;
    readonly location: string;
    readonly distrust: () => Promise<void>;
    readonly closed: (options: { clean: boolean }) => Promise<void>;
  }) {
    this.#db = options.db;
    this.#location = options.location;
    this.#distrust = options.distrust;
    this.#closed = options.closed;
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.#check();
    let sealed: (Buffer | undefined)[];
    try {
      sealed = await this.#db.getMany(keys as Uint8Array[]);
    } catch (error) {
      throw await this.#fail(error);
    }
    const values: (Uint8Array | undefined)[] = [];
    for (let i = 0; i < keys.length; i++) {
      const bytes = sealed[i];
      if (bytes !== undefined && !isWhole(keys[i]!, bytes)) throw await this.#failChecksum();
      values.push(bytes?.subarray(0, bytes.length - crcBytes));
    }
    return values;
  }

  write(batch: readonly StoreWrite[]): Promise<void> {
    return this.#inOrder(async () => {
      const operations = await this.#operationsOf(batch);
      if (operations.length > 0) await this.#writeAll(operations);
    });
  }

  clear({ gte, lt }: KeyRange): Promise<void> {
    return this.#inOrder(() => this.#db.clear({ gte, lt }));
  }

  range({ gte, lt, sliceMax = 1_000 }: KeyRange & { sliceMax?: number }): AsyncIterable<[Uint8Array, Uint8Array][]> {
    this.#check();
    // Made here and not at the first step: an iterator sees the store as it was when the iterator was made.
    return this.#slices(this.#db.iterator({ gte, lt, highWaterMarkBytes: sliceBytesMax }), sliceMax);
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.#lastWrite;
    let failure = this.#failure;
    try {
      await this.#db.close();
    } catch (error) {
      failure = await this.#fail(error);
      throw failure;
    } finally {
      await this.#closed({ clean: failure === null });
    }
  }

  #inOrder(work: () => Promise<void>): Promise<void> {
    this.#check();
    const done = this.#lastWrite.then(async () => {
      if (this.#failure !== null) throw this.#failure;
      try {
        await work();
      } catch (error) {
        throw await this.#fail(error);
      }
    });
    // Whoever called hears of a failure; the queue behind it goes on, and finds the store failed.
    this.#lastWrite = done.catch(() => undefined);
    return done;
  }

  /** One batch, handed over in slices: LevelDB copies it in this thread, and others have their turn in between. */
  async #writeAll(operations: readonly Operation[]): Promise<void> {
    const whole = this.#db.batch();
    try {
      for (let i = 0; i < operations.length; i++) {
        const one = operations[i]!;
        if (one.type === 'put') whole.put(one.key, one.value);
        else whole.del(one.key);
        if (i % writeSlice === writeSlice - 1) await nextTurn();
      }
    } catch (error) {
      await whole.close();
      throw error;
    }
    await whole.write();
  }

  async #operationsOf(batch: readonly StoreWrite[]): Promise<Operation[]> {
    let bytes = 0;
    for (const one of batch) if (one.type === 'put') bytes += one.value.length + crcBytes;
    // One allocation for all values of the batch.
    const room = Buffer.allocUnsafe(bytes);
    const operations: Operation[] = [];
    let at = 0;
    for (let i = 0; i < batch.length; i++) {
      if (i % writeSlice === writeSlice - 1) await nextTurn();
      const one = batch[i]!;
      if (one.type === 'put') {
        const end = at + one.value.length;
        room.set(one.value, at);
        room.writeUInt32BE(crcOf(one.key, one.value), end);
        operations.push({ type: 'put', key: one.key, value: room.subarray(at, end + crcBytes) });
        at = end + crcBytes;
      } else if (one.type === 'del') {
        operations.push(one);
      } else {
        await this.#addClear(one, operations);
      }
    }
    return operations;
  }

  /** LevelDB has no ranged delete: each key of the range is deleted by name, those of the batch itself included. */
  async #addClear(range: KeyRange, operations: Operation[]): Promise<void> {
    const earlier = operations.length;
    for (let i = 0; i < earlier; i++) {
      const { type, key } = operations[i]!;
      if (type === 'put' && isWithin(key, range)) operations.push({ type: 'del', key });
    }
    const keys = this.#db.keys({ gte: range.gte, lt: range.lt });
    try {
      for (;;) {
        const slice = await keys.nextv(clearSlice);
        if (slice.length === 0) return;
        for (const key of slice) operations.push({ type: 'del', key });
      }
    } finally {
      await keys.close();
    }
  }

  async *#slices(iterator: Entries, sliceMax: number): AsyncGenerator<[Uint8Array, Uint8Array][]> {
    try {
      for (;;) {
        this.#check();
        let sealed: [Uint8Array, Buffer][];
        try {
          sealed = await iterator.nextv(sliceMax);
        } catch (error) {
          throw await this.#fail(error);
        }
        if (sealed.length === 0) return;
        const slice: [Uint8Array, Uint8Array][] = [];
        for (const [key, bytes] of sealed) {
          if (!isWhole(key, bytes)) throw await this.#failChecksum();
          slice.push([key, bytes.subarray(0, bytes.length - crcBytes)]);
        }
        yield slice;
      }
    } finally {
      await iterator.close();
    }
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure;
    if (this.#closing !== null) {
      throw new MillraceError('STORE_UNAVAILABLE', `the store ${this.#location} is closed: open it again`);
    }
  }

  #failChecksum(): Promise<MillraceError> {
    return this.#failAs(
      new MillraceError('STORE_CORRUPT', `an entry of the store ${this.#location} fails its checksum`),
    );
  }

  async #fail(error: unknown): Promise<MillraceError> {
    // An operation that was under way when somebody closed the store has done no harm to it.
    if (this.#closing !== null && codeOf(error) === 'LEVEL_DATABASE_NOT_OPEN') {
      return new MillraceError('STORE_UNAVAILABLE', `the store ${this.#location} was closed`, { cause: error });
    }
    return this.#failAs(storeError(error, `the store ${this.#location}`));
  }

  async #failAs(failure: MillraceError): Promise<MillraceError> {
    if (this.#failure !== null) return this.#failure;
    this.#failure = failure;
    try {
      await this.#distrust();
    } catch (error) {
      const message = `${failure.message}; and it cannot be marked as broken: delete the folder (${messageOf(error)})`;
      this.#failure = new MillraceError(failure.code, message, { cause: failure });
    }
    return this.#failure;
  }
}

function crcOf(key: Uint8Array, value: Uint8Array): number {
  return crc32(value, crc32(key));
}

function isWhole(key: Uint8Array, sealed: Buffer): boolean {
  const end = sealed.length - crcBytes;
  return end >= 0 && sealed.readUInt32BE(end) === crcOf(key, sealed.subarray(0, end));
}

function isWithin(key: Uint8Array, { gte, lt }: KeyRange): boolean {
  return Buffer.compare(key, gte) >= 0 && Buffer.compare(key, lt) < 0;
}
