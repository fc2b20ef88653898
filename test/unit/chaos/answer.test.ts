/** The batch answer of the chaos program, on tables that can be read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerOf, excessDisorderMs } from '../../chaos/answer.ts';

const first = { id: 'e1', order: 'o1', city: 'Cork', amount: 5, at: 10_000 };
const second = { id: 'e2', order: 'o2', city: 'Cork', amount: 7, at: 11_999 };

test('repeats count once, payments count within their time, windows count rows, and the audit keeps all in order', () => {
  const beat = { id: '', order: '', city: '', amount: 0, at: 20_000, beat: true };
  const payments = [
    { order: 'o1', no: 1, at: 9_600 },
    { order: 'o1', no: 2, at: 11_200 },
    { order: 'o1', no: 3, at: 11_201 },
    { order: 'o2', no: 4, at: 11_598 },
  ];
  const answer = answerOf({ orders: [first, second, first, beat], payments });
  const row = { country: 'Ireland', city: 'Cork' };
  const texts = (rows: readonly { id: string; amount: number; no: number | null }[]) =>
    rows.map(({ id, amount, no }) => JSON.stringify({ id, city: row.city, amount, no, country: row.country }));
  assert.deepEqual(
    answer.audit,
    [first, second, first].map(one => JSON.stringify(one)),
  );
  assert.deepEqual(
    answer.unique,
    [first, second].map(one => JSON.stringify(one)),
  );
  assert.deepEqual(
    answer.paid,
    texts([
      { id: 'e1', amount: 5, no: 1 },
      { id: 'e1', amount: 5, no: 2 },
      { id: 'e2', amount: 7, no: null },
    ]),
  );
  assert.deepEqual(answer.unpaid, texts([{ id: 'e2', amount: 7, no: null }]));
  assert.deepEqual(answer.sums, [JSON.stringify({ city: 'Cork', start: 10_000, end: 12_000, rows: 3, amount: 17 })]);
});

test('a load that is more out of order than it declares is known as such', () => {
  const of = (...times: number[]) => excessDisorderMs(times.map(at => ({ at, storedMs: 6_000 })));
  assert.equal(of(5_000, 4_000, 6_000), 0);
  assert.equal(of(5_000, 3_700, 6_000), 300);
  assert.equal(of(5_000, 3_600_000, 5_000), 0, 'no event is later than the broker has it');
});
