/**
 * Whose the rows in a reader's channels are. A reader's program (`filter`, `map`, `keyBy` …) decides which channel a record
 * goes to, and as what; a revision may change it, and channels never stand at one position by themselves. So a frame says
 * by which program it was made, and:
 *
 * Invariant P (one program at a time): in each channel of a lane, all rows of source messages up to a position are of one
 *   program, and all rows of later ones are of a later one; that position is the same for all channels of the lane. Two
 *   things hold it. What a former program has sent to some channels and not to all, it sends to the rest, too, before the
 *   present one begins (`partition/reader.ts`). And the present one begins with an empty frame on each channel, a fence:
 *   after it no writer of a former revision can append, since its frame would have to follow what is no longer the last.
 *   If it was beaten by one, what that has sent is unfinished again.
 *
 * The road not taken: judging by the rows themselves which are there already. A record has no name by which it could be
 * found again under another key.
 */
import { MillraceError } from '../base/errors.ts';
import type { Author, FrameHead } from '../record/frame.ts';

/** Which revisions of a pipeline run the same program. */
export interface Lineage {
  /** There has been another program. */
  readonly hasFormer: boolean;
  isSame(revision: number, other: number): boolean;
}

export class Authorship {
  readonly author: Author;
  #lineage: Lineage;

  constructor(author: Author, lineage: Lineage) {
    this.author = author;
    this.#lineage = lineage;
  }

  /** Of the program that this writer runs. */
  isOurs({ by }: FrameHead): boolean {
    return by === undefined || this.#lineage.isSame(by.program, this.author.program);
  }

  /** The channel may still be written to by whoever ran another program. */
  needsFence(tail: FrameHead | null): boolean {
    return tail === null ? this.#lineage.hasFormer : !this.isOurs(tail);
  }

  /** Throws REVISION_OUTDATED: a later revision has written there. */
  checkRevision({ by }: FrameHead, what: string): void {
    if (by === undefined || by.revision <= this.author.revision) return;
    throw new MillraceError(
      'REVISION_OUTDATED',
      `${what}: revision ${by.revision} has written there, and this is ${this.author.revision}`,
    );
  }

  /** Another was first to write after the frame that we know. Throws REVISION_OUTDATED, and CONFLICT: it runs another program. */
  checkTail(tail: FrameHead, what: string): void {
    this.checkRevision(tail, what);
    if (this.isOurs(tail)) return;
    throw new MillraceError(
      'CONFLICT',
      `${what}: the program of revision ${tail.by!.program} has gone on there, beside that of ${this.author.program}`,
    );
  }
}
