/** Texts as times: the same as the runtime's where a text is a day and time of the calendar, and none where it is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isoTimeMs, whyNoTime } from '../../../lib/window/iso-time.ts';

test('any time that a clock can show is read, with a zone or without, to the ms', () => {
  const year = fc.oneof(
    fc.integer({ min: 0, max: 9999 }),
    fc.constantFrom(0, 1, 4, 50, 99, 100, 1900, 2000, 2024, 9999),
  );
  const fields = fc.tuple(year, ...[12, 31, 24, 60, 60, 1000].map(size => fc.nat(size - 1)));
  const pad = (value: number, digits = 2) => String(value).padStart(digits, '0');
  const reads = ([y, mo, d, h, mi, s, ms]: readonly number[], [zone, aheadMin]: readonly [string, number]) => {
    const at = new Date(0);
    at.setUTCFullYear(y!, mo!, d! + 1);
    at.setUTCHours(h!, mi!, s!, ms!);
    const day = `${pad(y!, 4)}-${pad(mo! + 1)}-${pad(d! + 1)}`;
    const isDay = at.getUTCMonth() === mo;
    const wanted = (...[hours, minutes, seconds, millis]: number[]) =>
      isDay ? new Date(at).setUTCHours(hours!, minutes, seconds, millis) : Number.NaN;
    assert.equal(isoTimeMs(day), wanted(0, 0, 0, 0));
    const shiftMs = aheadMin * 60_000;
    for (const between of ['T', ' ']) {
      const minutes = `${day}${between}${pad(h!)}:${pad(mi!)}`;
      assert.equal(isoTimeMs(minutes + zone), wanted(h!, mi!, 0, 0) - shiftMs);
      assert.equal(isoTimeMs(`${minutes}:${pad(s!)}${zone}`), wanted(h!, mi!, s!, 0) - shiftMs);
      for (const [fraction, fractionMs] of [
        [pad(ms!, 3), ms!],
        [`${pad(ms!, 3)}999999`, ms!],
        [pad(ms!, 3)[0]!, Math.floor(ms! / 100) * 100],
      ] as const) {
        const text = `${minutes}:${pad(s!)}.${fraction}${zone}`;
        assert.equal(isoTimeMs(text), wanted(h!, mi!, s!, fractionMs) - shiftMs, text);
      }
    }
  };
  const zones = fc.constantFrom(
    ['', 0],
    ['Z', 0],
    ['+00', 0],
    ['+00:00', 0],
    ['-02', -120],
    ['+05:30', 330],
    ['-0930', -570],
    ['+23:59', 1439],
  ) as fc.Arbitrary<readonly [string, number]>;
  fc.assert(fc.property(fields, zones, reads), { numRuns: 20_000 });
});

test('texts of which the runtime makes some other time, or any at all, are none', () => {
  const none = [
    ...['2023-02-29', '2023-02-31', '2023-04-31T10:00:00Z', '1900-02-29', '2024-00-01', '2024-13-01', '2024-01-00'],
    ...['2024-01-01T24:00:00Z', '2024-01-01T24:00', '2016-12-31T23:59:60Z', '2024-01-01T10:60:00Z'],
    ...['2024-01-01T10:00:00+24:00', '2024-01-01T10:00:00+10:60', '2024-01-01T10:00:00 Z', '2024-01-01T10:00:00GMT'],
    ...[
      '2024-W01-1',
      '2024-001',
      '20240101',
      '20240101T100000Z',
      '2024-1-1',
      '2024-01',
      '2024',
      '50-01-01',
      '1/2/2024',
    ],
    ...['+012024-01-01', '-000001-01-01T00:00:00Z', '12024-01-01', ' 2024-01-01', '2024-01-01 ', '2024-01-01T', ''],
    ...['2024-01-01T10', '2024-01-01T10:00:00.', '2024-01-01T10:00:00,5', '2024-01-01Z', '2024-01-01T10:00:00z'],
    ...['yesterday', 'Mon, 01 Jan 2024 00:00:00 GMT', '2024-01-01\u0000', '٢٠٢٤-٠١-٠١', '2024‑01‑01'],
  ];
  for (const text of none) assert.ok(Number.isNaN(isoTimeMs(text)), text);
  assert.equal(isoTimeMs('0001-01-01 00:00:00'), -62_135_596_800_000);
  assert.equal(isoTimeMs('0050-01-01 00:00'), -60_589_296_000_000);
  assert.equal(isoTimeMs('0000-02-29'), Date.UTC(2000, 1, 29) - 5 * 400 * 365.2425 * 86_400_000);
  assert.equal(isoTimeMs('1969-12-31T23:59:59.999Z'), -1);
  assert.equal(isoTimeMs('2024-01-01 00:00:00+00'), 1_704_067_200_000);
});

test('of what is written as a time and is none, what there is not is said; of anything else nothing', () => {
  const said: readonly [text: string, why: RegExp | null][] = [
    ['2023-02-31', /no such day/],
    ['2023-02-31T99:00:00+99:00', /no such day/],
    ['2024-01-01T24:00', /00:00 to 23:59:59/],
    ['2016-12-31T23:59:60-02', /00:00 to 23:59:59/],
    ['2024-01-01T10:00:00.5+24:00', /no such zone/],
    ['2024-02-29', null],
    ['2024-02-29T10:00Z', null],
    ['noon', null],
    ['2024-2-31', null],
  ];
  for (const [text, why] of said) {
    if (why === null) assert.equal(whyNoTime(text), null, text);
    else assert.match(whyNoTime(text) ?? '', why, text);
  }
});
