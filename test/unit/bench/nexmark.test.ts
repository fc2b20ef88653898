/** The bench's events: the same on every machine, and with the benchmark's proportions. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { type AuctionEvent, type BidEvent, bidsOf, nexmark, withCopies } from '../../bench/nexmark.ts';

const EVENTS = 50_000;
const bids: BidEvent[] = [];
const auctions: AuctionEvent[] = [];
for (const { kind, event } of nexmark({ events: EVENTS })) {
  if (kind === 'bid') bids.push(event);
  else if (kind === 'auction') auctions.push(event);
}

function shareOf(bids: readonly BidEvent[], is: (bid: BidEvent) => boolean): number {
  return bids.filter(is).length / bids.length;
}

describe('nexmark events', () => {
  test('are the same on every machine', () => {
    const hash = createHash('sha256');
    for (const event of nexmark({ events: 10_000 })) hash.update(JSON.stringify(event));
    assert.equal(hash.digest('hex'), '257e2152a83ee59b94b0773818ee3195cb853d80bd97fbc16aa9e0588b4ad81d');
  });

  test('come as one person, three auctions and 46 bids of every fifty, in order of time', () => {
    assert.equal(bids.length, (EVENTS / 50) * 46);
    assert.equal(auctions.length, (EVENTS / 50) * 3);
    for (let i = 1; i < bids.length; i++) assert.ok(bids[i - 1]!.dateTime <= bids[i]!.dateTime);
    assert.equal(bids[bids.length - 1]!.dateTime - bids[0]!.dateTime, 4_999);
  });

  test('number their auctions without gaps, and bid on what is recent or about to come', () => {
    for (const [i, auction] of auctions.entries()) assert.equal(auction.id, 1_000 + i);
    let newest = 0;
    let next = 0;
    for (const bid of bids) {
      while (next < auctions.length && auctions[next]!.dateTime <= bid.dateTime) newest = auctions[next++]!.id;
      assert.ok(bid.auction <= newest + 13 && bid.auction >= newest - 120, `${bid.auction} at ${newest}`);
    }
  });

  test('let half of the bids go to a hot auction and three of four come from a hot bidder', () => {
    const hotAuctions = shareOf(bids, bid => bid.auction % 100 === 0);
    const hotBidders = shareOf(bids, bid => bid.bidder % 100 === 1);
    assert.ok(Math.abs(hotAuctions - 0.5) < 0.02, `${hotAuctions}`);
    assert.ok(Math.abs(hotBidders - 0.75) < 0.02, `${hotBidders}`);
  });

  test('repeat every fifth bid after 500 others when copies are asked for', () => {
    const first = bids.slice(0, 5_000);
    const sent = [...withCopies(first)];
    assert.equal(sent.length, 6_000);
    assert.equal(sent.filter(bid => bid === first[0]).length, 2);
    assert.equal(sent.filter(bid => bid === first[1]).length, 1);
    assert.equal(sent.lastIndexOf(first[0]!) - sent.indexOf(first[0]!), 501);
  });

  test('differ with the seed', () => {
    const [one] = bidsOf(nexmark({ events: 50, seed: 1 }));
    const [other] = bidsOf(nexmark({ events: 50, seed: 2 }));
    assert.notDeepEqual(one, other);
  });
});
