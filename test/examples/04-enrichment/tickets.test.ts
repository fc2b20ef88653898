/** Tickets meet the customers of a bucket. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testPipeline } from 'millrace/testing';
import events from './events.ts';
import tickets from './tickets.ts';

test('a ticket meets the row that its customer has when it comes', () => {
  const driver = testPipeline(tickets);
  driver.put('customers', 'c1', { name: 'Ada Lovelace', plan: 'free' });
  driver.put('customers', 'c1', { name: 'Ada Lovelace', plan: 'gold' });
  driver.put('customers', 'c2', { name: 'Alan Turing', plan: 'gold' });
  driver.delete('customers', 'c2');
  for (const { subject, data } of events) driver.push(subject, data);
  driver.put('customers', 'c3', { name: 'Grace Hopper', plan: 'gold' });
  assert.deepEqual(
    driver.read('support.queue.*').map(row => row.value),
    [
      { ticket: 'T-0', customer: 'Ada Lovelace', urgent: true },
      { ticket: 'T-1', customer: 'c2', urgent: false },
      { ticket: 'T-2', customer: 'c3', urgent: false },
    ],
  );
});
