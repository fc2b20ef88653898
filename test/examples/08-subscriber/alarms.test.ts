/** Alarms for readings that are too hot. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testPipeline } from 'millrace/testing';
import alarms from './alarms.ts';
import events from './events.ts';

test('a reading above 80 degrees is an alarm, in the order of its sensor', () => {
  const driver = testPipeline(alarms);
  for (const { subject, data } of events) driver.push(subject, data);
  const rows = driver.read<{ sensor: string; celsius: number; at: string }>('plant.alarm.*');
  assert.ok(rows.length > 2);
  assert.ok(rows.every(row => row.value.celsius > 80));
  for (const sensor of ['s0', 's1', 's2', 's3']) {
    const times = rows.filter(row => row.key === sensor).map(row => row.timeMs);
    assert.deepEqual(
      times,
      times.toSorted((a, b) => a - b),
    );
  }
});
