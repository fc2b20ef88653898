/**
 * The chain of a writer's *words*: broadcasts to all tasks of a stage, each of which says all that the one before it said, and
 * more. So the last is enough for whoever has not read the others, and they go: a writer has some ten a second to say, and the
 * stream that keeps them is bounded.
 */
import { isMillraceError } from '../base/errors.ts';
import { Chain, type ChainAppend, type ChainOptions } from '../chain/chain.ts';
import type { Headers, Log, StoredMessage } from '../port/log.ts';

/** So many are kept at least, since to drop them is a request like another. */
const KEPT = 64;

export class Words {
  readonly stream: string;
  readonly subject: string;
  #log: Log;
  #chain: Chain;
  #fresh = 0;

  constructor(options: ChainOptions) {
    this.stream = options.stream;
    this.subject = options.subject;
    this.#log = options.log;
    this.#chain = new Chain(options);
  }

  /** As of a chain; so are the others. */
  open(): Promise<StoredMessage | null> {
    return this.#chain.open();
  }

  async append(data: Uint8Array, headers?: Headers): Promise<ChainAppend> {
    const outcome = await this.#chain.append(data, headers);
    if (outcome.kind === 'landed' && ++this.#fresh >= KEPT) await this.#dropBefore(outcome.seq);
    return outcome;
  }

  async #dropBefore(seq: number): Promise<void> {
    const { stream, subject } = this;
    try {
      await this.#log.trim({ stream, subject, before: seq });
      this.#fresh = 0;
    } catch (error) {
      // The next word does it.
      if (!isMillraceError(error) || error.fate !== 'retry') throw error;
    }
  }

  adopt(tail: StoredMessage): void {
    this.#chain.adopt(tail);
  }

  stop(): void {
    this.#chain.stop();
  }
}
