/**
 * One watch of a registry: the state first, then a reader from where the state was. Owns what was told last for each key.
 *
 * The state is listed from the leader again after every reconnect and whenever the reader ends, and only what differs
 * from what was told is told. So nothing depends on how long a watcher was away, on the markers of deletions still being
 * there, or on the bucket being the same one.
 */
import { backoffMs } from '../base/backoff.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import type { Log, LogReader, StoredMessage } from '../port/log.ts';
import type { RegistryEntry } from '../port/registry.ts';
import type { NatsLink } from './connection.ts';
import { RETRY } from './subject-map.ts';

export interface RegistryWatchOptions {
  readonly link: NatsLink;
  readonly log: Log;
  readonly stream: string;
  readonly filter: string;
  /** Null: not watched. */
  readonly keyOf: (message: StoredMessage) => string | null;
  /** Null: the message says that the key is gone. */
  readonly entryOf: (message: StoredMessage) => RegistryEntry | null;
  readonly list: () => Promise<RegistryEntry[]>;
  readonly changed: (key: string, entry: RegistryEntry | null) => void;
  readonly trouble: (error: Error) => void;
}

const TAKE = { messagesMax: 1_000, bytesMax: 8 << 20 };

export class RegistryWatch {
  readonly #options: RegistryWatchOptions;
  /** Revision that was told last, by key. */
  readonly #told = new Map<string, number>();
  #reader: LogReader | null = null;
  #stopped = false;
  #syncing = false;
  /** Something happened while syncing: once more. */
  #again = false;
  #unlisten: () => void = () => undefined;

  constructor(options: RegistryWatchOptions) {
    this.#options = options;
  }

  /** Resolves when the state was told. Throws what reading it throws. */
  async start(): Promise<void> {
    await this.#sync();
    this.#unlisten = this.#options.link.onStatus(status => {
      if (status.kind === 'connected') void this.#resync();
    });
    this.#pump();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#unlisten();
    await this.#endReader();
  }

  async #resync(): Promise<void> {
    this.#again = true;
    if (this.#syncing) return;
    this.#syncing = true;
    for (let attempt = 0; this.#again && !this.#stopped; attempt++) {
      this.#again = false;
      try {
        await this.#sync();
      } catch (error) {
        if (this.#stopped || this.#options.link.client.isClosed()) break;
        this.#again = true;
        this.#options.trouble(error as Error);
        await sleep(systemClock, backoffMs(attempt, RETRY));
      }
    }
    this.#syncing = false;
    this.#pump();
  }

  /** What comes after `floor` comes by the reader; what was there before is in the list, which is read later. */
  async #sync(): Promise<void> {
    const { log, stream, filter, list } = this.#options;
    await this.#endReader();
    const info = await log.info(stream);
    if (info === null)
      throw new MillraceError(
        'STREAM_MISSING',
        `the bucket ${stream} is gone: what runs goes on; restart the workers, which makes it anew, and deploy the pipelines again`,
      );
    const reader = log.read({ stream, subjects: [filter], from: info.lastSeq + 1 });
    this.#reader = reader;
    const entries = await list();
    if (this.#stopped) {
      await reader.stop();
      return;
    }
    const live = new Set<string>();
    for (const entry of entries) {
      live.add(entry.key);
      this.#tell(entry.key, entry);
    }
    for (const key of [...this.#told.keys()]) if (!live.has(key)) this.#tell(key, null);
    reader.onReady = () => this.#pump();
  }

  #pump(): void {
    const reader = this.#reader;
    if (reader === null || this.#syncing || this.#stopped) return;
    for (let taken = reader.take(TAKE); taken.length > 0; taken = reader.take(TAKE)) {
      for (const message of taken) {
        const key = this.#options.keyOf(message);
        // The list may have been newer than the reader.
        if (key === null || (this.#told.get(key) ?? 0) >= message.seq) continue;
        this.#tell(key, this.#options.entryOf(message));
      }
    }
    if (reader.error !== null) {
      this.#options.trouble(reader.error);
      void this.#resync();
    }
  }

  #tell(key: string, entry: RegistryEntry | null): void {
    if (entry === null) {
      if (this.#told.delete(key)) this.#options.changed(key, null);
    } else if (this.#told.get(key) !== entry.revision) {
      this.#told.set(key, entry.revision);
      this.#options.changed(key, entry);
    }
  }

  async #endReader(): Promise<void> {
    const reader = this.#reader;
    this.#reader = null;
    if (reader === null) return;
    reader.onReady = null;
    await reader.stop();
  }
}
