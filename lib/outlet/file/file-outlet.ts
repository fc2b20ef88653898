/**
 * The way out to a file, with its progress in the file itself (`record.ts`). A file has no fence, so there is a word for
 * one: whoever opens it claims it, and what a former owner appends after that counts for nobody. So each append is
 * followed by a look at what has come since the last: our rows are in if no other claim is before them (*exactly in*).
 *
 * - Nothing is ever cut off, since a cut has no fence: one that comes late would take what a later owner has sent. A torn
 *   end is left behind by a claim that names it, and what looked torn and was an append under way counts if it is whole.
 * - An owner that was replaced may claim late, too. Whoever finds another's claim asks the journal who owns the task; the
 *   right owner claims again, and goes on after what counts by then. Both send the same rows of the same commits.
 * - A file is claimed before its task's first commit (*every tail compared*). So one without any claim is one that was
 *   emptied or made anew, if there are rows that a former owner has left.
 */
import { BEGIN_ANEW, MillraceError } from '../../base/errors.ts';
import type { Random } from '../../base/random.ts';
import { INSERT } from '../../change/change.ts';
import { isBeyond, type Progress } from '../../channel/frame.ts';
import type { Tail } from '../../journal/tails.ts';
import type { Outlet, OutletOptions, RowsItem } from '../outlet.ts';
import { broken, checkCommit } from '../past.ts';
import { ItemQueue } from '../queue.ts';
import { encodeClaim, encodeRows, readRecord } from './record.ts';
import type { OpenRowsFile, RowsFile } from './rows-file.ts';

const BLOCK_BYTES_MAX = 4 << 20;
/** Claims of ours that another's follows at once, before we leave it for a while. */
const CLAIMS_MAX = 10;

export interface FileOutletOptions extends OutletOptions {
  readonly open: OpenRowsFile;
  readonly name: string;
  readonly random: Random;
}

/** What a commit remembers of a file: where its last block begins, and what that says. */
type FileTail = readonly [at: number, commit: number, row: number];

export class FileOutlet implements Outlet<RowsItem> {
  #options: FileOutletOptions;
  #queue = new ItemQueue<RowsItem>();
  #file: RowsFile | null = null;
  #opening: Promise<void> | null = null;
  #running = false;
  #stopped = false;
  /** Ours; empty: we have not claimed yet. */
  #claim = '';
  /** The last claim that was read. */
  #current = '';
  /** Up to where the file was read, and where the last block that counts begins. */
  #end = 0;
  #lastAt = 0;
  #progress: Progress = { position: 0, row: 0 };
  /** The last commit that we can have sent from. */
  #known: number;

  constructor(options: FileOutletOptions) {
    this.#options = options;
    this.#known = options.past.inheritedTo;
  }

  get backlogBytes(): number {
    return this.#queue.bytes;
  }

  push(item: RowsItem): void {
    this.#queue.push(item);
    if (this.#running || this.#stopped) return;
    this.#running = true;
    this.#send().catch(error => this.#fail(error));
  }

  open(): Promise<void> {
    this.#opening ??= this.#goOnFromPast();
    return this.#opening;
  }

  async #send(): Promise<void> {
    await this.open();
    while (this.#queue.length > 0 && !this.#stopped) {
      this.#known = Math.max(this.#known, this.#queue.at(this.#queue.length - 1)!.commit);
      const { rows, changes, through } = this.#nextBlock();
      await this.#file!.append(encodeRows({ claim: this.#claim, progress: through, rows, changes }));
      await this.#readOn();
      // Ours is not among what counts if another claim came before it, or a piece of another's record.
      if (this.#current !== this.#claim || isBeyond(through, this.#progress)) await this.#claimAgain();
      this.#settle();
    }
    // In the same breath as the look at the queue, or what is pushed a moment later would wait for the next push.
    this.#running = false;
    if (this.#stopped) await this.#close();
  }

  async #goOnFromPast(): Promise<void> {
    const { open, name, remembered } = this.#options;
    const file = await open(name);
    this.#file = file;
    if (remembered !== null) await this.#beginAt(tailOf(remembered));
    else if (this.#waitsInherited() && (await file.read(0, 1)).length === 0) {
      throw broken(
        name,
        `it is empty and results wait to be sent, so it cannot be told whether they were sent already: the file was removed or emptied. Restore it as it was, or ${BEGIN_ANEW}`,
      );
    }
    await this.#makeClaim();
    await this.#judge();
    this.#settle();
  }

  /** What commits remember must be there still: the very block, which counted. */
  async #beginAt([at, commit, row]: FileTail): Promise<void> {
    const { name } = this.#options;
    const record = await readRecord(this.#file!, at);
    if (record?.kind !== 'rows' || record.progress.position !== commit || record.progress.row !== row) {
      throw broken(
        name,
        `rows up to ${commit}.${row} were there at ${at}: the file was put back to an older copy, emptied or made anew. Restore it as it was, or ${BEGIN_ANEW}`,
      );
    }
    this.#current = record.claim;
    this.#end = at;
  }

  /** Returns when our claim is the last. Throws CONFLICT. */
  async #makeClaim(): Promise<void> {
    const { name, random } = this.#options;
    const part = () => random.next().toString(36).slice(2);
    const file = this.#file!;
    for (let claims = 0; claims < CLAIMS_MAX; claims++) {
      await this.#readOn();
      this.#claim = `${part()}${part()}`;
      await file.append(encodeClaim(this.#claim, this.#end));
      await this.#readOn();
      if (this.#current === this.#claim) return;
    }
    throw new MillraceError('CONFLICT', `${name}: others claim it as often as we do`);
  }

  /** Somebody else has written to the file: a later owner of the task, or a former one that is late. */
  async #claimAgain(): Promise<void> {
    await this.#options.past.confirm();
    await this.#makeClaim();
    await this.#judge();
  }

  #judge(): Promise<void> {
    const { name, past } = this.#options;
    return checkCommit(this.#progress.position, { known: this.#known, place: name, past });
  }

  #waitsInherited(): boolean {
    const front = this.#queue.at(0);
    return front !== undefined && front.commit <= this.#options.past.inheritedTo;
  }

  /** Reads what has come since: whose file it is, and how far its rows go. */
  async #readOn(): Promise<void> {
    let record = await readRecord(this.#file!, this.#end);
    while (record !== null) {
      this.#end = record.end;
      if (record.kind === 'claim') this.#current = record.claim;
      else if (record.claim === this.#current) {
        this.#progress = record.progress;
        this.#lastAt = record.at;
      }
      record = await readRecord(this.#file!, record.end);
    }
  }

  /** Rows of as many items as fit one block; takes nothing off. */
  #nextBlock(): { rows: Uint8Array; changes: Uint8Array | null; through: Progress } {
    const pieces: Uint8Array[] = [];
    const changes: number[] = [];
    let through: Progress = this.#progress;
    let bytes = 0;
    for (let i = 0; i < this.#queue.length && bytes < BLOCK_BYTES_MAX; i++) {
      const { rows, rowFrom, rowTo, starts, commit } = this.#queue.at(i)!;
      let to = rowFrom + 1;
      while (to < rowTo && bytes + starts[to + 1]! - starts[rowFrom]! <= BLOCK_BYTES_MAX) to++;
      const piece = rows.bytes.subarray(starts[rowFrom], starts[to]);
      pieces.push(piece);
      bytes += piece.length;
      for (let row = rowFrom; row < to; row++) changes.push(rows.changes?.[row] ?? INSERT);
      through = { position: commit, row: to };
      if (to < rowTo) break;
    }
    const isPlain = changes.every(change => change === INSERT);
    return { rows: Buffer.concat(pieces), changes: isPlain ? null : Uint8Array.from(changes), through };
  }

  #settle(): void {
    const tail: FileTail = [this.#lastAt, this.#progress.position, this.#progress.row];
    for (const item of this.#queue.settle(this.#progress)) this.#options.onSent(item, tail);
  }

  #fail(error: unknown): void {
    this.#stopped = true;
    this.#options.onFailed(error);
    this.#close().catch(() => undefined);
  }

  stop(): void {
    this.#stopped = true;
    if (this.#running) return;
    this.#close().catch(error => this.#options.onFailed(error));
  }

  /** Once nothing is under way. */
  async #close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    const file = this.#file;
    this.#file = null;
    await file?.close();
  }
}

function tailOf(remembered: Tail): FileTail {
  if (Array.isArray(remembered) && remembered.length === 3 && remembered.every(part => typeof part === 'number')) {
    return remembered as unknown as FileTail;
  }
  throw new MillraceError('JOURNAL_CORRUPT', `a commit remembers of a file ${JSON.stringify(remembered)}`);
}
