/**
 * The batch answers to the bench's queries over Nexmark events: how many rows, and a checksum that does not depend on
 * their order. Naive on purpose, and shares no code with Millrace.
 *
 *   q0   every bid: auction, bidder, price, dateTime
 *   q2   bids on auctions whose id is divisible by 123: auction, price
 *   qd   bids of which every fifth was sent twice, each once: auction, bidder, price, dateTime
 *   qj   bids with their auction, at most 10 s apart: auction, bidder, price, dateTime, seller, category
 *   q5   bids per auction in windows of 10 s every 2 s: auction, start, count
 *   q11  bids per bidder in sessions, each bid at most 10 s after the one before: bidder, start, end, count
 *        (of the first and the last bid)
 *
 * The windows at the very end need not have closed: those of q5 and q11 count only if they end 15 s before the last event.
 */
import type { AuctionEvent, BidEvent, NexmarkEvent } from './nexmark.ts';

export const QUERIES = ['q0', 'q2', 'qd', 'qj', 'q5', 'q11'] as const;
export type Query = (typeof QUERIES)[number];

export type Row = Readonly<Record<string, unknown>>;

export interface Answer {
  readonly rows: number;
  /** 16 hex digits: the sum of a 64-bit hash of every row. */
  readonly checksum: string;
}

const COLUMNS: Readonly<Record<Query, readonly string[]>> = {
  q0: ['auction', 'bidder', 'price', 'dateTime'],
  q2: ['auction', 'price'],
  qd: ['auction', 'bidder', 'price', 'dateTime'],
  qj: ['auction', 'bidder', 'price', 'dateTime', 'seller', 'category'],
  q5: ['auction', 'start', 'count'],
  q11: ['bidder', 'start', 'end', 'count'],
};

/** All that an answer needs of an event: of millions the rest would fill the memory. */
type BidRow = Pick<BidEvent, 'auction' | 'bidder' | 'price' | 'dateTime'>;
type AuctionRow = Pick<AuctionEvent, 'id' | 'seller' | 'category' | 'dateTime'>;

const NEAR_MS = 10_000;
const HOP_MS = 2_000;
const TAIL_MS = 15_000;

/** Counts texts and adds up their hashes: the same for the same texts in any order. */
export class Checksum {
  count = 0;
  private low = 0;
  private high = 0;

  add(text: string): void {
    this.count++;
    this.low = (this.low + fnv(text, 0x811c9dc5)) >>> 0;
    this.high = (this.high + fnv(text, 0x5bd1e995)) >>> 0;
  }

  answer(): Answer {
    return { rows: this.count, checksum: hex(this.high) + hex(this.low) };
  }
}

export function sameAnswer(left: Answer, right: Answer): boolean {
  return left.rows === right.rows && left.checksum === right.checksum;
}

/** Adds up rows as they come. Rows of windows in the tail are left out. */
export class Tally {
  private readonly sum = new Checksum();
  private readonly query: Query;
  private readonly lastMs: number;

  /** @param lastMs time of the last event of the input. */
  constructor(query: Query, options: { lastMs: number }) {
    this.query = query;
    this.lastMs = options.lastMs;
  }

  get rows(): number {
    return this.sum.count;
  }

  /** False: the row's window is in the tail and does not count. */
  add(row: Row): boolean {
    if (this.inTail(row)) return false;
    this.sum.add(COLUMNS[this.query].map(column => row[column]).join(' '));
    return true;
  }

  answer(): Answer {
    return this.sum.answer();
  }

  private inTail(row: Row): boolean {
    if (this.query === 'q5') return Number(row.start) + NEAR_MS + TAIL_MS > this.lastMs;
    if (this.query === 'q11') return Number(row.end) + NEAR_MS + TAIL_MS > this.lastMs;
    return false;
  }
}

/** The batch answer to one query over all events. */
export function answerOf(query: Query, events: Iterable<NexmarkEvent>): Answer {
  const bids: BidRow[] = [];
  const auctions: AuctionRow[] = [];
  let lastMs = 0;
  for (const { kind, event } of events) {
    lastMs = Math.max(lastMs, event.dateTime);
    if (kind === 'bid') bids.push(toRow(event));
    else if (kind === 'auction') auctions.push(toAuctionRow(event));
  }
  const tally = new Tally(query, { lastMs });
  for (const row of rowsOf(query, { bids, auctions })) tally.add(row);
  return tally.answer();
}

function rowsOf(query: Query, tables: { bids: readonly BidRow[]; auctions: readonly AuctionRow[] }): Iterable<Row> {
  switch (query) {
    case 'q0':
      return tables.bids;
    case 'q2':
      return tables.bids.filter(bid => bid.auction % 123 === 0);
    // What was sent twice must come out once: the answer is the input before anything was repeated.
    case 'qd':
      return distinct(tables.bids);
    case 'qj':
      return joined(tables.bids, tables.auctions);
    case 'q5':
      return hopping(tables.bids);
    case 'q11':
      return sessions(tables.bids);
  }
}

function toRow({ auction, bidder, price, dateTime }: BidEvent): BidRow {
  return { auction, bidder, price, dateTime };
}

function toAuctionRow({ id, seller, category, dateTime }: AuctionEvent): AuctionRow {
  return { id, seller, category, dateTime };
}

function distinct(bids: readonly BidRow[]): BidRow[] {
  const seen = new Set<string>();
  return bids.filter(({ auction, bidder, price, dateTime }) => {
    const id = `${auction} ${bidder} ${price} ${dateTime}`;
    if (seen.has(id)) return false;
    seen.add(id);
    return true;
  });
}

function* joined(bids: readonly BidRow[], auctions: readonly AuctionRow[]): Generator<Row> {
  const byId = new Map(auctions.map(auction => [auction.id, auction]));
  for (const bid of bids) {
    const auction = byId.get(bid.auction);
    if (!auction || Math.abs(bid.dateTime - auction.dateTime) > NEAR_MS) continue;
    yield { ...bid, seller: auction.seller, category: auction.category };
  }
}

function* hopping(bids: readonly BidRow[]): Generator<Row> {
  const counts = new Map<number, Map<number, number>>();
  for (const { auction, dateTime } of bids) {
    for (let start = dateTime - (dateTime % HOP_MS); start > dateTime - NEAR_MS; start -= HOP_MS) {
      let window = counts.get(start);
      if (!window) counts.set(start, (window = new Map()));
      window.set(auction, (window.get(auction) ?? 0) + 1);
    }
  }
  for (const [start, window] of counts) for (const [auction, count] of window) yield { auction, start, count };
}

function* sessions(bids: readonly BidRow[]): Generator<Row> {
  const timesOf = new Map<number, number[]>();
  for (const { bidder, dateTime } of bids) {
    const times = timesOf.get(bidder);
    if (times) times.push(dateTime);
    else timesOf.set(bidder, [dateTime]);
  }
  for (const [bidder, times] of timesOf) {
    times.sort((left, right) => left - right);
    let first = 0;
    for (let i = 1; i <= times.length; i++) {
      if (i < times.length && times[i]! - times[i - 1]! <= NEAR_MS) continue;
      yield { bidder, start: times[first]!, end: times[i - 1]!, count: i - first };
      first = i;
    }
  }
}

/** FNV-1a of 32 bits, with a last mix so that sums of similar rows do not look alike. */
function fnv(text: string, basis: number): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function hex(word: number): string {
  return word.toString(16).padStart(8, '0');
}
