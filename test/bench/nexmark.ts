/**
 * Events of the Nexmark benchmark (Tucker et al., 2002; ratios as in the generator of Apache Beam): an auction site's
 * people, auctions and bids, 1 : 3 : 46. Half of the bids go to the auction that is hot at the moment, three of four come from
 * the hot bidder and three of four auctions from the hot seller; the rest picks among the newest 1,000 people and
 * 100 auctions, and sometimes one that is still to come. A bid is some 190 bytes as JSON, the average event 200.
 *
 * Deterministic: event n depends on the seed and on n's place in the run alone. Events come in order of time.
 */
export interface PersonEvent {
  readonly id: number;
  readonly name: string;
  readonly emailAddress: string;
  readonly creditCard: string;
  readonly city: string;
  readonly state: string;
  readonly dateTime: number;
  readonly extra: string;
}

export interface AuctionEvent {
  readonly id: number;
  readonly itemName: string;
  readonly description: string;
  readonly initialBid: number;
  readonly reserve: number;
  readonly dateTime: number;
  readonly expires: number;
  readonly seller: number;
  readonly category: number;
  readonly extra: string;
}

export interface BidEvent {
  readonly auction: number;
  readonly bidder: number;
  /** Cents. */
  readonly price: number;
  readonly channel: string;
  readonly url: string;
  /** Event time, ms since 1970. */
  readonly dateTime: number;
  readonly extra: string;
}

export type NexmarkEvent =
  | { readonly kind: 'person'; readonly event: PersonEvent }
  | { readonly kind: 'auction'; readonly event: AuctionEvent }
  | { readonly kind: 'bid'; readonly event: BidEvent };

export interface NexmarkOptions {
  readonly events: number;
  /** Distance of event times; default 10,000 a second. */
  readonly eventsPerSecond?: number;
  /** Event time of the first event, ms since 1970; default 2026-01-01. */
  readonly startMs?: number;
  readonly seed?: number;
}

const FIRST_ID = 1_000;
const ROUND = 50;
const PEOPLE_A_ROUND = 1;
const AUCTIONS_A_ROUND = 3;
const PEOPLE_ACTIVE = 1_000;
const AUCTIONS_IN_FLIGHT = 100;
/** So many ids beyond the newest may be named before they exist. */
const AHEAD = 10;
/** One person or auction of so many in a row is the hot one. */
const HOT_OF = 100;
const CHANNELS = ['Google', 'Facebook', 'Baidu', 'Apple'];
const CITIES = ['Phoenix', 'Los Angeles', 'San Francisco', 'Boise', 'Portland', 'Bend', 'Redmond', 'Seattle', 'Kent'];
const STATES = ['AZ', 'CA', 'ID', 'OR', 'WA', 'WY'];

export function* nexmark(options: NexmarkOptions): Generator<NexmarkEvent, void, void> {
  const { events, eventsPerSecond = 10_000, startMs = Date.UTC(2026, 0, 1), seed = 1 } = options;
  const random = new Random(seed);
  for (let n = 0; n < events; n++) {
    const dateTime = startMs + Math.floor((n * 1_000) / eventsPerSecond);
    const place = n % ROUND;
    if (place < PEOPLE_A_ROUND) yield { kind: 'person', event: person(random, n, dateTime) };
    else if (place < PEOPLE_A_ROUND + AUCTIONS_A_ROUND) yield { kind: 'auction', event: auction(random, n, dateTime) };
    else yield { kind: 'bid', event: bid(random, n, dateTime) };
  }
}

/**
 * The bids as a careless producer sends them: every fifth a second time, after 500 others. The dedupe query's input.
 */
export function* withCopies(bids: Iterable<BidEvent>): Generator<BidEvent, void, void> {
  const waiting: { due: number; bid: BidEvent }[] = [];
  let next = 0;
  let n = 0;
  for (const bid of bids) {
    yield bid;
    if (n % 5 === 0) waiting.push({ due: n + 500, bid });
    while (next < waiting.length && waiting[next]!.due <= n) yield waiting[next++]!.bid;
    n++;
  }
  while (next < waiting.length) yield waiting[next++]!.bid;
}

export function* bidsOf(events: Iterable<NexmarkEvent>): Generator<BidEvent, void, void> {
  for (const { kind, event } of events) if (kind === 'bid') yield event;
}

/** Number of the newest person when event `n` happens, from 0. */
function newestPerson(n: number): number {
  return Math.floor(n / ROUND);
}

/** Number of the newest auction when event `n` happens; -1 before the first. */
function newestAuction(n: number): number {
  const place = n % ROUND;
  const ofThisRound = Math.min(Math.max(place - PEOPLE_A_ROUND + 1, 0), AUCTIONS_A_ROUND);
  return Math.floor(n / ROUND) * AUCTIONS_A_ROUND + ofThisRound - 1;
}

function somePerson(random: Random, n: number): number {
  const newest = newestPerson(n);
  const active = Math.min(newest, PEOPLE_ACTIVE);
  return newest - active + random.below(active + AHEAD);
}

function someAuction(random: Random, n: number): number {
  const newest = Math.max(newestAuction(n), 0);
  const oldest = Math.max(newest - AUCTIONS_IN_FLIGHT, 0);
  return oldest + random.below(newest - oldest + 1 + AHEAD);
}

function hot(newest: number): number {
  return Math.max(newest, 0) - (Math.max(newest, 0) % HOT_OF);
}

function person(random: Random, n: number, dateTime: number): PersonEvent {
  return {
    id: FIRST_ID + newestPerson(n),
    name: `${random.text(6)} ${random.text(7)}`,
    emailAddress: `${random.text(7)}@${random.text(5)}.com`,
    creditCard: String(1e15 + random.below(9e15)),
    city: random.oneOf(CITIES),
    state: random.oneOf(STATES),
    dateTime,
    extra: random.text(80),
  };
}

function auction(random: Random, n: number, dateTime: number): AuctionEvent {
  const seller = random.below(4) > 0 ? hot(newestPerson(n)) : somePerson(random, n);
  const initialBid = price(random);
  return {
    id: FIRST_ID + newestAuction(n),
    itemName: random.text(12),
    description: random.text(60),
    initialBid,
    reserve: initialBid + price(random),
    dateTime,
    expires: dateTime + 1 + random.below(20_000),
    seller: FIRST_ID + seller,
    category: 10 + random.below(5),
    extra: random.text(220),
  };
}

function bid(random: Random, n: number, dateTime: number): BidEvent {
  const auction = random.below(2) > 0 ? hot(newestAuction(n)) : someAuction(random, n);
  const bidder = random.below(4) > 0 ? hot(newestPerson(n)) + 1 : somePerson(random, n);
  return {
    auction: FIRST_ID + auction,
    bidder: FIRST_ID + bidder,
    price: price(random),
    channel: random.below(2) > 0 ? random.oneOf(CHANNELS) : `channel-${random.below(10_000)}`,
    url: `https://www.nexmark.com/${random.text(5)}/item.htm?query=1`,
    dateTime,
    extra: random.text(20),
  };
}

/** Cents, log-uniform from 1 to 1,000,000 dollars. */
function price(random: Random): number {
  return Math.round(10 ** (random.next() * 6) * 100);
}

/** Marsaglia's xorshift32 (2003), and letters cut from one long random text, since letters are most of an event. */
class Random {
  private state: number;
  private readonly letters: string;

  constructor(seed: number) {
    this.state = Math.imul(seed, 0x9e3779b1) | 1;
    let letters = '';
    for (let i = 0; i < 8_192; i++) letters += String.fromCharCode(97 + this.below(26));
    this.letters = letters;
  }

  /** In [0, 1). */
  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return (x >>> 0) / 2 ** 32;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  oneOf<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  text(length: number): string {
    const at = this.below(this.letters.length - length);
    return this.letters.slice(at, at + length);
  }
}
