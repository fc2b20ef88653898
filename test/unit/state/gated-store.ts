/**
 * A store in memory whose answers and writes take effect when the test says so: reads answer with what was there when
 * they were asked, and stay on their way until `release`; so does a write, which lands at that moment.
 */
import type { Store, StoreWrite } from '../../../lib/port/store.ts';

export class GatedStore implements Store {
  /** By the key's bytes as latin1, whose order is that of the bytes. */
  readonly content: Map<string, Uint8Array>;
  reads = 0;
  #waiting: (() => void)[] = [];
  #isHeld = false;

  constructor(content: Iterable<[string, Uint8Array]> = []) {
    this.content = new Map(content);
  }

  /** From now on everything waits. */
  hold(): void {
    this.#isHeld = true;
  }

  /** Lets everything go on. */
  release(): void {
    this.#isHeld = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    this.reads++;
    const found = keys.map(key => this.content.get(textOf(key)));
    await this.#pass();
    return found;
  }

  async write(batch: readonly StoreWrite[]): Promise<void> {
    await this.#pass();
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
      await this.#pass();
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

  #pass(): Promise<void> {
    return this.#isHeld ? new Promise(resolve => this.#waiting.push(resolve)) : Promise.resolve();
  }
}

function textOf(key: Uint8Array): string {
  return Buffer.from(key).toString('latin1');
}
