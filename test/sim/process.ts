/**
 * What a simulated process has of the world: calls that take their time, answers that come late, never, or to nobody, since it
 * is frozen, cut off or dead by then.
 */
import type { Clock } from '../../lib/base/clock.ts';
import { MillraceError } from '../../lib/base/errors.ts';
import type { Random } from '../../lib/base/random.ts';
import { type MemoryBucket, MemoryRegistry } from '../../lib/memory/registry.ts';
import type { Registry, RegistryEntry } from '../../lib/port/registry.ts';

/** Delivers in the order of posting, each after a while of its own on the clock of whoever is to have it. */
export class Mailbox {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #delayMsMax: number;
  readonly #waiting: (() => void)[] = [];

  constructor(options: { clock: Clock; random: Random; delayMsMax: number }) {
    this.#clock = options.clock;
    this.#random = options.random;
    this.#delayMsMax = options.delayMsMax;
  }

  post(deliver: () => void): void {
    this.#waiting.push(deliver);
    this.#clock.after(this.#random.next() * this.#delayMsMax, () => this.#waiting.shift()!());
  }
}

/** Chances are per call. */
export interface RegistryFaults {
  readonly delayMsMax: number;
  /** It was done, and nobody hears of it. */
  readonly lostAnswer: number;
  /** It never arrives. */
  readonly notLanded: number;
}

export interface ProcessRegistryOptions {
  readonly bucket: MemoryBucket;
  /** The network's: what was sent arrives, whatever becomes of who sent it. */
  readonly world: Clock;
  /** The process's own. */
  readonly clock: Clock;
  readonly random: Random;
  /** Asked at each call. */
  faults(): RegistryFaults;
}

const UNSURE_MS = [50, 500] as const;
const WATCH_DELAY_MS = 30;

/** The registry as one process sees it. */
export class ProcessRegistry implements Registry {
  readonly #options: ProcessRegistryOptions;
  readonly #inner: MemoryRegistry;
  readonly #sent: Mailbox;

  constructor(options: ProcessRegistryOptions) {
    this.#options = options;
    this.#inner = new MemoryRegistry(options.bucket);
    const { world, random } = options;
    this.#sent = new Mailbox({ clock: world, random, delayMsMax: options.faults().delayMsMax });
  }

  set connected(connected: boolean) {
    this.#inner.connected = connected;
  }

  get(key: string): Promise<RegistryEntry | null> {
    return this.#ask(() => this.#inner.get(key));
  }

  put(key: string, value: Uint8Array, options: { expect: number; ttlMs?: number }): Promise<number | null> {
    return this.#ask(() => this.#inner.put(key, value, options));
  }

  delete(key: string): Promise<void> {
    return this.#ask(() => this.#inner.delete(key));
  }

  list(prefix: string): Promise<RegistryEntry[]> {
    return this.#ask(() => this.#inner.list(prefix));
  }

  watch(
    prefix: string,
    changed: (key: string, entry: RegistryEntry | null) => void,
  ): Promise<{ stop(): Promise<void> }> {
    const { clock, random } = this.#options;
    const heard = new Mailbox({ clock, random, delayMsMax: WATCH_DELAY_MS });
    let isOver = false;
    const watching = this.#ask(() =>
      this.#inner.watch(prefix, (key, entry) => {
        heard.post(() => {
          if (!isOver) changed(key, entry);
        });
      }),
    );
    return watching.then(
      watch =>
        new Promise(resolve => {
          const stop = () => {
            isOver = true;
            return watch.stop();
          };
          // Behind all that was there.
          heard.post(() => resolve({ stop }));
        }),
    );
  }

  #ask<T>(call: () => Promise<T>): Promise<T> {
    const { clock, random, faults } = this.#options;
    const { delayMsMax, lostAnswer, notLanded } = faults();
    const dice = random.next();
    return new Promise((resolve, reject) => {
      const fail = () => {
        const error = new MillraceError('BROKER_UNAVAILABLE', 'the registry does not answer');
        clock.after(random.between(...UNSURE_MS), () => reject(error));
      };
      this.#sent.post(() => {
        if (dice < notLanded || !this.#inner.connected) return fail();
        call().then(
          value => {
            if (dice < notLanded + lostAnswer) fail();
            else clock.after(random.next() * delayMsMax, () => resolve(value));
          },
          error => clock.after(random.next() * delayMsMax, () => reject(error)),
        );
      });
    });
  }
}
