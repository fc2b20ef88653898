/** Customers in three versions come out in one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testPipeline } from 'millrace/testing';
import customers from './customers.ts';
import events from './events.ts';

test('every version is brought to the latest, and what fits none is a dead letter that says why', () => {
  const driver = testPipeline(customers);
  for (const { subject, data } of events) driver.push(subject, data);
  assert.deepEqual(
    driver.read('customers.changed.*').map(row => row.value),
    [
      { v: 3, id: '7', name: { first: 'Grace', last: 'Brewster Hopper' } },
      { v: 3, id: '8', name: { first: 'Alan', last: 'Turing' } },
      { v: 3, id: '9', name: { first: 'Ada', last: 'Lovelace' } },
    ],
  );
  const [letter, ...more] = driver.dead();
  assert.deepEqual(more, []);
  assert.equal(letter?.code, 'RECORD_INVALID');
  assert.deepEqual(letter?.value, events.at(-1)?.data);
});
