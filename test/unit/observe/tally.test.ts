/** A meter behind a tally counts what it would have counted itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Meter } from '../../../lib/observe/meter.ts';
import { Metrics } from '../../../lib/observe/metrics.ts';
import { Tally, tellCounted } from '../../../lib/observe/tally.ts';

function work(meter: Meter): void {
  for (let i = 1; i <= 3; i++) {
    meter.read('orders', { records: 10 * i, bytes: 100 });
    meter.committed({ stage: 'by-id', partition: i % 2 }, i);
    meter.delivered('by-id', 20 * i);
    meter.sent('out', { records: i, bytes: 9 });
  }
  meter.read('clicks', { records: 1, bytes: 2 });
  meter.committed({ stage: 'clicks', partition: 0 }, 700);
  meter.ended({ late: 2, dead: 1, dropped: new Map([['filtered', 4]]) });
  meter.ended({
    late: 1,
    dead: 0,
    dropped: new Map([
      ['filtered', 1],
      ['duplicate', 1],
    ]),
  });
  meter.restarted('task');
  meter.restarted('task');
  meter.restarted('reader');
}

test('metrics are the same with a tally in between, however often it is read', async () => {
  const direct = new Metrics({ version: '1', processMetrics: false });
  const far = new Metrics({ version: '1', processMetrics: false });
  const tally = new Tally();
  for (let round = 0; round < 3; round++) {
    work(direct.meter('p'));
    work(tally);
    if (round !== 1) tellCounted(far.meter('p'), structuredClone(tally.take()!));
  }
  assert.equal(await far.text(), await direct.text());
});

test('where nothing was counted, nothing is told', () => {
  const tally = new Tally();
  assert.equal(tally.take(), null);
  work(tally);
  assert.notEqual(tally.take(), null);
  assert.equal(tally.take(), null);
});
