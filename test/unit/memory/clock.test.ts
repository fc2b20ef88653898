import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sleep } from '../../../lib/base/clock.ts';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { Random } from '../../../lib/base/random.ts';
import { ProcessClock, SimClock } from '../../../lib/memory/clock.ts';

describe('the simulated clock', () => {
  test('runs timers in the order of their time, and stands where it was told to run to', async () => {
    const clock = new SimClock();
    const startMs = clock.now();
    const seen: string[] = [];
    for (const delayMs of [30, 10, 20, 31]) clock.after(delayMs, () => seen.push(`${delayMs} at ${clock.monotonic()}`));
    await clock.run(30);
    assert.deepEqual(seen, ['10 at 10', '20 at 20', '30 at 30']);
    assert.equal(clock.now(), startMs + 30);
    await clock.run(100);
    assert.equal(seen.length, 4);
    assert.equal(clock.monotonic(), 100);
  });

  test('lets everything that promises set going end before the next timer', async () => {
    const clock = new SimClock();
    const seen: string[] = [];
    clock.after(1, async () => {
      for (let i = 0; i < 100; i++) await null;
      seen.push('first');
    });
    clock.after(1, () => seen.push('second'));
    await clock.run(1);
    assert.deepEqual(seen, ['first', 'second']);
  });

  test('orders timers of one moment by the seed: always the same for one, not for all', async () => {
    const orders = new Set<string>();
    for (const seed of [1, 1, 2, 3, 4, 5]) {
      const clock = new SimClock({ random: new Random(seed) });
      const seen: number[] = [];
      for (let i = 0; i < 6; i++) clock.after(5, () => seen.push(i));
      await clock.run(5);
      orders.add(seen.join());
    }
    assert.equal(orders.size, 5);
  });

  test('forgets a timer that was cancelled', async () => {
    const clock = new SimClock();
    let called = 0;
    clock.after(5, () => called++)();
    clock.after(7, () => called++);
    await clock.run(10);
    assert.equal(called, 1);
  });

  test('runs through a promise, and says so when the world stands still before it settles', async () => {
    const clock = new SimClock();
    assert.equal(await clock.runThrough(sleep(clock, 3_600_000).then(() => 'done')), 'done');
    await assert.rejects(clock.runThrough(new Promise(() => undefined)), error => isMillraceError(error, 'INVARIANT'));
    await assert.rejects(clock.runThrough(Promise.reject(new Error('its own'))), /its own/);
  });
});

describe('a process’s clock', () => {
  test('holds back what comes due while frozen, and runs it in order when thawed', async () => {
    const world = new SimClock();
    const clock = new ProcessClock(world);
    const seen: string[] = [];
    clock.after(10, () => seen.push('10'));
    clock.soon(() => seen.push('soon'));
    clock.after(20, () => seen.push('20'));
    clock.after(30, () => seen.push('30'));
    await world.run(5);
    clock.freeze();
    await world.run(25);
    assert.deepEqual(seen, ['soon']);
    clock.thaw();
    await world.run(26);
    assert.deepEqual(seen, ['soon', '10', '20']);
    await world.run(30);
    assert.deepEqual(seen, ['soon', '10', '20', '30']);
  });

  test('never runs anything again once killed, thawed or not', async () => {
    const world = new SimClock();
    const clock = new ProcessClock(world);
    clock.after(10, () => assert.fail('it ran'));
    clock.freeze();
    await world.run(15);
    clock.kill();
    clock.thaw();
    clock.after(1, () => assert.fail('it ran'));
    await world.run(100);
  });

  test('does not run a timer that was cancelled while it was held back', async () => {
    const world = new SimClock();
    const clock = new ProcessClock(world);
    const cancel = clock.after(10, () => assert.fail('it ran'));
    clock.freeze();
    await world.run(15);
    cancel();
    clock.thaw();
    await world.run(100);
  });
});
