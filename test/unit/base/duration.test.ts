/** Durations: what is read, what is refused, and with which words. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { durationMs, durationText, positiveDurationMs, spanText } from '../../../lib/base/duration.ts';

describe('durations', () => {
  test('each unit and their sums are read as ms', () => {
    const table: [string | number, number][] = [
      ['500ms', 500],
      ['30s', 30_000],
      ['5m', 300_000],
      ['2h', 7_200_000],
      ['1d', 86_400_000],
      ['1w', 604_800_000],
      ['1h30m', 5_400_000],
      ['1d2h3m4s5ms', 93_784_005],
      ['0s', 0],
      ['1.5h', 5_400_000],
      ['0.29s', 290],
      [1234, 1234],
      [0, 0],
    ];
    for (const [text, ms] of table) assert.equal(durationMs(text), ms, String(text));
    assert.ok(Object.is(durationMs(-0), 0));
  });

  test('what is not a duration is refused with the name of the setting and an example', () => {
    for (const bad of [
      '',
      ' ',
      '30 s',
      's',
      '-5s',
      '5x',
      '30m1h',
      '1s1s',
      '1e3s',
      '0.1ms',
      '1.s',
      -1,
      1.5,
      NaN,
      Infinity,
    ]) {
      assert.throws(() => durationMs(bad, 'window size'), {
        code: 'INVALID_ARGUMENT',
        message: /^window size .* write e\.g\. '500ms'/,
      });
    }
    assert.throws(() => durationMs('30', 'gap'), { message: "gap '30' has no unit: write 30s or 30ms" });
    assert.throws(() => durationMs(null as never), { code: 'INVALID_ARGUMENT', message: /null is neither text nor/ });
    assert.throws(() => durationMs('99999999999999w'), { code: 'INVALID_ARGUMENT' });
  });

  test('a size must be more than nothing', () => {
    assert.equal(positiveDurationMs('1ms'), 1);
    assert.throws(() => positiveDurationMs('0s', 'gap'), {
      code: 'INVALID_ARGUMENT',
      message: /^gap '0s' must be more/,
    });
  });

  test('a duration shown as text is read back as the same duration', () => {
    assert.equal(durationText(90_000), '1m30s');
    assert.equal(durationText(0), '0s');
    fc.assert(fc.property(fc.nat({ max: 10_000_000_000 }), ms => durationMs(durationText(ms)) === ms));
  });

  test('a span is told in two units at most, and in no small ones where it is long', () => {
    const told = [-5, 0, 0.4, 70, 999, 1_500, 59_999, 60_000, 90_061, 3_601_000, 90_061_000, 147_015_082].map(spanText);
    const expected = ['0s', '0s', '0s', '70ms', '999ms', '1s', '59s', '1m', '1m30s', '1h', '1d1h', '1d16h'];
    assert.deepEqual(told, expected);
  });
});
