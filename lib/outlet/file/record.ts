/**
 * What is in a file of rows: records one after the other, each a line that says what follows, and that.
 *
 *   @claim <claim> <after> <crc>                              an owner's first word, written when it had read up to there
 *   @rows <claim> <commit> <row> <bytes> <crc> <changes>      rows; behind them, all rows of earlier commits are in, and so
 *                                                             many of this one
 *
 * Rows count only if the last claim before them is their own: those of an owner that was replaced meanwhile are passed
 * over by whoever reads. A record that was torn off never counts: the claim behind it names the place where it begins, and
 * is read next. The checksum is over the line, and the rows. `changes`: of each row a digit (`change/change.ts`); `-`: all are
 * inserts.
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
const CLAIM = '@claim ';
const ROWS_LINE = /^(@rows (\S+) (\d+) (\d+) (\d{1,9})) ([0-9a-f]+) (-|[0-3]+)$/;
type RowsMatch = readonly [
  line: string,
  head: string,
  claim: string,
  commit: string,
  row: string,
  bytes: string,
  crc: string,
  changes: string,
];
/** Read at a time, when a claim is looked for. */
const SEARCH_BYTES = 64 << 10;

/** @param after up to where the file was read */
export function encodeClaim(claim: string, after: number): Uint8Array {
  const head = `${CLAIM}${claim} ${after}`;
  return Buffer.from(`${head} ${crcOf(head)}\n`);
}

export function encodeRows(record: Pick<RowsRecord, 'claim' | 'progress' | 'rows' | 'changes'>): Uint8Array {
  const { claim, progress, rows, changes } = record;
  const head = `@rows ${claim} ${progress.position} ${progress.row} ${rows.length}`;
  const text = changes === null ? '-' : changes.join('');
  return Buffer.concat([Buffer.from(`${head} ${crcOf(`${head} ${text}`, rows)} ${text}\n`), rows]);
}

/** The record at that place, or, where one was torn off there, the claim behind it. Null: there is nothing more. */
export async function readRecord(file: Readable, at: number): Promise<Claim | RowsRecord | null> {
  const line = await readLine(file, at);
  const record = line === null ? null : (claimOf(line, at) ?? (await rowsOf(file, line, at)));
  return record ?? findClaim(file, at);
}

function claimOf(line: string, at: number): (Claim & { after: number }) | null {
  const [kind, claim = '', after, crc] = line.split(' ');
  if (kind !== CLAIM.trim() || crcOf(`${CLAIM}${claim} ${after}`) !== crc) return null;
  return { kind: 'claim', claim, after: Number(after), at, end: at + line.length + 1 };
}

async function rowsOf(file: Readable, line: string, at: number): Promise<RowsRecord | null> {
  const bodyAt = at + line.length + 1;
  const match = ROWS_LINE.exec(line);
  if (match === null) return null;
  const [, head, claim, commit, row, bytes, crc, changes] = match as unknown as RowsMatch;
  const length = Number(bytes);
  const rows = await file.read(bodyAt, length);
  if (rows.length !== length || crcOf(`${head} ${changes}`, rows) !== crc) return null;
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

/** The first claim behind that place whose writer had read up to it. */
async function findClaim(file: Readable, after: number): Promise<Claim | null> {
  for (let from = after; ; from += SEARCH_BYTES) {
    // A little more, for what lies across.
    const bytes = Buffer.from(await file.read(from, SEARCH_BYTES + CLAIM.length));
    for (let i = bytes.indexOf(CLAIM); i >= 0; i = bytes.indexOf(CLAIM, i + 1)) {
      const line = await readLine(file, from + i);
      const claim = line === null ? null : claimOf(line, from + i);
      if (claim?.after === after) return claim;
    }
    if (bytes.length < SEARCH_BYTES) return null;
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

function crcOf(line: string, rows?: Uint8Array): string {
  const ofLine = crc32(line);
  return (rows === undefined ? ofLine : crc32(rows, ofLine)).toString(16);
}
