/**
 * Follows a journal: gives out what is in it, from its beginning, and then what comes, for as long as one likes. Owns a
 * place in it and nothing else; it claims nothing and writes nothing. READ WITH `writer.ts`, which has the invariants.
 *
 * A *run* is a stretch in which each message has the checksum of the one before it. A gap is no error here: a cut drops
 * messages step by step, one of a former owner may land meanwhile, and a server that is killed in a cut may have lost a
 * block of what is cut without having noted it. So a gap begins a new run, and whoever follows knows what it needs.
 */
import { MillraceError } from '../base/errors.ts';
import type { Log, LogReader, StoredMessage } from '../port/log.ts';
import type { Hand } from './attempts.ts';
import { CutSteps } from './cut-steps.ts';
import { type Commit, checksum, decodeCommit, decodeHand, decodeHead, type EntryHead, HEAD_BYTES } from './entry.ts';

const TAKE_MESSAGES = 1000;
const TAKE_BYTES = 1 << 20;

/** A commit read back, with where it stands. */
export interface StoredCommit extends Commit {
  /** Sequence of its first part. */
  readonly firstSeq: number;
  /** Sequence and checksum of its last part: what a store or snapshot names to say "up to here". */
  readonly lastSeq: number;
  readonly crc: number;
  /** When its first part was stored, by the broker's clock, ms since 1970. */
  readonly timeMs: number;
  /** Length of the entry. */
  readonly bytes: number;
}

export type JournalStep =
  /**
   * A run begins with the message at `seq`, which begins an entry: what came before, if anything did, is not connected with
   * it. `crcBefore`: checksum of the message that it follows, 0: the journal begins here. `commit`: the last one before it.
   */
  | { readonly kind: 'run'; readonly seq: number; readonly crcBefore: number; readonly commit: number }
  | { readonly kind: 'commit'; readonly commit: StoredCommit }
  /** The owner of `epoch` begins, or ends. */
  | { readonly kind: 'claim' | 'release'; readonly seq: number; readonly epoch: number; readonly revision: number }
  /** It has this in hand; null: nothing, and all is well. */
  | { readonly kind: 'hand'; readonly hand: Hand | null };

export interface JournalReaderOptions {
  readonly log: Log;
  readonly stream: string;
  readonly subject: string;
  /** The first sequence that is looked at. Default: the journal's beginning, wherever that is now. */
  readonly from?: number;
}

export class JournalReader {
  readonly subject: string;
  /** The steps in which what was read can be cut. */
  readonly cutSteps = new CutSteps();
  #reader: LogReader;
  #resolveReady: (() => void) | null = null;
  #crc: number | null = null;
  /** What was read last is of a run that has begun. */
  #isRun = false;
  #seq = 0;
  /** The number of the last whole commit in this run; 0: none was read. */
  #commit = 0;
  #parts: StoredMessage[] = [];
  /** Taken, and not looked at yet from `#at` on. */
  #taken: readonly StoredMessage[] = [];
  #at = 0;
  #wasAtEnd = false;
  #interrupted = false;
  #stopped = false;

  constructor({ log, stream, subject, from = 1 }: JournalReaderOptions) {
    this.subject = subject;
    this.#reader = log.read({ stream, subjects: [subject], from, gaps: 'allow' });
    this.#reader.onReady = () => this.#resolveReady?.();
  }

  /** Sequence of the last message that was read; 0: none was. */
  get seq(): number {
    return this.#seq;
  }

  /** All that there was is read, as far as has been heard. */
  get isAtEnd(): boolean {
    return this.#at === this.#taken.length && this.#reader.caughtUp;
  }

  /**
   * What comes next, in order, but nothing behind the message at `through`. Waits until there is something; gives nothing
   * when the end was reached since the last call, or when it is interrupted. Throws JOURNAL_CORRUPT for what cannot be read, what the log throws, and BROKER_UNAVAILABLE
   * once the reader is stopped.
   */
  async next(through = Number.POSITIVE_INFINITY): Promise<readonly JournalStep[]> {
    for (;;) {
      if (this.#stopped) {
        throw new MillraceError('BROKER_UNAVAILABLE', `journal ${this.subject} was left before it was read`);
      }
      const steps: JournalStep[] = [];
      if (this.#at === this.#taken.length) {
        this.#taken = this.#reader.take({ messagesMax: TAKE_MESSAGES, bytesMax: TAKE_BYTES });
        this.#at = 0;
      }
      while (this.#at < this.#taken.length && this.#seq < through) this.#read(this.#taken[this.#at++]!, steps);
      const isAtEnd = this.isAtEnd || this.#seq >= through;
      const isNews = isAtEnd && !this.#wasAtEnd;
      this.#wasAtEnd = isAtEnd;
      if (steps.length > 0 || isNews || this.#interrupted || this.#seq >= through) {
        this.#interrupted = false;
        return steps;
      }
      if (this.#reader.error !== null) throw this.#reader.error;
      await new Promise<void>(resolve => {
        this.#resolveReady = resolve;
      });
      this.#resolveReady = null;
    }
  }

  #read(message: StoredMessage, steps: JournalStep[]): void {
    const { seq } = message;
    const head = decodeHead(message.data);
    this.cutSteps.note(seq, message.data.length);
    this.#seq = seq;
    if (head.crcBefore !== this.#crc) this.#isRun = false;
    this.#crc = checksum(message.data);
    if (!this.#isRun) {
      // What is left may begin, after a cut, in the middle of an entry that nobody needs any more.
      if (head.part > 0) return;
      this.#isRun = true;
      this.#commit = 0;
      const commit = head.kind === 'commit' ? head.commit - 1 : head.commit;
      steps.push({ kind: 'run', seq, crcBefore: head.crcBefore, commit });
    }
    if (head.kind !== 'commit') {
      this.#parts = [];
      if (head.kind === 'hand') steps.push({ kind: 'hand', hand: decodeHand(message.data.subarray(HEAD_BYTES)) });
      else steps.push({ kind: head.kind, seq, epoch: head.epoch, revision: head.revision });
      return;
    }
    if (head.part === 0) this.#parts = [];
    this.#parts.push(message);
    if (head.part < head.parts - 1) return;
    if (this.#commit > 0 && head.commit !== this.#commit + 1) {
      throw new MillraceError(
        'JOURNAL_CORRUPT',
        `journal ${this.subject}: the message at ${seq} follows commit ${this.#commit}. The stream lost or changed data; restore it from a backup, or delete the pipeline with its state.`,
      );
    }
    this.#commit = head.commit;
    steps.push({ kind: 'commit', commit: storedCommit(this.#parts, head, this.#crc) });
    this.#parts = [];
  }

  /** Has `next` return, now or when it is asked again. */
  interrupt(): void {
    this.#interrupted = true;
    this.#resolveReady?.();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#resolveReady?.();
    await this.#reader.stop();
  }
}

function storedCommit(parts: readonly StoredMessage[], head: EntryHead, crc: number): StoredCommit {
  const first = parts[0]!;
  const body =
    parts.length === 1
      ? first.data.subarray(HEAD_BYTES)
      : Buffer.concat(parts.map(part => part.data.subarray(HEAD_BYTES)));
  const place = { firstSeq: first.seq, lastSeq: parts.at(-1)!.seq, timeMs: first.timeMs };
  return { ...place, crc, bytes: body.length, ...decodeCommit(head, body) };
}
