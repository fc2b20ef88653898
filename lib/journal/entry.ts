/**
 * The journal's entries, and how they are laid into messages. READ WITH `writer.ts`.
 *
 * A commit is one entry. An entry larger than a message is laid into several *parts*; it has happened when its last
 * part is in. Each message starts with a fixed head:
 *
 *   version u8 · kind u8 · part u16 · parts u16 · epoch u32 · revision u32 · assignment u32 · commit f64
 *   · crc of the message before u32 · body …
 *
 * The crc makes the journal one unbroken thread: a message that was lost or changed below us is noticed by the next.
 */
import { crc32 } from 'node:zlib';
import { BEGIN_ANEW, isMillraceError, MillraceError } from '../base/errors.ts';
import { type Counts, type CountsParts, fromCountsParts, toCountsParts } from '../observe/counts.ts';
import { pack, unpack } from '../record/rows.ts';
import type { Hand } from './attempts.ts';
import { fromParts, type Outbox, toParts } from './outbox.ts';
import type { Tails } from './tails.ts';

const VERSION = 5;
export const HEAD_BYTES = 30;

/** `claim`: an owner's first word, the bump. `commit`: a batch. `release`: an owner's last word. `hand`: what it has in hand. */
export type EntryKind = 'claim' | 'commit' | 'release' | 'hand';
const KINDS: readonly EntryKind[] = ['claim', 'commit', 'release', 'hand'];

export interface EntryHead {
  readonly kind: EntryKind;
  readonly part: number;
  readonly parts: number;
  readonly epoch: number;
  /** The pipeline's revision that its owner runs. */
  readonly revision: number;
  /** The assignment that has given the task to its owner. */
  readonly assignment: number;
  /** Number of the commit; of anything else: of the last commit before it. */
  readonly commit: number;
  readonly crcBefore: number;
}

/** What a commit carries. */
export interface Commit {
  readonly epoch: number;
  readonly commit: number;
  /** By input: the last sequence of its stream that is reflected, and what else an input knows itself again by. */
  readonly positions: Readonly<Record<string, number>>;
  /** The stage's watermark, ms: all that is due at it has fired. */
  readonly watermarkMs: number;
  /** How far event time is on the inputs, ms: where it is later, later commits bring the rest of what is due at it, before anything is read. */
  readonly dueMs: number;
  /** What changed in state (`TaskState.takeDelta`), or null. */
  readonly delta: Uint8Array | null;
  readonly outbox: Outbox;
  /** Every commit up to this one has been sent whole. */
  readonly relayedThrough: number;
  /** By destination: what is last of what is known to be sent, where it changed. */
  readonly tails: Tails;
  /** Number of the commit whose snapshot is whole and durable, or 0; once this entry is in, the journal may be cut to it. */
  readonly snapshot: number;
  /** The owner has taken a checkpoint of its state as of this commit: whoever follows takes one, too. */
  readonly isCheckpoint: boolean;
  /** What the task has done, this commit included, since its journal began. */
  readonly counts: Counts;
}

export function encodeCommit(commit: Commit): Uint8Array {
  return pack([
    commit.positions,
    commit.watermarkMs,
    commit.delta,
    toParts(commit.outbox),
    commit.relayedThrough,
    commit.tails,
    commit.snapshot,
    commit.dueMs,
    commit.isCheckpoint,
    toCountsParts(commit.counts),
  ]);
}

/** Throws JOURNAL_CORRUPT. */
export function decodeCommit(head: EntryHead, body: Uint8Array): Commit {
  try {
    return commitOf(head, unpack(body));
  } catch (cause) {
    if (isMillraceError(cause)) throw cause;
    throw new MillraceError('JOURNAL_CORRUPT', 'a commit does not have the form of one', { cause });
  }
}

function commitOf(head: EntryHead, parts: unknown): Commit {
  const [positions, watermarkMs, delta, outbox, relayedThrough, tails, snapshot, dueMs, isCheckpoint, counts] =
    parts as [
      Record<string, number>,
      number,
      Uint8Array | null,
      unknown,
      number,
      Tails,
      number,
      number,
      boolean,
      CountsParts,
    ];
  return {
    epoch: head.epoch,
    commit: head.commit,
    positions,
    watermarkMs,
    dueMs,
    delta,
    outbox: fromParts(outbox),
    relayedThrough,
    tails,
    snapshot,
    isCheckpoint,
    counts: fromCountsParts(counts),
  };
}

/** What is in hand; null: nothing, and all is well. */
export function encodeHand(hand: Hand | null): Uint8Array {
  return pack(hand === null ? null : [hand.place, hand.rows, hand.tries]);
}

/** Throws JOURNAL_CORRUPT. */
export function decodeHand(body: Uint8Array): Hand | null {
  const parts = unpack(body);
  if (parts === null) return null;
  const [place, rows, tries] = Array.isArray(parts) ? (parts as unknown[]) : [];
  if (typeof place !== 'string' || typeof rows !== 'number' || typeof tries !== 'number') {
    throw new MillraceError('JOURNAL_CORRUPT', 'what is in hand does not have the form of it');
  }
  return { place, rows, tries };
}

export function encodeMessage(head: EntryHead, body: Uint8Array): Uint8Array {
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + body.length);
  bytes.writeUInt8(VERSION, 0);
  bytes.writeUInt8(KINDS.indexOf(head.kind), 1);
  bytes.writeUInt16BE(head.part, 2);
  bytes.writeUInt16BE(head.parts, 4);
  bytes.writeUInt32BE(head.epoch, 6);
  bytes.writeUInt32BE(head.revision, 10);
  bytes.writeUInt32BE(head.assignment, 14);
  bytes.writeDoubleBE(head.commit, 18);
  bytes.writeUInt32BE(head.crcBefore, 26);
  bytes.set(body, HEAD_BYTES);
  return bytes;
}

export function decodeHead(message: Uint8Array): EntryHead {
  const bytes = Buffer.from(message.buffer, message.byteOffset, message.length);
  // First of all: another version's messages may be shorter.
  if (bytes.length > 0 && bytes[0] !== VERSION) {
    throw new MillraceError(
      'JOURNAL_CORRUPT',
      `a journal message has format ${bytes[0]}, of another version of Millrace; this one reads ${VERSION}: ${BEGIN_ANEW}`,
    );
  }
  const kind = KINDS[bytes[1] ?? KINDS.length];
  if (kind === undefined || bytes.length < HEAD_BYTES) {
    throw new MillraceError('JOURNAL_CORRUPT', 'a journal message is cut short or damaged');
  }
  return {
    kind,
    part: bytes.readUInt16BE(2),
    parts: bytes.readUInt16BE(4),
    epoch: bytes.readUInt32BE(6),
    revision: bytes.readUInt32BE(10),
    assignment: bytes.readUInt32BE(14),
    commit: bytes.readDoubleBE(18),
    crcBefore: bytes.readUInt32BE(26),
  };
}

/** The last commit that has happened, by the journal's last message: one of which only a part is in has not. */
export function lastWholeCommit(tail: EntryHead): number {
  return tail.kind === 'commit' && tail.part < tail.parts - 1 ? tail.commit - 1 : tail.commit;
}

export function checksum(message: Uint8Array): number {
  return crc32(message);
}
