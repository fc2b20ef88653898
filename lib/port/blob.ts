/**
 * The blob port: immutable named bytes, for snapshots and pipeline bundles. Implemented on a NATS object store, on a
 * folder and in memory; all pass `test/contract/blob.ts`. A name is written once; its content never changes. One whose
 * content was damaged below us is written anew by the next who puts it, and no reader finds it missing meanwhile.
 */
export interface Blobs {
  /**
   * Resolves when the content is durable. A name that exists already, and can be read whole, is left as it is; false: it
   * was.
   */
  put(name: string, content: Uint8Array): Promise<boolean>;
  /** Null: there is none. Throws JOURNAL_CORRUPT when the content does not match its checksum. */
  get(name: string): Promise<Uint8Array | null>;
  delete(name: string): Promise<void>;
  /** Names that start with `prefix`, sorted. */
  list(prefix: string): Promise<string[]>;
}
