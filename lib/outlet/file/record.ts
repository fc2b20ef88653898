/**
 * What is in a file of rows: records one after the other, each a line that says what follows, and that.
 *
 *   @claim <claim>                                            an owner's first word
 *   @rows <claim> <commit> <row> <bytes> <crc> <changes>      rows; behind them, all rows of earlier commits are in, and so
 *                                                             many of this one
 *
 * Rows count only if the last claim before them is their own: those of an owner that was replaced meanwhile are passed
 * over by whoever reads. The checksum is over the line before it and the rows. What ends in the middle of a record was torn
 * off, and never counted. `changes`: of each row a digit (`outbox.ts`); `-`: all are inserts.
 */
import { crc32 } from 'node:zlib';
import type { Progress } from '../../channel/frame.ts';

export interface Claim {
  readonly kind: 'claim';
  readonly claim: string;
  readonly at: number;
  readonly end: number;
}

/** A block of rows. */
export interface RowsRecord {
  readonly kind: 'rows';
  readonly claim: string;
  readonly progress: Progress;
  /** Where the record begins and ends in the file. */
  readonly at: number;
  readonly end: number;
  readonly rows: Uint8Array;
  /** Null: all are inserts. */
  readonly changes: Uint8Array | null;
}

/** What can be read at a place. */
export interface Readable {
  /** Fewer bytes only where the file ends. */
  read(at: number, length: number): Promise<Uint8Array>;
}

const LINE_BYTES = 128;
const NEWLINE = 10;

export function encodeClaim(claim: string): Uint8Array {
  return Buffer.from(`@claim ${claim}\n`);
}

export function encodeRows(record: Pick<RowsRecord, 'claim' | 'progress' | 'rows' | 'changes'>): Uint8Array {
  const { claim, progress, rows, changes } = record;
  const head = `@rows ${claim} ${progress.position} ${progress.row} ${rows.length}`;
  const text = changes === null ? '-' : changes.join('');
  return Buffer.concat([Buffer.from(`${head} ${crcOf(head, text, rows)} ${text}\n`), rows]);
}

/** Null: there is no whole record. */
export async function readRecord(file: Readable, at: number): Promise<Claim | RowsRecord | null> {
  const line = await readLine(file, at);
  if (line === null) return null;
  const bodyAt = at + line.length + 1;
  const [kind, claim = '', commit, row, bytes, crc, changes = ''] = line.split(' ');
  if (kind === '@claim') return { kind: 'claim', claim, at, end: bodyAt };
  if (kind !== '@rows') return null;
  const length = Number(bytes);
  const rows = await file.read(bodyAt, length);
  const head = `@rows ${claim} ${commit} ${row} ${bytes}`;
  if (rows.length !== length || crcOf(head, changes, rows) !== crc) return null;
  return {
    kind: 'rows',
    claim,
    progress: { position: Number(commit), row: Number(row) },
    at,
    end: bodyAt + length,
    rows,
    changes: changes === '-' ? null : Uint8Array.from(changes, Number),
  };
}

/** All blocks of rows that count, in order. */
export async function* readRows(file: Readable): AsyncGenerator<RowsRecord> {
  let claim = '';
  let record = await readRecord(file, 0);
  while (record !== null) {
    if (record.kind === 'claim') claim = record.claim;
    else if (record.claim === claim) yield record;
    record = await readRecord(file, record.end);
  }
}

/** The line at that place, without its newline; it is as long as it has bytes. Null: it has no end. */
async function readLine(file: Readable, at: number): Promise<string | null> {
  for (let length = LINE_BYTES; ; length *= 2) {
    const bytes = await file.read(at, length);
    const end = bytes.indexOf(NEWLINE);
    if (end >= 0) return Buffer.from(bytes.buffer, bytes.byteOffset, end).toString('latin1');
    if (bytes.length < length) return null;
  }
}

function crcOf(head: string, changes: string, rows: Uint8Array): string {
  return crc32(rows, crc32(`${head} ${changes}`)).toString(16);
}
