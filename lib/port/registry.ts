/**
 * The registry port: a small, consistent key-value bucket for pipeline specs, members and leases. Reads come from
 * the leader. Implemented by `nats/` (a KV bucket) and `memory/`; both pass `test/contract/registry.ts`.
 * Keys are `[a-zA-Z0-9_-]+` tokens joined by dots; a prefix is any beginning of a key, not only whole tokens.
 */
import { MillraceError } from '../base/errors.ts';

/** What the broker can time is whole seconds. */
export const TTL_MS_MIN = 1_000;

export interface RegistryEntry {
  readonly key: string;
  readonly value: Uint8Array;
  /** Grows with every change of the bucket. */
  readonly revision: number;
}

export interface Registry {
  get(key: string): Promise<RegistryEntry | null>;
  /**
   * Writes if the key's last revision is `expect` (0: the key must not exist; after a delete the tombstone counts as
   * not existing). Returns the new revision, or null when somebody else was first. With `ttlMs` (≥ 1,000; rounded up
   * to whole seconds) the entry goes by itself, as if it were deleted.
   */
  put(key: string, value: Uint8Array, options: { expect: number; ttlMs?: number }): Promise<number | null>;
  delete(key: string): Promise<void>;
  list(prefix: string): Promise<RegistryEntry[]>;
  /**
   * Calls `changed` with every current entry under `prefix` before it resolves, then with each change (null: deleted or
   * expired), across reconnects. Changes in quick succession may be told as one.
   */
  watch(
    prefix: string,
    changed: (key: string, entry: RegistryEntry | null) => void,
  ): Promise<{ stop(): Promise<void> }>;
}

/** Throws INVALID_ARGUMENT. */
export function checkRegistryKey(key: string): void {
  if (!/^[\w-]+(\.[\w-]+)*$/.test(key)) {
    throw new MillraceError('INVALID_ARGUMENT', `"${key}" is no registry key: tokens of [a-zA-Z0-9_-] joined by dots`);
  }
}

/** Whole seconds, ≥ 1. Throws INVALID_ARGUMENT. */
export function ttlSeconds(ttlMs: number): number {
  if (!(ttlMs >= TTL_MS_MIN)) {
    throw new MillraceError('INVALID_ARGUMENT', `ttlMs is ${ttlMs}: the broker keeps time from ${TTL_MS_MIN} ms on`);
  }
  return Math.ceil(ttlMs / 1_000);
}
