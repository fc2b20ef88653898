/**
 * The sweep: what is of no use any more, removed once an hour: by every worker from its disk the state of lives that were
 * deleted with their state, and by the leader from the blobs
 *
 * - uploads that never came to their end
 * - bundles that no pipeline's spec names, neither as what runs nor as what ran
 * - snapshots of such lives, written by an owner that had not heard of it
 *
 * these only when they are an hour old by the broker's own clock. What belongs to a pipeline without a spec is kept:
 * a registry that was lost must not take the state with it.
 */
import { type Clock, sleep } from '../base/clock.ts';
import { bundleBlob } from '../bundle/stored.ts';
import { isGone, type PipelineSpec } from '../cluster/specs.ts';
import { errorFields, type Observer } from '../observe/events.ts';
import type { Clearable } from './clear.ts';

/** Blobs that can be swept. */
export interface Sweepable {
  /**
   * Removes uploads that no name belongs to, and names that are not wanted, both when older than `olderThanMs`. Asks
   * `wanted` again after each removal: what has become wanted meanwhile is put back. Returns what it removed.
   */
  sweep(options: {
    readonly olderThanMs: number;
    readonly wanted?: () => Promise<(name: string) => boolean>;
  }): Promise<readonly string[]>;
}

export interface SweepOptions {
  readonly blobs: Sweepable;
  /** This worker's local stores; absent: it has none. */
  readonly disk?: Clearable;
  /** All specs as the registry has them now, those of deleted pipelines included. */
  readonly specs: () => Promise<readonly PipelineSpec[]>;
  readonly active: () => boolean;
  readonly clock: Clock;
  readonly observer: Observer;
  /** Between two sweeps, and before the first. Default an hour. */
  readonly everyMs?: number;
  /** Default an hour. */
  readonly olderThanMs?: number;
}

const HOUR_MS = 3_600_000;

/** Whether a blob or a local store is of use, as far as the specs tell; pure. */
export function isWanted(specs: readonly PipelineSpec[], name: string): boolean {
  // No specs at all: the cluster is new, or its registry is lost.
  if (specs.length === 0) return true;
  if (name.startsWith(bundleBlob(''))) {
    return specs.some(({ bundle, former }) => [bundle, ...former].some(hash => name === bundleBlob(hash)));
  }
  const [pipeline, life = ''] = name.split('/');
  const spec = specs.find(one => one.name === pipeline);
  if (spec === undefined) return true;
  return spec.life === life ? !(isGone(spec) && spec.purge) : !spec.purged.includes(life);
}

/** Sweeps until it is stopped. */
export class Sweep {
  readonly #options: SweepOptions;
  #cancel: (() => void) | null = null;
  #stopped = false;
  #running: Promise<void> | null = null;

  constructor(options: SweepOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#stopped) return;
    this.#cancel = this.#options.clock.after(this.#options.everyMs ?? HOUR_MS, () => {
      this.#running = this.#sweep().then(() => this.start());
    });
  }

  /** Waits for a sweep that is under way, at most `deadlineMs`: one that is cut off leaves nothing half done. */
  async stop({ deadlineMs }: { deadlineMs: number }): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    if (this.#running !== null) await Promise.race([this.#running, sleep(this.#options.clock, deadlineMs)]);
  }

  async #sweep(): Promise<void> {
    await this.#sweepDisk();
    const { blobs, specs, active, observer, olderThanMs = HOUR_MS } = this.#options;
    if (!active()) return;
    const wanted = async () => {
      const known = await specs();
      return (name: string) => this.#stopped || !active() || isWanted(known, name);
    };
    try {
      const removed = await blobs.sweep({ olderThanMs, wanted });
      if (removed.length > 0) {
        observer.emit({ event: 'blobs.swept', level: 'info', removed: removed.length, first: removed.slice(0, 5) });
      }
    } catch (error) {
      observer.emit({ event: 'blobs.unswept', level: 'warn', ...errorFields(error) });
    }
  }

  async #sweepDisk(): Promise<void> {
    const { disk, specs, observer } = this.#options;
    if (disk === undefined) return;
    try {
      const known = await specs();
      const left = (await disk.list()).filter(location => !isWanted(known, location));
      for (const location of left) {
        if (this.#stopped) return;
        await disk.discard(location);
      }
      if (left.length > 0) {
        observer.emit({ event: 'disk.swept', level: 'info', removed: left.length, first: left.slice(0, 5) });
      }
    } catch (error) {
      observer.emit({ event: 'disk.unswept', level: 'warn', ...errorFields(error) });
    }
  }
}
