/** What the demo shows, drawn from a view by hand. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { drawLine, drawTable, type View } from '../../demo/screen.ts';

const view: View = {
  title: 'a demo',
  phase: 'publishing',
  published: 1_500,
  publishedMax: 3_000,
  eventsPerSecond: 1_234.4,
  outputs: [{ subject: 'a.*', expected: 2_000, verified: 999, surplus: 1, rowsPerSecond: 12.6 }],
  deadLetters: { expected: 3, got: 2 },
  late: { expected: 1, got: 0 },
  p50Ms: 4.25,
  p99Ms: 1_520,
  kills: 0,
  latest: 'the newest row',
};

describe("the demo's screen", () => {
  test('shows progress, rates, latency and what is verified', () => {
    const lines = drawTable(view);
    assert.equal(lines[0], 'a demo');
    assert.equal(lines[1], `${'█'.repeat(16)}${'░'.repeat(16)} 50 %   1,500 events, 1,234/s`);
    assert.equal(lines[2], 'latency p50 4.3 ms, p99 1.5 s   publishing');
    assert.match(lines[5]!, /^a\.\* +2,000 +999 +1 +13$/);
    assert.match(lines[6]!, /^dead letters +3 +2/);
    assert.equal(lines.at(-1), 'the newest row');
  });

  test('shows dashes before the first row and kills only when there were some', () => {
    const [, bar, latency] = drawTable({ ...view, p50Ms: null, p99Ms: null, kills: 9, publishedMax: 0 });
    assert.equal(latency, 'latency p50 –, p99 –   publishing');
    assert.match(bar!, / 0 % .* worker killed 9 ×$/);
    assert.ok(!drawTable(view)[1]!.includes('killed'));
  });

  test('says the same in one line where there is no terminal', () => {
    assert.equal(
      drawLine(view),
      '1,500 of 3,000 events (1,234/s) · verified 999 of 2,000 · wrong 1 · p50 4.3 ms p99 1.5 s · publishing',
    );
  });
});
