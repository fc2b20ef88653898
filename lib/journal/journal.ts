/**
 * A task's journal: the chain of its commits, and the one place that says who owns the task. READ FIRST.
 *
 * The durable steps of a task, in order:
 *   1. claim    append {epoch + 1}: every older owner's append fails from here on          (invariant A)
 *   2. restore  read all commits back, each checked against the one before it              (invariant B)
 *   3. commit   append the batch: positions, state, results to send, in one entry          (invariant C)
 *   4. relay    send what the commit says, in order, each destination fenced               (relay.ts)
 *   5. cut      drop commits that a durable snapshot holds and that are relayed            (invariant D)
 *
 * Invariant A (one owner): a commit of epoch e can land only while no claim of a later epoch has. The chain refuses an
 *   append whose predecessor is not the last message, and a claim becomes the last message. And no owner of an older
 *   revision takes over from one of a newer: every message says its owner's revision, a claim follows the very message
 *   that it has judged, and so revisions never fall along a journal.
 * Invariant B (nothing missing): what is needed is read back without gaps. Each message has the crc of the one before it,
 *   and commit numbers grow by one; anything else stops the task with JOURNAL_CORRUPT. What is not needed, since a
 *   snapshot holds it and all of it is relayed, may be cut away, in whatever pieces the broker loses it.
 * Invariant C (all or none): an entry counts only when its last part is in. Parts of an owner that died between them
 *   are passed over, and their commit number is given again.
 * Invariant D (cutting is safe): the journal is cut only after a commit that names the snapshot has landed, so it was
 *   the owner's right, and never past a commit that is not wholly relayed.
 */
import { type Clock, sleep } from '../base/clock.ts';
import { invariant, MillraceError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { Chain, SHORTER_READINGS_MAX } from '../chain/chain.ts';
import type { Log, LogReader, StoredMessage } from '../port/log.ts';
import {
  type Commit,
  checksum,
  decodeCommit,
  decodeHead,
  type EntryHead,
  type EntryKind,
  encodeCommit,
  encodeMessage,
  HEAD_BYTES,
} from './entry.ts';

const HEADROOM_BYTES = 2048;
const PARTS_MAX = 65_535;
/**
 * A cut holds up whoever appends to the stream, some microseconds for each message it drops and milliseconds for what the
 * broker must read from its disk for it. So no step of it drops more than this, of small messages or of large ones.
 */
const STEP_MESSAGES = 128;
const STEP_BYTES = 1 << 20;
/** What has waited for one step is done before the next. */
const STEP_PAUSE_MS = 20;
const CONFIRM_PAUSE_MS = 100;

/** A commit read back, with where it stands. */
export interface StoredCommit extends Commit {
  /** Sequence of its first part: what a cut must keep. */
  readonly firstSeq: number;
  /** Sequence and checksum of its last part: what a store or snapshot names to say "up to here". */
  readonly lastSeq: number;
  readonly crc: number;
  /** When its first part was stored, by the broker's clock, ms since 1970. */
  readonly timeMs: number;
  /** Length of the entry. */
  readonly bytes: number;
}

/** The journal as it is read back: its end, as far back as nothing is missing. */
export interface JournalRun {
  readonly commits: readonly StoredCommit[];
  /** Checksum of the message before the first that was read; 0: there was none. */
  readonly crcBefore: number;
}

export interface JournalOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly stream: string;
  readonly subject: string;
  /** The pipeline's revision that runs here. */
  readonly revision: number;
}

export class Journal {
  readonly subject: string;
  #options: JournalOptions;
  #chain: Chain;
  #epoch = 0;
  #commit = 0;
  #lastCrc = 0;
  #claimSeq = 0;
  #stopped = false;
  /** While the journal is read. */
  #reader: LogReader | null = null;
  /** Sequences that a cut goes to one after the other, and what has come since the last of them. */
  #steps: number[] = [];
  #sinceStep = { messages: 0, bytes: 0 };

  constructor(options: JournalOptions) {
    this.#options = options;
    this.subject = options.subject;
    this.#chain = new Chain(options);
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** The last commit that has landed; 0: none has. */
  get commit(): number {
    return this.#commit;
  }

  /** Takes the task over: returns when our claim is the journal's last message. Throws REVISION_OUTDATED. */
  async claim(): Promise<void> {
    let tail = await this.#chain.open();
    for (;;) {
      const head = tail === null ? null : decodeHead(tail.data);
      if (head !== null && head.revision > this.#options.revision) throw this.#outdated(head);
      this.#epoch = (head?.epoch ?? 0) + 1;
      this.#commit = head === null ? 0 : lastWholeCommit(head);
      this.#lastCrc = tail === null ? 0 : checksum(tail.data);
      // The nonce tells our claim from that of another worker that claims the same epoch at the same moment.
      const nonce = Buffer.from(`${this.#options.random.next()} ${this.#options.random.next()}`);
      const outcome = await this.#append('claim', this.#commit, nonce);
      if (outcome === 'landed') {
        this.#claimSeq = this.#chain.seq;
        return;
      }
      tail = outcome.tail;
    }
  }

  /**
   * All commits up to our claim after the last gap. A gap is no error here: a cut drops messages step by step, and one of a
   * former owner may land meanwhile; and a server that is killed in a cut may have lost a block of what is cut without
   * having noted it. `restore.ts` knows what is needed, and whether this is all of it.
   */
  async read(): Promise<JournalRun> {
    const { log, stream } = this.#options;
    const reader = log.read({ stream, subjects: [this.subject], from: 1 });
    this.#reader = reader;
    this.#steps = [];
    try {
      let commits: StoredCommit[] = [];
      let crcBefore = 0;
      let crc: number | null = null;
      let parts: StoredMessage[] = [];
      for await (const message of this.#messagesOf(reader)) {
        const head = decodeHead(message.data);
        this.#noteStep(message);
        if (head.crcBefore !== crc) {
          commits = [];
          parts = [];
          crcBefore = head.crcBefore;
        }
        crc = checksum(message.data);
        if (head.kind !== 'commit' || head.part === 0) parts = [];
        if (head.kind !== 'commit') continue;
        // What is left may begin, after a cut, in the middle of an entry that nobody needs any more.
        if (head.part !== parts.length) continue;
        parts.push(message);
        if (head.part < head.parts - 1) continue;
        const before = commits.at(-1);
        if (before !== undefined && head.commit !== before.commit + 1) {
          throw this.#corrupt(message, `follows commit ${before.commit}`);
        }
        commits.push(storedCommit(parts, head, crc));
      }
      return { commits, crcBefore };
    } finally {
      this.#reader = null;
      await reader.stop();
    }
  }

  /** Messages up to our claim. Throws BROKER_UNAVAILABLE when the journal is stopped, also while nothing comes. */
  async *#messagesOf(reader: LogReader): AsyncGenerator<StoredMessage> {
    for (;;) {
      if (this.#stopped) {
        throw new MillraceError('BROKER_UNAVAILABLE', `journal ${this.subject} was stopped before it was read`);
      }
      const messages = reader.take({ messagesMax: 1000, bytesMax: 16 << 20 });
      for (const message of messages) {
        yield message;
        if (message.seq >= this.#claimSeq) return;
      }
      if (messages.length > 0) continue;
      if (reader.error !== null) throw reader.error;
      await new Promise<void>(resolve => {
        reader.onReady = resolve;
      });
    }
  }

  #corrupt(message: StoredMessage, why: string): MillraceError {
    return new MillraceError(
      'JOURNAL_CORRUPT',
      `journal ${this.subject}: the message at ${message.seq} ${why}. The stream lost or changed data; restore it from a backup, or delete the pipeline with its state.`,
    );
  }

  /**
   * Throws FENCED if a later owner has claimed the task since: then what we see of it need not fit together. Asked a few
   * times, since a leader that was just deposed may not know of the claim.
   */
  async confirm(): Promise<void> {
    const { log, stream, clock } = this.#options;
    for (let reading = 1; ; reading++) {
      const tail = await log.last({ stream, subject: this.subject });
      if (tail !== null && tail.seq > this.#chain.seq && decodeHead(tail.data).epoch > this.#epoch) {
        throw this.#fenced(tail);
      }
      if (reading >= SHORTER_READINGS_MAX) return;
      await sleep(clock, CONFIRM_PAUSE_MS);
    }
  }

  /** Appends the next commit. Throws FENCED when a later owner has claimed the task. */
  async append(commit: Commit): Promise<{ firstSeq: number; lastSeq: number; crc: number; bytes: number }> {
    invariant(commit.commit === this.#commit + 1, `commit ${commit.commit} follows ${this.#commit}`);
    invariant(commit.epoch === this.#epoch, 'a commit is of its owner’s epoch');
    const body = encodeCommit(commit);
    const partBytesMax = this.#options.log.messageBytesMax - HEADROOM_BYTES;
    const parts = Math.max(1, Math.ceil(body.length / partBytesMax));
    if (parts > PARTS_MAX) {
      throw new MillraceError('LIMIT_REACHED', `a commit of ${body.length} bytes has more than ${PARTS_MAX} parts`);
    }
    let firstSeq = 0;
    for (let part = 0; part < parts; part++) {
      const slice = body.subarray(part * partBytesMax, (part + 1) * partBytesMax);
      const outcome = await this.#append('commit', commit.commit, slice, { part, parts });
      if (outcome !== 'landed') throw this.#fenced(outcome.tail);
      if (part === 0) firstSeq = this.#chain.seq;
    }
    this.#commit = commit.commit;
    return { firstSeq, lastSeq: this.#chain.seq, crc: this.#lastCrc, bytes: body.length };
  }

  /** The owner's last word: the next one need not wait for a lease to run out. Being fenced here is no loss. */
  async release(): Promise<void> {
    await this.#append('release', this.#commit, new Uint8Array());
  }

  async #append(
    kind: EntryKind,
    commit: number,
    body: Uint8Array,
    { part, parts }: { part: number; parts: number } = { part: 0, parts: 1 },
  ): Promise<'landed' | { tail: StoredMessage }> {
    const { revision } = this.#options;
    const head = { kind, part, parts, epoch: this.#epoch, revision, commit, crcBefore: this.#lastCrc };
    const message = encodeMessage(head, body);
    const outcome = await this.#chain.append(message);
    if (outcome.kind === 'moved') {
      this.#chain.adopt(outcome.tail);
      return { tail: outcome.tail };
    }
    this.#lastCrc = checksum(message);
    this.#noteStep({ seq: this.#chain.seq, data: message });
    return 'landed';
  }

  #outdated({ revision }: EntryHead): MillraceError {
    return new MillraceError(
      'REVISION_OUTDATED',
      `journal ${this.subject} is of revision ${revision}, and this worker still runs ${this.#options.revision}: it waits until it hears of the newer one`,
    );
  }

  #fenced(tail: StoredMessage): MillraceError {
    const { epoch } = decodeHead(tail.data);
    if (epoch > this.#epoch) {
      return new MillraceError('FENCED', `journal ${this.subject}: epoch ${epoch} has taken over from ${this.#epoch}`);
    }
    return new MillraceError(
      'CHAIN_BROKEN',
      `journal ${this.subject}: epoch ${this.#epoch} is the newest, yet somebody else appended. Nothing but Millrace may publish to _mr.>; restore the stream from a backup, or delete the pipeline with its state.`,
    );
  }

  #noteStep({ seq, data }: Pick<StoredMessage, 'seq' | 'data'>): void {
    const since = this.#sinceStep;
    if (++since.messages < STEP_MESSAGES && (since.bytes += data.length) < STEP_BYTES) return;
    this.#steps.push(seq);
    this.#sinceStep = { messages: 0, bytes: 0 };
  }

  /**
   * Drops messages before `seq`, step by step. Only for commits that are snapshotted and relayed (invariant D). Ends between
   * two steps when `isOver` says so: what it leaves, the next cut drops.
   */
  async cut(seq: number, { isOver }: { isOver: () => boolean } = { isOver: () => false }): Promise<void> {
    const { log, clock, stream } = this.#options;
    const past = this.#steps.filter(step => step < seq);
    this.#steps = this.#steps.slice(past.length);
    for (const before of past) {
      await log.trim({ stream, subject: this.subject, before });
      await sleep(clock, STEP_PAUSE_MS);
      if (isOver()) return;
    }
    await log.trim({ stream, subject: this.subject, before: seq });
  }

  stop(): void {
    this.#stopped = true;
    this.#reader?.onReady?.();
    this.#chain.stop();
  }
}

function storedCommit(parts: readonly StoredMessage[], head: EntryHead, crc: number): StoredCommit {
  const first = parts[0]!;
  const body = Buffer.concat(parts.map(part => part.data.subarray(HEAD_BYTES)));
  const place = { firstSeq: first.seq, lastSeq: parts.at(-1)!.seq, timeMs: first.timeMs };
  return { ...place, crc, bytes: body.length, ...decodeCommit(head, body) };
}

/** A tail in the middle of a commit means that the commit has not happened. */
function lastWholeCommit(tail: EntryHead): number {
  return tail.kind === 'commit' && tail.part < tail.parts - 1 ? tail.commit - 1 : tail.commit;
}
