/**
 * The store port: an ordered map of bytes on the local disk. A disposable cache: nothing is in it that journal and
 * snapshot cannot rebuild. Implemented by `level/` and `memory/`; both pass `test/contract/store.ts`.
 * Keys are ordered by their bytes.
 */
import { MillraceError } from '../base/errors.ts';

export type StoreWrite =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array }
  /**
   * Deletes all keys with gte ≤ key < lt: those in the store and those put earlier in the same batch. It is part of the
   * batch (an adapter without ranged deletes lists the keys and deletes each), because a bucket must not be gone
   * while the pointer to the commit that dropped it is not yet there, nor the other way round.
   */
  | { readonly type: 'clear'; readonly gte: Uint8Array; readonly lt: Uint8Array };

export interface Store {
  /** Values in the order of `keys`; undefined where there is none. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /** All or none; writes take effect in the order of the batch. */
  write(batch: readonly StoreWrite[]): Promise<void>;
  /** Entries with gte ≤ key < lt in order, in slices of at most `sliceMax`, as of the moment of the call. */
  range(options: { gte: Uint8Array; lt: Uint8Array; sliceMax?: number }): AsyncIterable<[Uint8Array, Uint8Array][]>;
  /** Deletes all keys with gte ≤ key < lt. */
  clear(options: { gte: Uint8Array; lt: Uint8Array }): Promise<void>;
  close(): Promise<void>;
}

/** Opens and discards stores; a location is a task's name, `[a-zA-Z0-9_-]+` parts joined by `/`. */
export interface Stores {
  /**
   * Opens the store at `location`. With `fresh` an old one is discarded first; without, an existing one is opened and
   * null is returned when there is none or it cannot be trusted (not closed cleanly and the machine has rebooted, or
   * unreadable). Throws STORE_IN_USE.
   */
  open(location: string, options: { fresh: boolean }): Promise<Store | null>;
  discard(location: string): Promise<void>;
  list(): Promise<string[]>;
}

/** Throws INVALID_ARGUMENT. */
export function checkLocation(location: string): void {
  if (!/^[\w-]+(\/[\w-]+)*$/.test(location)) {
    throw new MillraceError('INVALID_ARGUMENT', `"${location}" is no store location: [a-zA-Z0-9_-] parts joined by /`);
  }
}
