/**
 * Subject mappings: an account of the server may be told to take what is published to one subject as sent to another. No
 * answer shows it: where the same stream keeps the other subject, the answer is its own, and rows are where nobody looks for
 * them. So some of what has landed is read back: whatever begins a chain, since all that follows is fenced by it; and of
 * messages without a fence one of each of the first subjects, and then one every few seconds.
 */
import { MillraceError } from '../base/errors.ts';
import type { Log, NewMessage } from '../port/log.ts';

/** Subjects without a fence of which one message each is read back, of a connection. */
const SUBJECTS_MAX = 64;
const EVERY_MS = 10_000;

/** What has landed, and where. */
export interface Landed {
  readonly stream: string;
  readonly subject: string;
  readonly seq: number;
}

export class Mappings {
  readonly #log: Pick<Log, 'get' | 'info'>;
  readonly #seen = new Set<string>();
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor(log: Pick<Log, 'get' | 'info'>) {
    this.#log = log;
  }

  /** Whether it is time to read back a message to this subject that has no fence. */
  isDue(subject: string): boolean {
    const isNew = this.#seen.size < SUBJECTS_MAX && !this.#seen.has(subject);
    return isNew || performance.now() - this.#lookedMs > EVERY_MS;
  }

  /**
   * Reads back what of a batch is due: the marker that begins a chain, and the first of the other messages. Throws as `check`.
   * @param batch.seq of its last message
   */
  async checkBatch(messages: readonly NewMessage[], batch: { stream: string; seq: number }): Promise<void> {
    const fenced = new Set(messages.flatMap(({ subject, expect }) => (expect === undefined ? [] : subject)));
    const begins = messages.findIndex(({ expect }) => expect === 0);
    const row = messages.findIndex(({ subject }) => !fenced.has(subject));
    const due = [begins, row >= 0 && this.isDue(messages[row]!.subject) ? row : -1].filter(i => i >= 0);
    for (const i of due) {
      const seq = batch.seq - (messages.length - 1 - i);
      await this.check({ stream: batch.stream, subject: messages[i]!.subject, seq });
    }
  }

  /** Throws BROKER_REFUSED if what has landed was renamed on the way. */
  async check({ stream, subject, seq }: Landed): Promise<void> {
    this.#lookedMs = performance.now();
    const stored = await this.#log.get({ stream, seq });
    // What is gone already tells nothing.
    if (stored === null) return;
    if (stored.subject === subject) {
      if (this.#seen.size < SUBJECTS_MAX) this.#seen.add(subject);
      return;
    }
    // Or the stream itself renames it, which its settings say (`topology/stream-taken.ts`).
    if ((await this.#log.info(stream))?.config.subjectTransform != null) return;
    throw new MillraceError(
      'BROKER_REFUSED',
      `what is sent to ${subject} is kept as ${stored.subject} (stream ${stream}, sequence ${seq}): ${MAPPED}`,
    );
  }
}

/** What a person does about it. */
const MAPPED =
  "a mapping of the account (mappings in the server's settings, nats server mappings tries one) takes it as sent to another subject. Take the subject out of it, or write to one that is not mapped; then restart the pipeline. A batch that is kept so stays as it is, and a row at least once is told of again for as long as the stream's duplicate window is";
