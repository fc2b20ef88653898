/**
 * The commits of a run of the journal, one after the other: where each stands, so that a snapshot can be known as one of
 * them. Three numbers a commit, as there may be thousands.
 */
import type { Mark } from '../journal/writer.ts';

export class Marks {
  /** The commit of the first mark. */
  #first = 1;
  #seqs: number[] = [];
  #crcs: number[] = [];
  #bytes: number[] = [];
  /** What is known of the message before the run. */
  #before: { readonly commit: number; readonly crc: number } = { commit: 0, crc: 0 };
  /** Length of their entries. */
  bytes = 0;

  get commits(): number {
    return this.#seqs.length;
  }

  /** Sequence of the first; 0: there is none. */
  get firstSeq(): number {
    return this.#seqs[0] ?? 0;
  }

  /** A run begins with this commit, behind the message with that checksum. */
  begin(first: number, crcBefore: number): void {
    this.#first = first;
    this.#seqs = [];
    this.#crcs = [];
    this.#bytes = [];
    this.bytes = 0;
    this.#before = { commit: first - 1, crc: crcBefore };
  }

  /** The next one. */
  add({ seq, crc }: Mark, bytes: number): void {
    this.#seqs.push(seq);
    this.#crcs.push(crc);
    this.#bytes.push(bytes);
    this.bytes += bytes;
  }

  /** The commit is one of these, or is the message before them. */
  has({ commit, seq, crc }: Mark): boolean {
    const at = commit - this.#first;
    if (at >= 0 && at < this.#seqs.length) return this.#seqs[at] === seq && this.#crcs[at] === crc;
    return commit === this.#before.commit && crc === this.#before.crc;
  }

  /** Nobody asks for older ones any more. */
  dropBefore(commit: number): void {
    const count = Math.min(commit - this.#first, this.#seqs.length);
    if (count <= 0) return;
    for (let i = 0; i < count; i++) this.bytes -= this.#bytes[i]!;
    this.#seqs = this.#seqs.slice(count);
    this.#crcs = this.#crcs.slice(count);
    this.#bytes = this.#bytes.slice(count);
    this.#first += count;
  }
}
