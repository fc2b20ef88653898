/**
 * The lease: which worker should be active. One registry entry names its holder; the holder rewrites it (a beat) every
 * third of the lease, the others watch whether it still changes.
 *
 * - *only a hint*: exactly-once rests on the fences of the journals; two workers that both believe they hold the lease
 *   cost time, never a record. So a holder that cannot reach the registry goes on working; it steps down when it *reads*
 *   that somebody else holds the lease, not when a clock says so.
 * - *no two clocks*: none are compared. A standby measures with its own monotonic clock how long the entry has not
 *   changed, and claims it after a whole lease of silence.
 * - *one claimant*: every write names the revision it replaces; of two claimants one wins.
 * - *own folder*: a worker that finds a former process of its own data folder in the entry takes it up at once: a
 *   folder belongs to one process, so that one is dead. Its name alone is not enough: a copy of the folder has the
 *   same, and two that took the lease from each other at once would fence each other for ever. Such a holder is waited
 *   for as any other.
 */
import type { Clock } from '../base/clock.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import type { Registry } from '../port/registry.ts';
import { type Identity, isOurs } from './identity.ts';

/** What the registry keeps. `holder` null: released, free for anybody at once. */
export interface LeaseRecord {
  readonly holder: string | null;
  /** The holder's process. */
  readonly instance: string;
  /** Address of the holder's API, `host:port`. */
  readonly address: string | null;
  /** Grows with each change of the holder and each restart of it. */
  readonly term: number;
  /** Grows with each renewal, so that every renewal changes the entry. */
  readonly beat: number;
}

/** The entry as a worker last read it. */
export interface LeaseView {
  readonly record: LeaseRecord | null;
  /** Registry revision, 0: there is no entry. */
  readonly revision: number;
  /** When this worker first saw this revision, own monotonic clock, ms. */
  readonly seenAtMs: number;
}

export type LeaseDecision =
  | { readonly do: 'claim'; readonly record: LeaseRecord }
  | { readonly do: 'renew'; readonly record: LeaseRecord }
  | { readonly do: 'wait' };

/** What a worker should do now. `holding`: it has claimed the lease since it was started. */
export function decideLease(
  view: LeaseView,
  me: Identity & {
    readonly address: string | null;
    readonly holding: boolean;
    readonly nowMs: number;
    readonly leaseMs: number;
    /** The holder's process is known to have ended. Default: it is not known. */
    readonly isGone?: boolean;
  },
): LeaseDecision {
  const { record } = view;
  const { name, instance, address } = me;
  const mine: LeaseRecord = { holder: name, instance, address, term: (record?.term ?? 0) + 1, beat: 0 };
  if (record === null || record.holder === null) return { do: 'claim', record: mine };
  if (me.holding && isHeldBy(record, me)) return { do: 'renew', record: { ...record, address, beat: record.beat + 1 } };
  if (record.holder === name && isOurs(me, record.instance)) return { do: 'claim', record: mine };
  const isSilent = me.nowMs - view.seenAtMs >= me.leaseMs;
  return me.isGone === true || isSilent ? { do: 'claim', record: mine } : { do: 'wait' };
}

function isHeldBy(record: LeaseRecord | null, { name, instance }: Identity): boolean {
  return record !== null && record.holder === name && record.instance === instance;
}

export interface LeaseOptions {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly me: Identity;
  readonly address: string | null;
  /** How long a silent holder is waited for. Default 5,000. */
  readonly leaseMs?: number;
  /** A process is known to have ended: it is not waited for. Default: nobody knows. */
  isGone?(holder: { readonly name: string; readonly instance: string }): boolean;
  /** Called after `holding` has changed, and when it was claimed anew before anybody noticed that it was lost. */
  readonly changed: (holding: boolean) => void;
}

const KEY = 'leases.active';

export class Lease {
  readonly #options: LeaseOptions;
  readonly #leaseMs: number;
  #view: LeaseView;
  #holding = false;
  #claimedAt = 0;
  /** The claim of which `changed` was told. */
  #toldAt = 0;
  #stopped = false;
  #running: Promise<void> | null = null;
  /** Asked for while a turn was under way: the turn may have read before what changed. */
  #again = false;
  #cancelTimer: (() => void) | null = null;
  #watch: { stop(): Promise<void> } | null = null;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#leaseMs = options.leaseMs ?? 5_000;
    this.#view = { record: null, revision: 0, seenAtMs: options.clock.monotonic() };
  }

  get holding(): boolean {
    return this.#holding;
  }

  /**
   * The registry's revision of our last claim; 0: we have not claimed it. Every later claim of anybody has a later one, also
   * where the entry was deleted meanwhile.
   */
  get claimedAt(): number {
    return this.#claimedAt;
  }

  /** Who holds it, as far as this worker knows; null: nobody. */
  get holder(): { readonly name: string; readonly address: string | null } | null {
    const record = this.#view.record;
    return record === null || record.holder === null ? null : { name: record.holder, address: record.address };
  }

  async start(): Promise<void> {
    await this.#turn();
    // Beats arrive here too; only a change of holder is worth a turn of its own.
    this.#watch = await this.#options.registry.watch(KEY, (_key, entry) => {
      const record = entry === null ? null : readRecord(entry.value);
      const { record: known } = this.#view;
      if (record?.holder !== known?.holder || record?.instance !== known?.instance) void this.#turn();
    });
  }

  /** It may be known by now that the holder is gone. */
  look(): void {
    if (this.#cancelTimer !== null && !this.#stopped && this.#isHolderGone) void this.#turn();
  }

  get #isHolderGone(): boolean {
    const { isGone } = this.#options;
    const record = this.#view.record;
    if (isGone === undefined || record === null || record.holder === null) return false;
    return isGone({ name: record.holder, instance: record.instance });
  }

  /** Stops, and releases the lease if it is held, so that the next need not wait. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer?.();
    await this.#watch?.stop();
    await this.#running;
    if (!this.#holding) return;
    this.#holding = false;
    const record = this.#view.record;
    if (record === null) return;
    try {
      await this.#options.registry.put(KEY, writeRecord({ ...record, holder: null, address: null }), {
        expect: this.#view.revision,
      });
    } catch (error) {
      // The next one waits a lease instead.
      this.#options.observer.emit({ event: 'lease.unreleased', level: 'warn', ...errorFields(error) });
    }
  }

  #turn(): Promise<void> {
    if (this.#running !== null) {
      this.#again = true;
      return this.#running;
    }
    this.#running = this.#take().finally(() => {
      this.#running = null;
      if (this.#stopped) return;
      this.#cancelTimer?.();
      const delayMs = this.#again ? 0 : this.#leaseMs / 3;
      this.#again = false;
      this.#cancelTimer = this.#options.clock.after(delayMs, () => void this.#turn());
    });
    return this.#running;
  }

  async #take(): Promise<void> {
    const { registry, clock, observer, me, address } = this.#options;
    try {
      const entry = await registry.get(KEY);
      const revision = entry?.revision ?? 0;
      if (revision !== this.#view.revision) {
        const record = entry === null ? null : readRecord(entry.value);
        this.#view = { record, revision, seenAtMs: clock.monotonic() };
      }
      const step = decideLease(this.#view, {
        ...me,
        address,
        holding: this.#holding,
        nowMs: clock.monotonic(),
        leaseMs: this.#leaseMs,
        isGone: this.#isHolderGone,
      });
      if (step.do !== 'wait' && !this.#stopped) {
        const written = await registry.put(KEY, writeRecord(step.record), { expect: revision });
        if (written === null) {
          this.#again = true;
          return;
        }
        this.#view = { record: step.record, revision: written, seenAtMs: clock.monotonic() };
        if (step.do === 'claim') this.#claimedAt = written;
      }
      this.#hold(isHeldBy(this.#view.record, me));
    } catch (error) {
      observer.emit({ event: 'lease.unreachable', level: 'warn', ...errorFields(error) });
    }
  }

  #hold(holding: boolean): void {
    if (holding === this.#holding && this.#toldAt === this.#claimedAt) return;
    this.#holding = holding;
    this.#toldAt = this.#claimedAt;
    this.#options.observer.emit({
      event: holding ? 'lease.taken' : 'lease.lost',
      level: holding ? 'info' : 'warn',
      worker: this.#options.me.name,
      holder: this.#view.record?.holder,
      term: this.#view.record?.term,
    });
    this.#options.changed(holding);
  }
}

function writeRecord(record: LeaseRecord): Uint8Array {
  return Buffer.from(JSON.stringify(record));
}

/** Null: it is nothing that a worker writes, so it is nobody's, and the next claim is written over it (*only a hint*). */
function readRecord(value: Uint8Array): LeaseRecord | null {
  let record: unknown;
  try {
    record = JSON.parse(Buffer.from(value).toString());
  } catch {
    return null;
  }
  if (typeof record !== 'object' || record === null) return null;
  const { holder = null, instance = '', address = null, term = 0, beat = 0 } = record as Partial<LeaseRecord>;
  const isText = [holder, instance, address].every(one => one === null || typeof one === 'string');
  return isText && Number.isFinite(term) && Number.isFinite(beat) ? { holder, instance, address, term, beat } : null;
}
