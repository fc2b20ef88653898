/** The soak's load and what it expects, held against a plain computation over all that was sent. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type Opening, type Reading, SoakLoad } from '../../bench/soak-load.ts';

const FROM_MS = 1_700_000_000_000;

function play(seconds: number): { load: SoakLoad; openings: Opening[]; readings: Reading[] } {
  const load = new SoakLoad({ fromMs: FROM_MS, eventsPerSecond: 500 });
  const openings: Opening[] = [];
  const readings: Reading[] = [];
  for (let ms = 0; ms < seconds * 1_000; ms += 10) {
    const tick = load.dueAt(FROM_MS + ms);
    openings.push(...tick.openings);
    readings.push(...tick.readings);
  }
  readings.push(...load.rest().readings);
  return { load, openings, readings };
}

function distinct(readings: readonly Reading[]): Reading[] {
  return [...new Map(readings.map(reading => [reading.id, reading])).values()];
}

describe("the soak's load", () => {
  test('sends every fifth reading twice, the second time at least two seconds later', () => {
    const { load, openings, readings } = play(20);
    const once = distinct(readings);
    assert.ok(Math.abs(readings.length / once.length - 1.2) < 0.01);
    assert.equal(load.sent, openings.length + readings.length);
  });

  test('reads devices that have opened, a minute long', () => {
    const { openings, readings } = play(90);
    const openedMs = new Map(openings.map(({ device, at }) => [device, at]));
    for (const { device, at } of readings) {
      const ageMs = at - (openedMs.get(device) ?? Number.POSITIVE_INFINITY);
      assert.ok(ageMs >= 0 && ageMs <= 60_100, `${device} after ${ageMs} ms`);
    }
  });

  test('expects what windows and join give, and forgets it when it has come', () => {
    const { load, openings, readings } = play(30);
    const totals = new Map<string, { device: string; start: number; count: number; total: number }>();
    const opened = new Map(openings.map(opening => [opening.device, opening]));
    for (const { id, device, value, at } of distinct(readings)) {
      const start = at - (at % 10_000);
      const total = totals.get(`${device} ${start}`) ?? { device, start, count: 0, total: 0 };
      totals.set(`${device} ${start}`, { ...total, count: total.count + 1, total: total.total + value });
      const opening = opened.get(device);
      if (opening !== undefined && at - opening.at <= 10_000) load.takeSite({ id, site: opening.site });
    }
    for (const row of totals.values()) load.takeTotal(row);
    assert.deepEqual([load.wrong, load.outstanding], [0, 0]);
    assert.ok(load.right > totals.size && totals.size > 100);
  });

  test('counts rows that come twice, say something else or were never expected', () => {
    const { load, readings } = play(1);
    const [{ device, at }] = readings as [Reading];
    const row = { device, start: at - (at % 10_000), count: 0, total: 0 };
    load.takeTotal(row);
    load.takeTotal(row);
    load.takeSite({ id: 'nobody', site: 'site-1' });
    assert.equal(load.wrong, 3);
    assert.equal(load.examples.length, 3);
  });
});
