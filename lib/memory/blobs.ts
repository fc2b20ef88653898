/**
 * The blob port in memory: one `MemoryBlobs` is one bucket, shared by all who hold it. Can be slow, can refuse, and can
 * damage what it keeps, so that the checks of its users are exercised.
 */
import { type Clock, sleep } from '../base/clock.ts';
import { MillraceError } from '../base/errors.ts';
import { Random } from '../base/random.ts';
import type { Blobs } from '../port/blob.ts';

/** Accidents; may be changed at any time. All off by default. */
export interface BlobFaults {
  /** Chance that an operation takes long, and for how many ms at most. */
  slowChance: number;
  slowMsMax: number;
  /** Chance that an operation fails with BROKER_UNAVAILABLE; a failed `put` may have happened. */
  failChance: number;
}

export class MemoryBlobs implements Blobs {
  readonly faults: BlobFaults;
  readonly #clock: Clock;
  readonly #random: Random;
  /** Null: the content was damaged. */
  readonly #blobs = new Map<string, Uint8Array | null>();

  constructor({
    clock,
    random = new Random(1),
    faults = {},
  }: {
    readonly clock: Clock;
    readonly random?: Random;
    readonly faults?: Partial<BlobFaults>;
  }) {
    this.#clock = clock;
    this.#random = random;
    this.faults = { slowChance: 0, slowMsMax: 0, failChance: 0, ...faults };
  }

  async put(name: string, content: Uint8Array): Promise<boolean> {
    // Not `slice`, which on a Buffer copies nothing.
    const copy = new Uint8Array(content);
    await this.#stumble();
    const isNew = (this.#blobs.get(name) ?? null) === null;
    if (isNew) this.#blobs.set(name, copy);
    await this.#stumble();
    return isNew;
  }

  async get(name: string): Promise<Uint8Array | null> {
    await this.#stumble();
    const content = this.#blobs.get(name);
    if (content === null) {
      throw new MillraceError(
        'JOURNAL_CORRUPT',
        `the blob ${name} does not match its checksum: restore it from a backup`,
      );
    }
    return content?.slice() ?? null;
  }

  async delete(name: string): Promise<void> {
    await this.#stumble();
    this.#blobs.delete(name);
  }

  async list(prefix: string): Promise<string[]> {
    await this.#stumble();
    return [...this.#blobs.keys()].filter(name => name.startsWith(prefix)).sort();
  }

  /** Damages what is kept under `name`: the checksum fails from now on. */
  corrupt(name: string): void {
    if (this.#blobs.has(name)) this.#blobs.set(name, null);
  }

  async #stumble(): Promise<void> {
    const { slowChance, slowMsMax, failChance } = this.faults;
    if (this.#random.chance(slowChance)) await sleep(this.#clock, Math.ceil(this.#random.next() * slowMsMax));
    if (this.#random.chance(failChance)) {
      throw new MillraceError('BROKER_UNAVAILABLE', 'the blob bucket did not answer: try again');
    }
  }
}
