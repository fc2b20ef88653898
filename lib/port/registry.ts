/**
 * The registry port: a small, consistent key-value bucket for pipeline specs, members and leases. Reads come from
 * the leader. Implemented by `nats/` (a KV bucket) and `memory/`; both pass `test/contract/registry.ts`.
 * Keys are `[a-zA-Z0-9_-]+` tokens joined by dots.
 */
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
   * not existing). Returns the new revision, or null when somebody else was first.
   */
  put(key: string, value: Uint8Array, options: { expect: number; ttlMs?: number }): Promise<number | null>;
  delete(key: string): Promise<void>;
  list(prefix: string): Promise<RegistryEntry[]>;
  /** Calls `changed` with every current entry under `prefix`, then with each change (null value: deleted). */
  watch(
    prefix: string,
    changed: (key: string, entry: RegistryEntry | null) => void,
  ): Promise<{ stop(): Promise<void> }>;
}
