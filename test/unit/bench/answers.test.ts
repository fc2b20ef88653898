/** The bench's batch answers, on events few enough to work out by hand. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { answerOf, type Query, type Row, Tally } from '../../bench/answers.ts';
import type { NexmarkEvent } from '../../bench/nexmark.ts';

function bid(at: number, auction: number, bidder = 1, price = 5): NexmarkEvent {
  return { kind: 'bid', event: { auction, bidder, price, channel: '', url: '', dateTime: at, extra: '' } };
}

function auction(at: number, id: number): NexmarkEvent {
  const texts = { itemName: '', description: '', extra: '' };
  const event = { id, initialBid: 1, reserve: 1, dateTime: at, expires: at, seller: 7, category: 10, ...texts };
  return { kind: 'auction', event };
}

/** An event that closes every window before it. */
const end = auction(1_000_000, 999);

function assertRows(query: Query, events: readonly NexmarkEvent[], rows: readonly Row[]): void {
  const tally = new Tally(query, { lastMs: 1_000_000 });
  for (const row of rows) tally.add(row);
  assert.equal(tally.rows, rows.length);
  assert.deepEqual(answerOf(query, [...events, end]), tally.answer());
}

describe('batch answers', () => {
  test('q0 is every bid, q2 those on auctions divisible by 123', () => {
    const events = [bid(1, 123), auction(2, 5), bid(3, 124)];
    assertRows('q0', events, [
      { auction: 123, bidder: 1, price: 5, dateTime: 1 },
      { auction: 124, bidder: 1, price: 5, dateTime: 3 },
    ]);
    assertRows('q2', events, [{ auction: 123, price: 5 }]);
  });

  test('qd is every different bid once', () => {
    assertRows(
      'qd',
      [bid(1, 1), bid(1, 1), bid(2, 1)],
      [
        { auction: 1, bidder: 1, price: 5, dateTime: 1 },
        { auction: 1, bidder: 1, price: 5, dateTime: 2 },
      ],
    );
  });

  test('qj is every bid with its auction up to ten seconds away on either side', () => {
    const events = [bid(0, 5), auction(10_000, 5), bid(20_000, 5), bid(20_001, 5), bid(1, 6)];
    assertRows('qj', events, [
      { auction: 5, bidder: 1, price: 5, dateTime: 0, seller: 7, category: 10 },
      { auction: 5, bidder: 1, price: 5, dateTime: 20_000, seller: 7, category: 10 },
    ]);
  });

  test('q5 counts a bid in each of the five windows that hold it', () => {
    assertRows(
      'q5',
      [bid(10_000, 5), bid(11_999, 5), bid(12_000, 5)],
      [
        { auction: 5, start: 2_000, count: 2 },
        { auction: 5, start: 4_000, count: 3 },
        { auction: 5, start: 6_000, count: 3 },
        { auction: 5, start: 8_000, count: 3 },
        { auction: 5, start: 10_000, count: 3 },
        { auction: 5, start: 12_000, count: 1 },
      ],
    );
  });

  test('q11 keeps a session together over a gap of exactly ten seconds', () => {
    assertRows(
      'q11',
      [bid(20_001, 5), bid(0, 5), bid(10_000, 5), bid(3, 5, 2)],
      [
        { bidder: 1, start: 0, end: 10_000, count: 2 },
        { bidder: 1, start: 20_001, end: 20_001, count: 1 },
        { bidder: 2, start: 3, end: 3, count: 1 },
      ],
    );
  });

  test('leave out windows that end too close to the last event', () => {
    assert.equal(answerOf('q5', [bid(10_000, 5), bid(27_001, 6)]).rows, 1);
    assert.equal(answerOf('q11', [bid(10_000, 5), bid(35_000, 5, 2)]).rows, 1);
    assert.equal(answerOf('q11', [bid(10_000, 5), bid(34_999, 5, 2)]).rows, 0);
  });

  test('have a checksum that does not depend on order but on every field and on every repeat', () => {
    const sum = (rows: readonly Row[]) => {
      const tally = new Tally('q2', { lastMs: 0 });
      for (const row of rows) tally.add(row);
      return tally.answer().checksum;
    };
    const one = { auction: 1, price: 2 };
    const two = { auction: 2, price: 1 };
    assert.equal(sum([one, two]), sum([two, one]));
    assert.notEqual(sum([one, two]), sum([one, one]));
    assert.notEqual(sum([one, two]), sum([one, two, two]));
    assert.notEqual(sum([one]), sum([{ auction: 1, price: 3 }]));
  });
});
