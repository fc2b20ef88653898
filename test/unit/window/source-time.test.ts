/**
 * How far event time is on one source. Publications are on the broker's clock; the delay of a record is how long after its
 * event time it was published.
 *
 *   published   ●──────●───────────────────?──●
 *   watermark   └ t − disorder             │  │
 *                       stands: idleAfter ─┤  └ what comes next is in time if its delay has not grown by more
 *                                          └─► goes on with the clock
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { NO_TIME, SourceTime, type SourceTimeRules } from '../../../lib/window/source-time.ts';
import { END_MS } from '../../../lib/window/watermark.ts';

const RULES: SourceTimeRules = { maxOutOfOrderMs: 1_000, idleAfterMs: 10_000, maxDelayMs: null };
const start = (more: Partial<SourceTimeRules> = {}) => new SourceTime({ ...RULES, ...more }, NO_TIME);

describe('a source in time', () => {
  test('is complete to the latest record less its disorder', () => {
    const time = start();
    time.record(500_000, 600_000);
    assert.equal(time.watermarkMs, 499_000);
    time.record(400_000, 600_001);
    assert.equal(time.watermarkMs, 499_000);
    time.record(500_500, 600_002);
    assert.equal(time.watermarkMs, 499_500);
  });

  test('is not complete beyond the present, also when the clock comes near a record from the future', () => {
    const time = start();
    time.record(600_000 + 3_540_000, 600_000);
    assert.equal(time.watermarkMs, 599_000);
    time.record(601_000, 602_000);
    assert.equal(time.watermarkMs, 600_000, 'one record 59 minutes ahead makes nobody late');
  });

  test('goes on with the clock, idleAfter behind it, when it is quiet', () => {
    const time = start();
    time.record(500_000, 600_000);
    time.looked(610_000);
    assert.equal(time.watermarkMs, 499_000);
    time.looked(610_500);
    time.looked(613_000);
    assert.equal(time.watermarkMs, 502_000);
    time.looked(612_000);
    assert.equal(time.watermarkMs, 502_000, 'an answer that was overtaken says nothing');
    assert.equal(time.quietMs, 13_000);
  });

  test('has not moved while nobody has spoken, and remembers the clock', () => {
    const time = start();
    time.looked(700_000);
    assert.deepEqual([time.watermarkMs, time.clockMs, time.quietMs], [NO_TIME.watermarkMs, 700_000, NO_TIME.quietMs]);
  });

  test('takes what comes after any silence, if its delay has grown by no more than idleAfter', () => {
    const delay = fc.nat(RULES.idleAfterMs);
    fc.assert(
      fc.property(fc.array(fc.record({ gapMs: fc.nat(100_000), delayMs: delay, looksMs: fc.nat(100_000) })), steps => {
        const time = start({ maxOutOfOrderMs: 0 });
        let nowMs = 1_000_000;
        let leastDelayMs = Number.POSITIVE_INFINITY;
        for (const { gapMs, delayMs, looksMs } of steps) {
          if (looksMs < gapMs) time.looked(nowMs + looksMs);
          nowMs += gapMs;
          const eventMs = nowMs - delayMs;
          const isDue = delayMs <= Math.min(leastDelayMs, RULES.idleAfterMs) + RULES.idleAfterMs;
          time.published(nowMs);
          const lastMs = time.watermarkMs;
          // Out of order within less than a gap is `maxOutOfOrder`'s; a gap of more than the delays is not.
          if (isDue && gapMs >= 2 * RULES.idleAfterMs) assert.ok(eventMs >= lastMs, `${eventMs} is late for ${lastMs}`);
          time.record(eventMs, nowMs);
          leastDelayMs = Math.min(leastDelayMs, delayMs);
          assert.ok(time.watermarkMs <= nowMs);
        }
      }),
    );
  });

  test('is at the same place after the same messages, however it was looked at meanwhile, and wherever it was resumed', () => {
    const step = fc.record({
      gapMs: fc.nat(30_000),
      delayMs: fc.integer({ min: -60_000, max: 60_000 }),
      looksMs: fc.array(fc.nat(30_000), { maxLength: 3 }),
      isResumed: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step), steps => {
        const [seen, unseen] = [start(), start()];
        let resumed = start();
        let nowMs = 1_000_000;
        for (const { gapMs, delayMs, looksMs, isResumed } of steps) {
          for (const lookMs of looksMs) {
            if (lookMs > gapMs) continue;
            seen.looked(nowMs + lookMs);
            resumed.looked(nowMs + lookMs);
            if (isResumed) resumed = new SourceTime(RULES, { ...resumed });
          }
          nowMs += gapMs;
          for (const time of [seen, unseen, resumed]) time.record(nowMs - delayMs, nowMs);
          const { watermarkMs, clockMs, quietMs } = unseen;
          for (const time of [seen, resumed]) {
            assert.deepEqual([time.watermarkMs, time.clockMs, time.quietMs], [watermarkMs, clockMs, quietMs]);
          }
        }
      }),
    );
  });

  test('believes its sender, who may be ahead of the clock, and says end when nothing more is to come', () => {
    const time = start();
    time.published(600_000);
    time.complete(9_000_000);
    assert.equal(time.watermarkMs, 9_000_000);
    time.complete(8_000_000);
    assert.equal(time.watermarkMs, 9_000_000);
    time.complete(END_MS);
    time.looked(900_000_000);
    assert.equal(time.watermarkMs, END_MS, 'there is no time beyond the end');
  });

  test('is never further behind the clock than its author says that it publishes', () => {
    const time = start({ maxDelayMs: 5_000 });
    time.looked(600_000);
    assert.equal(time.watermarkMs, 595_000);
    time.looked(601_000);
    assert.equal(time.watermarkMs, 596_000);
    time.record(100, 602_000);
    assert.equal(time.watermarkMs, 597_000);
    time.looked(700_000);
    assert.equal(time.watermarkMs, 695_000);
  });
});
