/**
 * The index of packed maps, from hashes to slots: an extendible hash table (Fagin et al. 1979). A directory, by the hash's
 * first bits, of small tables with linear probing, of which a full one is split in two. So growing never moves more than
 * some hundred cells, and never holds an old and a new copy of the whole, as one large table that doubles would.
 */
import { invariant } from '../base/errors.ts';

/** What several maps take together. */
export interface Footprint {
  bytes: number;
}

/** Memory of a table with its array, beside what is in it. */
const TABLE_BYTES = 250;
const FIRST_CELLS = 8;
const CELLS_MAX = 1024;
/** Fewer entries than this for each table of the directory: splitting has gone wrong, since their hashes are alike. */
const DIRECTORY_ENTRIES_MIN = 64;

class CellTable {
  /** Pairs: the hash, and the slot + 1; 0: empty. */
  cells: Int32Array;
  count = 0;
  /** How many of the hash's first bits all its entries share. */
  readonly depth: number;

  constructor(cells: number, depth: number) {
    this.cells = new Int32Array(2 * cells);
    this.depth = depth;
  }

  get bytes(): number {
    return TABLE_BYTES + this.cells.length * 4;
  }

  get isFull(): boolean {
    return this.count * 8 >= this.cells.length * 3;
  }

  get isSparse(): boolean {
    return this.count * 16 < this.cells.length && this.cells.length > 2 * FIRST_CELLS;
  }

  add(hash: number, slot: number): void {
    const { cells } = this;
    const mask = (cells.length >> 1) - 1;
    let i = hash & mask;
    while (cells[2 * i + 1] !== 0) i = (i + 1) & mask;
    cells[2 * i] = hash;
    cells[2 * i + 1] = slot + 1;
    this.count++;
  }

  cellOf(hash: number, slot: number): number {
    const { cells } = this;
    const mask = (cells.length >> 1) - 1;
    let i = hash & mask;
    while (cells[2 * i + 1] !== slot + 1) {
      invariant(cells[2 * i + 1] !== 0, 'an entry is not where its hash says');
      i = (i + 1) & mask;
    }
    return i;
  }

  /** Without tombstones: what the cell kept from its own place moves up. */
  remove(hash: number, slot: number): void {
    const { cells } = this;
    const mask = (cells.length >> 1) - 1;
    let hole = this.cellOf(hash, slot);
    for (let i = (hole + 1) & mask; cells[2 * i + 1] !== 0; i = (i + 1) & mask) {
      const home = cells[2 * i]! & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;
      cells[2 * hole] = cells[2 * i]!;
      cells[2 * hole + 1] = cells[2 * i + 1]!;
      hole = i;
    }
    cells[2 * hole + 1] = 0;
    this.count--;
  }
}

export class SlotIndex {
  readonly #footprint: Footprint;
  #directory: CellTable[] = [];
  /** A hash without its last bit, shifted right by so much, is its place in the directory. */
  #shift = 31;
  #size = 0;
  #bytes = 0;

  constructor(footprint: Footprint) {
    this.#footprint = footprint;
  }

  /** Where an entry with this hash is or would be, if there is any entry at all. */
  tableOf(hash: number): CellTable {
    return this.#directory[(hash >>> 1) >>> this.#shift]!;
  }

  add(hash: number, slot: number): void {
    if (this.#directory.length === 0) {
      this.#directory.push(new CellTable(FIRST_CELLS, 0));
      this.#account(this.#directory[0]!.bytes);
    }
    let table = this.tableOf(hash);
    while (table.isFull) {
      this.#relieve(table, hash);
      table = this.tableOf(hash);
    }
    table.add(hash, slot);
    this.#size++;
  }

  remove(hash: number, slot: number): void {
    const table = this.tableOf(hash);
    table.remove(hash, slot);
    this.#size--;
    if (table.isSparse) this.#shrink(table, hash);
  }

  /** The entry has moved. */
  replace(hash: number, from: number, to: number): void {
    const table = this.tableOf(hash);
    table.cells[2 * table.cellOf(hash, from) + 1] = to + 1;
  }

  clear(): void {
    this.#account(-this.#bytes);
    this.#directory = [];
    this.#shift = 31;
    this.#size = 0;
  }

  /** Makes a full table larger, or two of it. */
  #relieve(table: CellTable, hash: number): void {
    const cells = table.cells.length / 2;
    const isDeepest = table.depth === 31 - this.#shift;
    const isCrowded = isDeepest && this.#directory.length * DIRECTORY_ENTRIES_MIN > this.#size;
    if (cells < CELLS_MAX || isCrowded) {
      const larger = new CellTable(2 * cells, table.depth);
      refill(table, () => larger);
      this.#place(hash, table.depth, larger, larger);
      this.#account(larger.bytes - table.bytes);
      return;
    }
    if (isDeepest) {
      this.#directory = this.#directory.flatMap(one => [one, one]);
      this.#shift--;
    }
    const bit = 31 - table.depth;
    const zeros = new CellTable(cells, table.depth + 1);
    const ones = new CellTable(cells, table.depth + 1);
    refill(table, one => ((one >>> bit) & 1 ? ones : zeros));
    this.#place(hash, table.depth, zeros, ones);
    this.#account(zeros.bytes + ones.bytes - table.bytes);
  }

  #shrink(table: CellTable, hash: number): void {
    const smaller = new CellTable(table.cells.length / 4, table.depth);
    refill(table, () => smaller);
    this.#place(hash, table.depth, smaller, smaller);
    this.#account(smaller.bytes - table.bytes);
  }

  /** Puts two tables in the directory in place of the one that `hash` leads to. */
  #place(hash: number, depth: number, zeros: CellTable, ones: CellTable): void {
    const span = 1 << (31 - this.#shift - depth);
    const at = (hash >>> 1) >>> this.#shift;
    const start = at - (at % span);
    for (let i = 0; i < span; i++) this.#directory[start + i] = i < span / 2 ? zeros : ones;
  }

  #account(bytes: number): void {
    this.#bytes += bytes;
    this.#footprint.bytes += bytes;
  }
}

function refill(table: CellTable, into: (hash: number) => CellTable): void {
  const { cells } = table;
  for (let i = 0; i < cells.length; i += 2) {
    if (cells[i + 1] !== 0) into(cells[i]!).add(cells[i]!, cells[i + 1]! - 1);
  }
}
