/**
 * Watermarks over several writers, and who excuses whom.
 *
 *   a  ──●────●──●────●───  speaks
 *   b  ─────────────────── has never spoken: holds until its clock is `idleAfter` beyond a's first
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { InputWatermarks, NO_WATERMARK, type Voice } from '../../../lib/window/watermark.ts';

const IDLE_MS = 10_000;

type Said = { -readonly [F in keyof Voice]: Voice[F] };

function voice(more: Partial<Voice> = {}): Said {
  const silent = { watermarkMs: NO_WATERMARK, clockMs: Number.NEGATIVE_INFINITY, quietMs: Number.POSITIVE_INFINITY };
  return { name: 'some', idleAfterMs: IDLE_MS, skips: false, ...silent, ...more };
}

const over = (...voices: Voice[]) => new InputWatermarks({ voices });

describe('the watermark', () => {
  test('is the least of the writers', () => {
    const [a, b] = [voice({ watermarkMs: 100, clockMs: 1_000, quietMs: 0 }), voice()];
    const time = over(a, b);
    assert.equal(time.advance(), NO_WATERMARK);
    b.watermarkMs = 50;
    assert.equal(time.advance(), 50);
    b.watermarkMs = 200;
    assert.equal(time.advance(), 100);
  });

  test('waits for a writer that has spoken, however long it is quiet, as it moves by itself', () => {
    const a = voice({ watermarkMs: 900_000, clockMs: 1_000_000, quietMs: 0 });
    const b = voice({ watermarkMs: 100, clockMs: 1_000_000, quietMs: 999_000 });
    assert.equal(over(a, b).advance(), 100);
  });

  test('after a restart goes on from where it was', () => {
    const a = voice({ watermarkMs: 60 });
    const time = new InputWatermarks({ voices: [a], watermarkMs: 70 });
    assert.equal(time.advance(), 70);
    a.watermarkMs = 80;
    assert.equal(time.advance(), 80);
  });

  test('never goes back, whatever is said', () => {
    const moment = fc.oneof(fc.constant(Number.NEGATIVE_INFINITY), fc.nat(100_000));
    const step = fc.record({
      writer: fc.nat(2),
      watermarkMs: moment,
      clockMs: moment,
      quietMs: fc.nat(30_000),
      skips: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step), steps => {
        const voices = [voice(), voice(), voice()];
        const time = over(...voices);
        let before = NO_WATERMARK;
        for (const { writer, ...said } of steps) {
          Object.assign(voices[writer]!, said);
          const now = time.advance();
          assert.ok(now >= before);
          before = now;
        }
      }),
    );
  });
});

describe('a writer that has never spoken', () => {
  test('is waited for until its silence has lasted for idleAfter since another first spoke, and then not at all', () => {
    const a = voice({ watermarkMs: 100, clockMs: 50_000, quietMs: 0 });
    const b = voice({ clockMs: 49_500 });
    const time = over(a, b);
    assert.equal(time.advance(), NO_WATERMARK);
    for (const atMs of [55_000, 59_999]) {
      Object.assign(a, { watermarkMs: atMs - 49_900, clockMs: atMs });
      b.clockMs = atMs;
      assert.equal(time.advance(), NO_WATERMARK, `at ${atMs}`);
    }
    b.clockMs = 60_000;
    assert.equal(time.advance(), 10_099);
    Object.assign(b, { watermarkMs: 10_200, quietMs: 0 });
    a.watermarkMs = 20_000;
    assert.equal(time.advance(), 10_200, 'it has spoken, and is waited for');
  });

  test('is not waited for in a catch-up where it is known to have been empty all the time', () => {
    const a = voice({ watermarkMs: 100, clockMs: 50_000, quietMs: 0 });
    assert.equal(over(a, voice({ clockMs: 90_000_000 })).advance(), 100);
  });

  test('is waited for again when it is not heard any more while others go on: it may be cut off', () => {
    const a = voice({ watermarkMs: 100, clockMs: 50_000, quietMs: 0 });
    const b = voice({ clockMs: 60_000 });
    const time = over(a, b);
    assert.equal(time.advance(), 100);
    Object.assign(a, { watermarkMs: 13_000, clockMs: 63_000 });
    assert.equal(time.advance(), 13_000);
    Object.assign(a, { watermarkMs: 13_001, clockMs: 63_001 });
    assert.equal(time.advance(), 13_000);
    b.clockMs = 63_001;
    assert.equal(time.advance(), 13_001);
  });

  test('is waited for while nothing is known of it at all', () => {
    const a = voice({ watermarkMs: 100, clockMs: 50_000, quietMs: 0 });
    const time = over(a, voice());
    Object.assign(a, { watermarkMs: 900_000, clockMs: 950_000 });
    assert.equal(time.advance(), NO_WATERMARK);
  });

  test('moves nothing as long as nobody has spoken', () => {
    const time = over(voice({ clockMs: 1_000_000 }), voice({ clockMs: 1_000_000 }));
    assert.equal(time.advance(), NO_WATERMARK);
    assert.deepEqual([time.isSilent, time.clockMs], [true, 1_000_000]);
  });
});

describe('a writer that skips', () => {
  test('holds nobody back once it has been quiet for idleAfter, and does when it speaks again', () => {
    const a = voice({ watermarkMs: 20_000, clockMs: 50_000, quietMs: 0 });
    const b = voice({ watermarkMs: 100, clockMs: 50_000, quietMs: 9_999, skips: true });
    const time = over(a, b);
    assert.equal(time.advance(), 100);
    b.quietMs = 10_000;
    assert.equal(time.advance(), 20_000);
    Object.assign(b, { watermarkMs: 150, quietMs: 0 });
    a.watermarkMs = 30_000;
    assert.equal(time.advance(), 20_000);
  });

  test('does so only as long as its silence is fresh', () => {
    const a = voice({ watermarkMs: 20_000, clockMs: 53_001, quietMs: 0 });
    const b = voice({ watermarkMs: 100, clockMs: 50_000, quietMs: 30_000, skips: true });
    assert.equal(over(a, b).advance(), 100);
  });

  test('takes the watermark as far as the furthest when all of them are quiet', () => {
    const [a, b] = [500, 100].map(watermarkMs =>
      voice({ watermarkMs, clockMs: 50_000, quietMs: 30_000, skips: true }),
    ) as [Said, Said];
    assert.equal(over(a, b).advance(), 500);
  });
});

describe('who is waited for', () => {
  test('is the quiet writer that is behind, and nobody while all of them talk', () => {
    const a = voice({ name: 'orders', watermarkMs: 900, clockMs: 5_000, quietMs: 0 });
    const b = voice({ name: 'weather', watermarkMs: 100, clockMs: 5_000, quietMs: 0 });
    const time = over(a, b);
    const name = () => time.waitsFor?.name ?? null;
    assert.equal(name(), null);
    b.quietMs = 4_000;
    assert.equal(name(), 'weather');
    b.watermarkMs = NO_WATERMARK;
    assert.equal(name(), 'weather');
    b.watermarkMs = 1_000;
    assert.equal(name(), null);
  });
});
