/**
 * How a reader reads: as much of its source at a time as may wait to be sent and as its slice allows, or, where the breaker has
 * it careful, a message at a time. The reader (`reader.ts`) has the rest of its life, and does what follows from what was read.
 */
import type { Clock } from '../base/clock.ts';
import { invariant } from '../base/errors.ts';
import { WHOLE } from '../operator/feed.ts';
import type { Counting } from '../router/counted.ts';
import type { Router } from '../router/router.ts';
import type { PollLimits } from '../source/poll.ts';
import type { Source } from '../source/source.ts';
import type { Caution } from '../task/caution.ts';
import { Slice } from '../task/slice.ts';

/** Records and letters that may wait to be sent. */
const WAITING_MAX = 65_536;
/** Bytes of messages of which something may wait to be sent. */
const WAITING_BYTES_MAX = 64 << 20;
/** What is read before the event loop has its turn. */
const POLL_BYTES_MAX = 1 << 20;
const POLL_MESSAGES_MAX = 8192;
const NO_END = Number.POSITIVE_INFINITY;

export interface ReadingOptions {
  readonly source: Source;
  readonly router: Router;
  readonly counting: Counting;
  readonly caution: Caution;
  readonly dropped: ReadonlyMap<string, number>;
  readonly clock: Clock;
  /** The last message that is to be read; absent: there is none. */
  readonly through: number | undefined;
  isRunning(): boolean;
  /** Messages were read. */
  onRead(): void;
  /** All through `through` was. */
  onDone(through: number): void;
  onFailed(error: unknown): void;
  /** Lets all land that was read, and says up to where that is. */
  land(position: number): Promise<void>;
}

export class Reading {
  hasRead = false;
  #options: ReadingOptions;
  #slice: Slice;
  /** Polls of which something may wait to be sent, oldest first. */
  #unsent: { readonly position: number; readonly bytesBefore: number }[] = [];
  /** What was read up to there has landed, so somebody has lived through it, though it be read again. */
  #lived = 0;
  #scheduled = false;
  /** A message is in hand. */
  #isHolding = false;

  constructor(options: ReadingOptions) {
    this.#options = options;
    this.#slice = new Slice(options.clock);
  }

  /** @param lived all up to there has landed before */
  begin(lived: number): void {
    this.#lived = lived;
  }

  /** Reads on when others have had their turn. */
  schedule(): void {
    const { clock, isRunning } = this.#options;
    if (this.#scheduled || !isRunning()) return;
    this.#scheduled = true;
    clock.soon(() => {
      this.#scheduled = false;
      this.pump();
    });
  }

  /** Polls that have landed are forgotten first. */
  #isFull(): boolean {
    const { router, source } = this.#options;
    const { landedTo } = router;
    const landed = this.#unsent.findIndex(({ position }) => position > landedTo);
    this.#unsent.splice(0, landed < 0 ? this.#unsent.length : landed);
    const first = this.#unsent[0];
    return first !== undefined && source.bytesIn - first.bytesBefore > WAITING_BYTES_MAX;
  }

  pump(): void {
    const { router, source, caution, isRunning, onFailed } = this.#options;
    if (!isRunning() || router.waiting > WAITING_MAX || this.#isFull()) return;
    const { isCareful } = caution;
    if (isCareful && source.position >= this.#lived) return this.#pumpCarefully();
    try {
      const before = router.pushed;
      // One message may become very many rows.
      const full = () => router.pushed - before > WAITING_MAX || this.#slice.isOver();
      this.#slice.begin();
      this.#poll({ messagesMax: POLL_MESSAGES_MAX, full, through: isCareful ? this.#lived : NO_END });
      this.#slice.end();
    } catch (error) {
      onFailed(error);
    }
  }

  #poll(limits: Pick<PollLimits, 'messagesMax' | 'full' | 'refuses'> & { readonly through: number }): void {
    const { source, counting, dropped, onRead, onDone, through: last } = this.#options;
    const bytesBefore = source.bytesIn;
    const { to: countedTo } = counting;
    const isAgain = source.position < countedTo;
    const through = Math.min(last ?? NO_END, isAgain ? countedTo : NO_END, limits.through);
    const messages = source.poll({ bytesMax: POLL_BYTES_MAX, ...limits, through });
    if (isAgain) counting.noteAgain(source, dropped);
    if (last !== undefined && source.position >= last) return onDone(last);
    if (messages === 0) return;
    this.hasRead = true;
    this.#unsent.push({ position: source.position, bytesBefore });
    onRead();
    this.schedule();
  }

  #pumpCarefully(): void {
    if (this.#isHolding) return;
    this.#isHolding = true;
    this.#takeInHand().then(
      hasRead => {
        this.#isHolding = false;
        if (hasRead) this.schedule();
      },
      error => this.#options.onFailed(error),
    );
  }

  /** Reads one message or a few and has all of it land, having said so before (*in hand*). False: there is none. */
  async #takeInHand(): Promise<boolean> {
    const { source, caution, isRunning, land } = this.#options;
    const next = source.next();
    // Says what ended the source, if something has.
    if (next === null) return source.poll({ messagesMax: 1, bytesMax: 1 }) > 0;
    await caution.hold(`${next.seq}`, {
      records: true,
      work: async isDeadly => {
        if (!isRunning()) return;
        let left = caution.breaker.rows;
        const refuses = isDeadly ? this.#refusalOf(next.seq) : null;
        this.#poll({ messagesMax: left, full: () => --left <= 0, refuses, through: NO_END });
        await land(source.position);
      },
    });
    return true;
  }

  /** The message becomes a letter before it is looked at. */
  #refusalOf(sequence: number): NonNullable<PollLimits['refuses']> {
    const { source, caution } = this.#options;
    const why = caution.deadly('this message', { input: source.spec.name, sequence });
    return {
      refused: ({ seq, row }) => (seq === sequence && row === WHOLE ? why : null),
      refuse: () => invariant(false, 'a message is refused as a whole'),
    };
  }
}
