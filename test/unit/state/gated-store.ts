/**
 * A store in memory that takes as long as the test says. What is held waits until it is released; a read then answers
 * with what was there when it was asked, a write takes effect at that moment.
 */
import type { Store, StoreWrite } from '../../../lib/port/store.ts';

export class GatedStore implements Store {
  /** By the key's bytes as latin1, whose order is that of the bytes. */
  readonly content: Map<string, Uint8Array>;
  reads = 0;
  /** Puts, deletes and clears so far. */
  writes = 0;
  readonly #waiting: { reads: (() => void)[] | null; writes: (() => void)[] | null } = { reads: null, writes: null };

  constructor(content: Iterable<[string, Uint8Array]> = []) {
    this.content = new Map(content);
  }

  /** From now on these wait. */
  hold(what: 'reads' | 'writes'): void {
    this.#waiting[what] ??= [];
  }

  /** Lets them go on. */
  release(what: 'reads' | 'writes'): void {
    const waiting = this.#waiting[what] ?? [];
    this.#waiting[what] = null;
    for (const go of waiting) go();
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.reads++;
    const found = keys.map(key => this.content.get(textOf(key)));
    await this.#pass('reads');
    return found;
  }

  async write(batch: readonly StoreWrite[]): Promise<void> {
    await this.#pass('writes');
    this.writes += batch.length;
    for (const write of batch) {
      if (write.type === 'put') this.content.set(textOf(write.key), Uint8Array.from(write.value));
      else if (write.type === 'del') this.content.delete(textOf(write.key));
      else for (const [key] of this.#between(write.gte, write.lt)) this.content.delete(key);
    }
  }

  async *range(options: { gte: Uint8Array; lt: Uint8Array }): AsyncGenerator<[Uint8Array, Uint8Array][]> {
    this.reads++;
    const found = this.#between(options.gte, options.lt);
    // Small slices, so that whoever stops in the middle does so in tests.
    for (let at = 0; at < found.length; at += 3) {
      await this.#pass('reads');
      yield found.slice(at, at + 3).map(([key, value]) => [Buffer.from(key, 'latin1'), value]);
    }
  }

  async clear(options: { gte: Uint8Array; lt: Uint8Array }): Promise<void> {
    await this.write([{ type: 'clear', ...options }]);
  }

  async close(): Promise<void> {}

  #between(gte: Uint8Array, lt: Uint8Array): [string, Uint8Array][] {
    const within = [...this.content].filter(([key]) => key >= textOf(gte) && key < textOf(lt));
    return within.sort(([left], [right]) => (left < right ? -1 : 1));
  }

  #pass(what: 'reads' | 'writes'): Promise<void> {
    const waiting = this.#waiting[what];
    return waiting === null ? Promise.resolve() : new Promise(resolve => waiting.push(resolve));
  }
}

function textOf(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1');
}
