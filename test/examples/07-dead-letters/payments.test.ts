/** A payment that fails is a dead letter, and passes when the mistake is mended. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testPipeline } from 'millrace/testing';
import events from './events.ts';
import mended from './mended.ts';
import payments from './payments.ts';

test('what fails is a dead letter as it was sent, and passes the mended pipeline', () => {
  const driver = testPipeline(payments);
  for (const { subject, data } of events) driver.push(subject, data);
  assert.deepEqual(
    driver.read<{ payment: string }>('bank.euros.*').map(row => row.value.payment),
    ['P-1', 'P-3'],
  );
  const [letter, ...more] = driver.dead();
  assert.deepEqual(more, []);
  assert.deepEqual(
    [letter?.code, letter?.message, letter?.subject],
    ['USER_CODE', 'no rate for NOK', 'bank.payment.received'],
  );

  const next = testPipeline(mended);
  next.push(letter?.subject ?? '', letter?.bytes);
  assert.deepEqual(
    next.read('bank.euros.*').map(row => row.value),
    [{ payment: 'P-2', euros: 50 }],
  );
});
