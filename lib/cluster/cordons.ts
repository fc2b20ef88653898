/**
 * Cordons: workers that a person has taken out of service, by name, as the registry keeps them (`cordons.<worker>`). What
 * such a worker has moves to others, and it is given nothing until somebody takes the cordon away; it outlives the process.
 */
import type { Registry } from '../port/registry.ts';

const PREFIX = 'cordons.';

export class Cordons {
  readonly #registry: Registry;
  readonly #cordoned = new Set<string>();
  readonly #changed: () => void;

  constructor(registry: Registry, changed: () => void) {
    this.#registry = registry;
    this.#changed = changed;
  }

  has(worker: string): boolean {
    return this.#cordoned.has(worker);
  }

  /** Hears of all that there are before it resolves, and then of every change. */
  watch(): Promise<{ stop(): Promise<void> }> {
    return this.#registry.watch(PREFIX, (key, entry) => {
      const worker = key.slice(PREFIX.length);
      if (entry === null) this.#cordoned.delete(worker);
      else this.#cordoned.add(worker);
      this.#changed();
    });
  }

  /** False: there was one. */
  async put(worker: string): Promise<boolean> {
    return (await this.#registry.put(PREFIX + worker, new Uint8Array(), { expect: 0 })) !== null;
  }

  async delete(worker: string): Promise<void> {
    await this.#registry.delete(PREFIX + worker);
  }
}
