/** The judge of the chaos program must see what is wrong: each kind of it, made on purpose. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerOf } from '../../chaos/answer.ts';
import { compare, longestSilenceMs } from '../../chaos/judge.ts';

const orders = [1, 2, 3, 4].map(n => ({
  id: `e${n}`,
  order: n < 3 ? 'o1' : `o${n}`,
  city: 'Cork',
  amount: n,
  at: n * 100,
}));
const wanted = answerOf({ orders, payments: [] });
const right = { wanted, rows: wanted, letters: [] };

function judged(change: Partial<typeof wanted>, letters: readonly string[] = []): string[] {
  return compare({ wanted, rows: { ...wanted, ...change }, letters });
}

test('the answer itself is right, and so are rows of different keys in another order', () => {
  assert.deepEqual(compare(right), []);
  const [a, b, c, d] = wanted.unique as [string, string, string, string];
  assert.deepEqual(judged({ unique: [d, a, c, b], paid: wanted.paid.toReversed() }), []);
});

test('a row that is lost, doubled or wrong is told as such', () => {
  const [first, ...rest] = wanted.paid as [string, ...string[]];
  assert.match(judged({ paid: rest }).join(), /^paid: of 4 rows 1 lost, 0 doubled, 0 wrong; lost e\.g\. {"id":"e1"/);
  assert.match(
    judged({ paid: [first, ...wanted.paid] }).join(),
    /^paid: of 4 rows 0 lost, 1 doubled, 0 wrong; too many/,
  );
  assert.match(
    judged({ paid: ['{}', ...rest] }).join(),
    /^paid: of 4 rows 1 lost, 0 doubled, 1 wrong; .*too many e\.g\. {}/,
  );
});

test('rows of one key in another order, and a source read in another order, are told', () => {
  const [a, b, c, d] = wanted.unique as [string, string, string, string];
  assert.match(judged({ unique: [b, a, c, d] }).join(), /^unique: {"id":"e1".* comes after a later row of its order$/);
  assert.match(
    judged({ audit: wanted.audit.toReversed() }).join(),
    /^audit: row 0 is {"id":"e4".* should be {"id":"e1"/,
  );
});

test('of a pipeline that stands rows may be missing, and what is there must be right all the same', () => {
  const partial = (change: Partial<typeof wanted>) =>
    compare({ wanted, rows: { ...wanted, ...change }, letters: [], isPartial: true });
  const [a, b, c, d] = wanted.audit as [string, string, string, string];
  assert.deepEqual(partial({ audit: [a, b], unique: [c, a], paid: [], sums: [], unpaid: wanted.unpaid.slice(1) }), []);
  assert.match(partial({ paid: ['{}'] }).join(), /^paid: of 4 rows 4 lost, 0 doubled, 1 wrong/);
  assert.match(partial({ unpaid: [wanted.unpaid[0]!, wanted.unpaid[0]!] }).join(), /^unpaid: .* 1 doubled, 0 wrong/);
  assert.match(partial({ audit: [a, c] }).join(), /^audit: row 1 is {"id":"e3".* should be {"id":"e2"/);
  assert.match(partial({ unique: [b, a, d] }).join(), /^unique: {"id":"e1".* comes after a later row of its order$/);
});

test('a letter is told', () => {
  assert.match(
    judged({}, ['millrace.story.late.x {}']).join(),
    /^letters: 1 that should not be, e\.g\. millrace\.story\.late\.x/,
  );
});

test('silence is what passes from the first that is unanswered to the next result', () => {
  const at = (...times: number[]) => times.map(storedMs => ({ storedMs }));
  assert.equal(longestSilenceMs({ stored: at(0, 10, 500), results: at(5, 12, 501) }), 5);
  assert.equal(longestSilenceMs({ stored: at(0, 10, 20, 30), results: at(5, 900) }), 890);
});
