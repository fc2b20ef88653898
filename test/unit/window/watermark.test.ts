/** Watermarks over several inputs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InputWatermarks, NO_WATERMARK } from '../../../lib/window/watermark.ts';

const busy = (watermarkMs: number) => ({ watermarkMs, idle: false });
const idle = (watermarkMs: number) => ({ watermarkMs, idle: true });

test('the watermark is the least of the inputs', () => {
  const watermarks = new InputWatermarks({ inputs: 2 });
  watermarks.update(0, busy(100));
  assert.equal(watermarks.at(0), NO_WATERMARK);
  watermarks.update(1, busy(50));
  assert.equal(watermarks.at(0), 50);
  watermarks.update(1, busy(200));
  assert.equal(watermarks.at(0), 100);
});

test('an idle input holds nobody back, and rejoins at the current watermark', () => {
  const watermarks = new InputWatermarks({ inputs: 2 });
  watermarks.update(0, busy(100));
  watermarks.update(1, idle(50));
  assert.equal(watermarks.at(0), 100);
  watermarks.update(1, busy(60));
  assert.equal(watermarks.at(0), 100);
  watermarks.update(0, busy(150));
  assert.equal(watermarks.at(0), 100);
  watermarks.update(1, busy(120));
  assert.equal(watermarks.at(0), 120);
});

test('with all inputs idle it moves on with the wall clock, from the furthest of them', () => {
  const watermarks = new InputWatermarks({ inputs: 2 });
  watermarks.update(0, busy(100));
  watermarks.update(1, busy(50));
  assert.equal(watermarks.at(1_000), 50);
  watermarks.update(0, idle(100));
  watermarks.update(1, idle(50));
  assert.equal(watermarks.at(5_000), 100);
  assert.equal(watermarks.at(5_040), 140);
  assert.equal(watermarks.at(5_030), 140);
  watermarks.update(1, busy(110));
  assert.equal(watermarks.at(9_000), 140);
  watermarks.update(1, idle(110));
  assert.equal(watermarks.at(10_000), 140);
  assert.equal(watermarks.at(10_001), 141);
});

test('nothing moves while nobody has said anything', () => {
  const watermarks = new InputWatermarks({ inputs: 1 });
  watermarks.update(0, idle(NO_WATERMARK));
  assert.equal(watermarks.at(0), NO_WATERMARK);
  assert.equal(watermarks.at(1_000_000), NO_WATERMARK);
});

test('after a restart it goes on from where it was', () => {
  const watermarks = new InputWatermarks({ inputs: 1, watermarkMs: 70 });
  assert.equal(watermarks.at(0), 70);
  watermarks.update(0, busy(60));
  assert.equal(watermarks.at(0), 70);
  watermarks.update(0, busy(80));
  assert.equal(watermarks.at(0), 80);
});

test('it never goes back, whatever inputs and clock do', () => {
  const step = fc.record({ input: fc.nat(2), watermarkMs: fc.nat(1_000), idle: fc.boolean(), nowMs: fc.nat(1_000) });
  fc.assert(
    fc.property(fc.array(step), steps => {
      const watermarks = new InputWatermarks({ inputs: 3 });
      let before = NO_WATERMARK;
      for (const { input, nowMs, ...state } of steps) {
        watermarks.update(input, state);
        const now = watermarks.at(nowMs);
        assert.ok(now >= before);
        before = now;
      }
    }),
  );
});
