/**
 * A task's journal: the chain of its commits, and the one place that says who owns the task. READ FIRST.
 *
 * The durable steps of a task, in order:
 *   1. claim    append {epoch + 1}: every older owner's append fails from here on          (*one owner*)
 *   2. restore  read what is needed back, each entry checked against the one before it     (*nothing missing*)
 *   3. commit   append the batch: positions, state, results to send, in one entry          (*all or none*)
 *   4. relay    send what the commit says, in order, each destination fenced               (relay.ts)
 *   5. cut      drop commits that a durable snapshot holds and that are relayed            (*safe cut*)
 *
 * *One owner*: a commit of epoch e can land only while no claim of a later epoch has. The chain refuses an
 *   append whose predecessor is not the last message, and a claim becomes the last message. And no owner of an older
 *   revision, or of an older assignment of the same one, takes over from one of a newer: every message says both, a claim
 *   follows the very message that it has judged, and so the two never fall along a journal. Whoever has equal numbers may
 *   take over: that is a worker that starts the task again.
 * *Nothing missing*: what is needed is read back without gaps. Each message has the crc of the one before it,
 *   and commit numbers grow by one; anything else stops the task with JOURNAL_CORRUPT. What is not needed, since a
 *   snapshot holds it and all of it is relayed, may be cut away, in whatever pieces the broker loses it.
 * *All or none*: an entry counts only when its last part is in. Parts of an owner that died between them
 *   are passed over, and their commit number is given again.
 * *Safe cut*: the journal is cut only after a commit that names the snapshot has landed, so it was
 *   the owner's right, and never past a commit that is not wholly relayed.
 *
 * Whoever only reads, owner to be or not, has `reader.ts`; this is the owner's hand.
 */
import { type Clock, sleep } from '../base/clock.ts';
import { invariant, MillraceError } from '../base/errors.ts';
import type { Random } from '../base/random.ts';
import { Chain, SHORTER_READINGS_MAX } from '../chain/chain.ts';
import { type Log, roomIn, type StoredMessage } from '../port/log.ts';
import type { Hand } from './attempts.ts';
import { CutSteps } from './cut-steps.ts';
import {
  type Commit,
  checksum,
  decodeHead,
  type EntryHead,
  type EntryKind,
  encodeCommit,
  encodeHand,
  encodeMessage,
  lastWholeCommit,
} from './entry.ts';

const HEADROOM_BYTES = 2048;
const PARTS_MAX = 65_535;
/** What has waited for one step of a cut is done before the next. */
const STEP_PAUSE_MS = 20;
const CONFIRM_PAUSE_MS = 100;

/** Where a commit stands: its number, and its last message's sequence and checksum. */
export interface Mark {
  readonly commit: number;
  readonly seq: number;
  readonly crc: number;
}

export interface JournalOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly stream: string;
  readonly subject: string;
  /** The pipeline's revision that runs here. */
  readonly revision: number;
  /** Number of the assignment that has given the task to this worker. */
  readonly assignment: number;
}

export class JournalWriter {
  readonly subject: string;
  #options: JournalOptions;
  #chain: Chain;
  #epoch = 0;
  #commit = 0;
  #lastCrc = 0;
  #claimSeq = 0;
  #cutSteps = new CutSteps();

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

  /** Sequence of our claim; 0: there is none. */
  get claimSeq(): number {
    return this.#claimSeq;
  }

  /** Where the journal ends now: null, it is empty. Throws REVISION_OUTDATED and ASSIGNMENT_OUTDATED, as `claim` would. */
  async look(): Promise<{ readonly seq: number; readonly commit: number } | null> {
    const tail = await this.#chain.open();
    if (tail === null) return null;
    const head = decodeHead(tail.data);
    this.#checkNewest(head);
    return { seq: tail.seq, commit: lastWholeCommit(head) };
  }

  /**
   * Takes the task over: returns when our claim is the journal's last message. An empty journal begins behind commit 0, or
   * behind `begin`, of which a snapshot has all. Throws REVISION_OUTDATED, ASSIGNMENT_OUTDATED.
   */
  async claim(begin: Pick<Mark, 'commit' | 'crc'> = { commit: 0, crc: 0 }): Promise<void> {
    let tail = await this.#chain.open();
    for (;;) {
      const head = tail === null ? null : decodeHead(tail.data);
      if (head !== null) this.#checkNewest(head);
      this.#epoch = (head?.epoch ?? 0) + 1;
      this.#commit = head === null ? begin.commit : lastWholeCommit(head);
      this.#lastCrc = tail === null ? begin.crc : checksum(tail.data);
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

  /** What was read of the journal by whoever hands it over to its owner: cuts go on from there. */
  adopt(read: CutSteps): void {
    this.#cutSteps = read;
  }

  /**
   * Throws FENCED if a later owner has claimed the task since: then what we see of it need not fit together. Asked a few
   * times, since a leader that was just deposed may not know of the claim.
   */
  async confirm(): Promise<void> {
    const { log, stream, clock } = this.#options;
    for (let reading = 1; ; reading++) {
      const tail = await log.last({ stream, subject: this.subject });
      // Whether or not an append of ours has met it already.
      if (tail !== null && decodeHead(tail.data).epoch > this.#epoch) throw this.#fenced(tail);
      if (reading >= SHORTER_READINGS_MAX) return;
      await sleep(clock, CONFIRM_PAUSE_MS);
    }
  }

  /** Appends the next commit. Throws FENCED when a later owner has claimed the task. */
  async append(commit: Commit): Promise<{ firstSeq: number; lastSeq: number; crc: number; bytes: number }> {
    invariant(commit.commit === this.#commit + 1, `commit ${commit.commit} follows ${this.#commit}`);
    invariant(commit.epoch === this.#epoch, 'a commit is of its owner’s epoch');
    const body = encodeCommit(commit);
    const { log, stream } = this.#options;
    const partBytesMax = roomIn(log.messageBytesMaxOf(stream), HEADROOM_BYTES);
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

  /** Says what is in hand before it is touched (*in hand*, `attempts.ts`); null: nothing, and all is well. Throws as `append`. */
  async takeInHand(hand: Hand | null): Promise<void> {
    const outcome = await this.#append('hand', this.#commit, encodeHand(hand));
    if (outcome !== 'landed') throw this.#fenced(outcome.tail);
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
    const { revision, assignment } = this.#options;
    const head = { kind, part, parts, epoch: this.#epoch, revision, assignment, commit, crcBefore: this.#lastCrc };
    const message = encodeMessage(head, body);
    const outcome = await this.#chain.append(message);
    if (outcome.kind === 'moved') {
      this.#chain.adopt(outcome.tail);
      return { tail: outcome.tail };
    }
    this.#lastCrc = checksum(message);
    this.#cutSteps.note(this.#chain.seq, message.length);
    return 'landed';
  }

  /** Revisions first: a worker with a newer one may have heard of fewer assignments. */
  #checkNewest({ revision, assignment }: EntryHead): void {
    const ours = this.#options;
    if (revision > ours.revision) {
      throw new MillraceError(
        'REVISION_OUTDATED',
        `journal ${this.subject} is of revision ${revision}, and this worker still runs ${ours.revision}: it waits until it hears of the newer one`,
      );
    }
    if (revision === ours.revision && assignment > ours.assignment) {
      throw new MillraceError(
        'ASSIGNMENT_OUTDATED',
        `journal ${this.subject} is of assignment ${assignment}, and this worker still goes by ${ours.assignment}: it waits until it hears of the newer one`,
      );
    }
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

  /**
   * Drops messages before `seq`, step by step. Only for commits that are snapshotted and relayed (*safe cut*). Ends
   * between two steps when `isOver` says so: what it leaves, the next cut drops.
   */
  async cut(seq: number, { isOver }: { isOver: () => boolean } = { isOver: () => false }): Promise<void> {
    const { log, clock, stream } = this.#options;
    for (const before of this.#cutSteps.takeBefore(seq)) {
      await log.trim({ stream, subject: this.subject, before });
      await sleep(clock, STEP_PAUSE_MS);
      if (isOver()) return;
    }
    await log.trim({ stream, subject: this.subject, before: seq });
  }

  stop(): void {
    this.#chain.stop();
  }
}
