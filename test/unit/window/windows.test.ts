/** Which windows hold a moment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  endOf,
  firstWindowAt,
  hopsOf,
  lastEndedBy,
  lastWindowAt,
  Panes,
  startOf,
  type Windows,
} from '../../../lib/window/windows.ts';

const windows = fc.record({
  sizeMs: fc.integer({ min: 1, max: 50 }),
  advanceMs: fc.integer({ min: 1, max: 60 }),
  offsetMs: fc.nat(40),
});
const moment = fc.integer({ min: -300, max: 300 });
const holds = (w: Windows, i: number, t: number) => startOf(w, i) <= t && t < endOf(w, i);

test('the windows from first to last are all that hold a moment', () => {
  fc.assert(
    fc.property(windows, moment, (w, t) => {
      const first = firstWindowAt(w, t);
      const last = lastWindowAt(w, t);
      for (let i = first - 3; i <= last + 3; i++) assert.equal(holds(w, i, t), i >= first && i <= last);
    }),
  );
});

test('the last window that has ended by a moment has, and the next has not', () => {
  fc.assert(
    fc.property(windows, moment, (w, t) => {
      const last = lastEndedBy(w, t);
      assert.ok(endOf(w, last) <= t && endOf(w, last + 1) > t);
    }),
  );
});

test('every window is a whole number of panes, no pane is cut by a window, and there are two for each hop at most', () => {
  fc.assert(
    fc.property(windows, moment, (w, t) => {
      const panes = new Panes(w);
      const pane = panes.at(t);
      assert.ok(panes.startOf(pane) <= t && t < panes.startOf(pane + 1));
      for (let i = lastWindowAt(w, t) - 3; i <= lastWindowAt(w, t) + 3; i++) {
        assert.equal(panes.startOf(panes.firstOf(i)), startOf(w, i));
        assert.equal(panes.startOf(panes.endOf(i)), endOf(w, i));
        assert.equal(holds(w, i, panes.startOf(pane)), holds(w, i, t));
        assert.ok(panes.endOf(i) - panes.firstOf(i) <= 2 * hopsOf(w));
      }
    }),
  );
});

test('before the first watermark no window has ended', () => {
  assert.equal(
    lastEndedBy({ sizeMs: 10, advanceMs: 10, offsetMs: 3 }, Number.NEGATIVE_INFINITY),
    Number.NEGATIVE_INFINITY,
  );
});
