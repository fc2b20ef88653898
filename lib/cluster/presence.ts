/**
 * Presence: the entry by which the other workers know of this one: `workers.<name>`. It is written every ten
 * seconds, and at once when the worker begins to lead, stops leading or drains; it goes on a clean stop, and by
 * itself some time after a crash. Who leads is the lease's to say; here people see who is there, and:
 *
 * *One process a name*: no two processes go on under one name. Every write names the revision it replaces, so whoever's
 *   entry was written over finds out with its next one, and ends. A process that starts takes over only from those that
 *   have had its own data folder, which are dead, and at once; it refuses to start where another has the name. So of
 *   two folders that are copies of one another one process stays, and the other says why it does not; neither comes
 *   back in a loop.
 */
import { type Clock, sleep } from '../base/clock.ts';
import { isMillraceError, MillraceError } from '../base/errors.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import type { Registry } from '../port/registry.ts';
import { type Identity, isOurs } from './identity.ts';

/** What a worker says of itself. */
export interface PresenceRecord {
  /** The process; see `Identity`. */
  readonly instance: string;
  /** `host:port` of its API; null: other workers are not told. */
  readonly address: string | null;
  readonly version: string;
  readonly active: boolean;
  readonly zone: string;
  readonly capacity: number;
  /** It is on its way out: what it has goes to others. */
  readonly draining: boolean;
  /** Ms since 1970, as is `seenAtMs`: when this was written, by its own clock. */
  readonly startedAtMs: number;
  readonly seenAtMs: number;
  /** Pipelines of which it has a part, tasks that run there, and tasks of others that it follows. */
  readonly pipelines: number;
  readonly tasks: number;
  readonly follows: number;
}

export interface PresenceOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly me: Identity;
  /** Asked at each write. */
  readonly record: () => PresenceRecord;
  /**
   * Another process goes on under our name (*one process a name*): this one must end, for the reason given. Called
   * once.
   */
  onDisplaced(error: MillraceError): void;
}

const PREFIX = 'workers.';
const BEAT_MS = 10_000;
/** Two beats may be missed. */
const TTL_MS = 3 * BEAT_MS;
/** A stop waits so long for the entry to be gone. */
const STOP_MS = 1_000;

export class Presence {
  readonly #options: PresenceOptions;
  readonly #key: string;
  #revision = 0;
  #writing: Promise<void> | null = null;
  /** Asked for while a write was under way, which may have said something else. */
  #again = false;
  /** Why this process must not go on; null: nobody else has its name. */
  #displaced: MillraceError | null = null;
  #started = false;
  /** `start` is over: whoever called it does not hear of us by what it throws any more. */
  #isUp = false;
  #stopped = false;
  #cancelBeat: (() => void) | null = null;

  constructor(options: PresenceOptions) {
    this.#options = options;
    this.#key = PREFIX + options.me.name;
  }

  /** Throws STORE_IN_USE (*one process a name*). Where the broker does not answer it is written later. */
  async start(): Promise<void> {
    this.#started = true;
    await this.#write();
    if (this.#displaced !== null) throw this.#displaced;
    this.#isUp = true;
  }

  /** Something that others should know has changed. */
  refresh(): void {
    if (this.#started && !this.#stopped && this.#displaced === null) void this.#write();
  }

  /** Takes the entry away. */
  async stop(): Promise<void> {
    if (!this.#started || this.#stopped) return;
    this.#stopped = true;
    this.#cancelBeat?.();
    // The entry is the other one's.
    if (this.#displaced !== null) return;
    // Where the broker does not answer, the entry goes by itself in the end, and nobody should wait for it here.
    await Promise.race([this.#delete(), sleep(this.#options.clock, STOP_MS)]);
  }

  async #delete(): Promise<void> {
    await this.#writing;
    try {
      await this.#options.registry.delete(this.#key);
    } catch (error) {
      this.#tell(error);
    }
  }

  #write(): Promise<void> {
    if (this.#writing !== null) {
      this.#again = true;
      return this.#writing;
    }
    this.#cancelBeat?.();
    this.#writing = this.#put().finally(() => {
      this.#writing = null;
      if (this.#stopped || this.#displaced !== null) return;
      const delayMs = this.#again ? 0 : BEAT_MS;
      this.#again = false;
      this.#cancelBeat = this.#options.clock.after(delayMs, () => void this.#write());
    });
    return this.#writing;
  }

  async #put(): Promise<void> {
    const { registry, record, me } = this.#options;
    try {
      const value = Buffer.from(JSON.stringify(record()));
      const written = await registry.put(this.#key, value, { expect: this.#revision, ttlMs: TTL_MS });
      if (written !== null) {
        this.#revision = written;
        return;
      }
      // Expired, or left by this worker's former process, or another's.
      const entry = await registry.get(this.#key);
      const there = entry === null ? null : readRecord(entry.value);
      if (there !== null && !isOurs(me, there.instance)) throw displacedBy(me, there);
      this.#revision = (await registry.put(this.#key, value, { expect: entry?.revision ?? 0, ttlMs: TTL_MS })) ?? 0;
    } catch (error) {
      if (!isMillraceError(error, 'STORE_IN_USE')) return this.#tell(error);
      this.#displaced = error;
      if (this.#isUp) this.#options.onDisplaced(error);
    }
  }

  #tell(error: unknown): void {
    const { observer, me } = this.#options;
    observer.emit({ event: 'presence.unwritten', level: 'debug', worker: me.name, ...errorFields(error) });
  }
}

function displacedBy({ name }: Identity, { address }: PresenceRecord): MillraceError {
  const where = address === null ? '' : ` at ${address}`;
  return new MillraceError(
    'STORE_IN_USE',
    `another process${where} is there as worker ${name}, so one data folder is a copy of the other. That one goes on, this one ends: delete the file worker-name in its data folder, and start it again. If the other has crashed and shall not come back, wait ${TTL_MS / 1_000} s instead.`,
  );
}

/** Every worker that says it is there, by name. */
export async function presences(registry: Registry): Promise<Map<string, PresenceRecord>> {
  const entries = await registry.list(PREFIX);
  const found = new Map<string, PresenceRecord>();
  for (const { key, value } of entries.sort((a, b) => (a.key < b.key ? -1 : 1))) {
    const record = readRecord(value);
    if (record !== null) found.set(key.slice(PREFIX.length), record);
  }
  return found;
}

/** Null: it is not what a worker of ours has written; it goes by itself. */
function readRecord(value: Uint8Array): PresenceRecord | null {
  try {
    const record = JSON.parse(Buffer.from(value).toString()) as Partial<PresenceRecord>;
    // As when the broker's own answer was directed here: it is nobody's, and is written over.
    if (typeof record?.instance !== 'string' || record.instance === '') return null;
    const { instance, address = null, version = '', active = false, startedAtMs = 0, seenAtMs = 0 } = record;
    return {
      instance,
      address,
      version,
      active,
      ...{ startedAtMs, seenAtMs, zone: record.zone ?? '', capacity: record.capacity ?? 1 },
      ...{ draining: record.draining ?? false, pipelines: record.pipelines ?? 0 },
      ...{ tasks: record.tasks ?? 0, follows: record.follows ?? 0 },
    };
  } catch {
    return null;
  }
}
