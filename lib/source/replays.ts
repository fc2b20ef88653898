/**
 * Replayed letters among a source's messages: what lets their records pass the dedupes that had let them pass before
 * (`record/replay.ts`). A header that is not sealed by this cluster is a forged one, and the record is like any other; the
 * first is told.
 */
import { headerOf } from '../port/headers.ts';
import type { StoredMessage } from '../port/log.ts';
import { HEADER_REPLAY, replayOf } from '../record/replay.ts';
import { OPEN_SEAL, type Seal } from '../record/seal.ts';

export interface ReplayJudge {
  /** Absent: `OPEN_SEAL`. */
  readonly seal?: Seal | undefined;
  /** Told of the first message whose replay is forged; absent: nobody is. */
  readonly onForgedReplay?: ((seq: number) => void) | undefined;
}

export class Replays {
  readonly #judge: ReplayJudge;
  #told = false;

  constructor(judge: ReplayJudge) {
    this.#judge = judge;
  }

  /** What travels with the records of a message; null: nothing. */
  of(message: StoredMessage): string | null {
    if (message.headers === null) return null;
    const { seal = OPEN_SEAL, onForgedReplay } = this.#judge;
    const text = replayOf(message, seal);
    if (text === null && !this.#told && headerOf(message.headers, HEADER_REPLAY_LOWER) !== null) {
      this.#told = true;
      onForgedReplay?.(message.seq);
    }
    return text;
  }
}

const HEADER_REPLAY_LOWER = HEADER_REPLAY.toLowerCase() as Lowercase<string>;
