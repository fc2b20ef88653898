/**
 * The registry port in memory. A `MemoryBucket` is the bucket that all share; each client of it is a `MemoryRegistry`
 * that can be cut off on its own, as one process is by a broken network.
 *
 * Values with a TTL leave a tombstone when they expire, as JetStream's delete marker does. Watchers are told through
 * the clock, in order, and a client that was cut off catches up when it is back: with the state, not with the history.
 */
import type { Clock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import { checkRegistryKey, type Registry, type RegistryEntry, ttlSeconds } from '../port/registry.ts';

type Changed = (key: string, entry: RegistryEntry | null) => void;

interface Slot {
  readonly revision: number;
  /** Null: a tombstone. */
  readonly value: Uint8Array | null;
  readonly cancelExpiry: (() => void) | null;
}

export class MemoryBucket {
  readonly clock: Clock;
  /** How long a change takes to reach a watcher. */
  readonly watchDelayMs: number;
  /** The last revision given out. */
  revision = 0;
  readonly #slots = new Map<string, Slot>();
  readonly #listeners = new Set<(key: string) => void>();

  constructor(clock: Clock, { watchDelayMs = 1 }: { readonly watchDelayMs?: number } = {}) {
    this.clock = clock;
    this.watchDelayMs = watchDelayMs;
  }

  /** The entry, or null when there is none or only a tombstone. */
  entry(key: string): RegistryEntry | null {
    const slot = this.#slots.get(key);
    return slot?.value ? { key, value: slot.value.slice(), revision: slot.revision } : null;
  }

  keys(): string[] {
    return [...this.#slots.keys()].sort();
  }

  set(key: string, value: Uint8Array | null, ttlMs: number | undefined): number {
    this.#slots.get(key)?.cancelExpiry?.();
    const revision = ++this.revision;
    const cancelExpiry = ttlMs === undefined ? null : this.clock.after(ttlMs, () => this.set(key, null, undefined));
    // Not `slice`, which on a Buffer copies nothing.
    this.#slots.set(key, { revision, value: value && new Uint8Array(value), cancelExpiry });
    for (const listener of [...this.#listeners]) listener(key);
    return revision;
  }

  /** Calls `listener` with each key that changes. Returns a function that ends it. */
  listen(listener: (key: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

export class MemoryRegistry implements Registry {
  readonly #bucket: MemoryBucket;
  readonly #watches = new Set<Watch>();
  #connected = true;

  constructor(bucket: MemoryBucket) {
    this.#bucket = bucket;
  }

  /** Cuts this client off (every call fails, no watch hears anything) or lets it back. */
  set connected(connected: boolean) {
    this.#connected = connected;
    if (connected) for (const watch of this.#watches) watch.resync();
  }

  get connected(): boolean {
    return this.#connected;
  }

  async get(key: string): Promise<RegistryEntry | null> {
    this.#check(key);
    return this.#bucket.entry(key);
  }

  async put(key: string, value: Uint8Array, options: { expect: number; ttlMs?: number }): Promise<number | null> {
    this.#check(key);
    const ttlMs = options.ttlMs === undefined ? undefined : ttlSeconds(options.ttlMs) * 1_000;
    if ((this.#bucket.entry(key)?.revision ?? 0) !== options.expect) return null;
    return this.#bucket.set(key, value, ttlMs);
  }

  async delete(key: string): Promise<void> {
    this.#check(key);
    if (this.#bucket.entry(key) !== null) this.#bucket.set(key, null, undefined);
  }

  async list(prefix: string): Promise<RegistryEntry[]> {
    this.#checkConnected();
    const entries: RegistryEntry[] = [];
    for (const key of this.#bucket.keys()) {
      const entry = key.startsWith(prefix) ? this.#bucket.entry(key) : null;
      if (entry !== null) entries.push(entry);
    }
    return entries;
  }

  async watch(prefix: string, changed: Changed): Promise<{ stop(): Promise<void> }> {
    this.#checkConnected();
    const watch = new Watch({ bucket: this.#bucket, prefix, changed, connected: () => this.#connected });
    this.#watches.add(watch);
    watch.resync();
    return {
      stop: async () => {
        this.#watches.delete(watch);
        watch.stop();
      },
    };
  }

  #check(key: string): void {
    checkRegistryKey(key);
    this.#checkConnected();
  }

  #checkConnected(): void {
    if (!this.#connected) throw new MillraceError('BROKER_UNAVAILABLE', 'this client is cut off from the registry');
  }
}

/** One watch: tells what differs between the bucket and what it told last. */
class Watch {
  readonly #bucket: MemoryBucket;
  readonly #prefix: string;
  readonly #changed: Changed;
  readonly #connected: () => boolean;
  readonly #unlisten: () => void;
  /** Revision of what was told last, by key. */
  readonly #told = new Map<string, number>();
  #stopped = false;

  constructor(options: { bucket: MemoryBucket; prefix: string; changed: Changed; connected: () => boolean }) {
    this.#bucket = options.bucket;
    this.#prefix = options.prefix;
    this.#changed = options.changed;
    this.#connected = options.connected;
    this.#unlisten = this.#bucket.listen(key => {
      if (key.startsWith(this.#prefix)) this.#bucket.clock.after(this.#bucket.watchDelayMs, () => this.#tell(key));
    });
  }

  resync(): void {
    for (const key of new Set([...this.#bucket.keys(), ...this.#told.keys()])) {
      if (key.startsWith(this.#prefix)) this.#tell(key);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#unlisten();
  }

  #tell(key: string): void {
    if (this.#stopped || !this.#connected()) return;
    const entry = this.#bucket.entry(key);
    if (entry === null) {
      if (this.#told.delete(key)) this.#changed(key, null);
    } else if (this.#told.get(key) !== entry.revision) {
      this.#told.set(key, entry.revision);
      this.#changed(key, entry);
    }
  }
}
