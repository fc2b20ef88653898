/** Reminders for what is not shipped. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testPipeline } from 'millrace/testing';
import deliveries from './deliveries.ts';

const placed = { kind: 'placed', order: 'A-1', at: '2026-03-02T08:00:00Z' };
const shipped = { kind: 'shipped', order: 'A-1', at: '2026-03-02T08:50:00Z' };

test('an order that is not shipped is called after an hour, then every half an hour, three times', () => {
  const driver = testPipeline(deliveries);
  driver.push('shop.delivery', placed);
  driver.advanceTo('2026-03-02T09:00:00Z');
  assert.deepEqual(driver.read(), [], 'the source may be a minute behind');
  driver.advance('2m');
  assert.deepEqual(
    driver.read().map(row => row.value),
    [{ order: 'A-1', reminders: 1, givenUp: false }],
  );
  driver.advance('1d');
  assert.deepEqual(
    driver.read().map(row => row.value),
    [
      { order: 'A-1', reminders: 2, givenUp: false },
      { order: 'A-1', reminders: 3, givenUp: true },
    ],
  );
});

test('one that is shipped in time is left alone, and nothing is kept of it', () => {
  const driver = testPipeline(deliveries);
  driver.push('shop.delivery', placed);
  assert.equal(driver.state('process-by-order', 'A-1').length, 2, 'a state and a timer');
  driver.push('shop.delivery', shipped);
  driver.finish();
  assert.deepEqual(driver.read(), []);
  assert.deepEqual(driver.state('process-by-order'), []);
});
