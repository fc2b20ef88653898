/** Orders that two services tell are taken once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testPipeline } from 'millrace/testing';
import events from './events.ts';
import orders from './orders.ts';

test('each order is taken once, from whoever was first', () => {
  const driver = testPipeline(orders);
  for (const { subject, data } of events) driver.push(subject, data);
  assert.deepEqual(
    driver.read('orders.accepted.*').map(row => row.value),
    [
      { order: 'A-1', total: 20, by: 'shop' },
      { order: 'A-2', total: 15, by: 'shop' },
      { order: 'B-9', total: 7.5, by: 'bridge' },
    ],
  );
  assert.deepEqual(driver.dropped, { duplicate: 2 });
});

test('an order of the same number two days later is another one', () => {
  const driver = testPipeline(orders);
  driver.push('shop.order.placed', { id: 'A-1', total: 20, at: '2026-03-02T08:00:00Z' });
  driver.push('shop.order.placed', { id: 'A-1', total: 99, at: '2026-03-04T08:00:00Z' });
  assert.equal(driver.read().length, 2);
});
