/** Which windows hold a moment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  endOf,
  firstWindowAt,
  lastEndedBy,
  lastWindowAt,
  panesOf,
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

test('every window is a whole number of panes, and no pane is cut by a window', () => {
  fc.assert(
    fc.property(windows, moment, (w, t) => {
      const panes = panesOf(w);
      const pane = lastWindowAt(panes, t);
      assert.ok(holds(panes, pane, t));
      for (let i = lastWindowAt(w, t) - 3; i <= lastWindowAt(w, t) + 3; i++) {
        assert.equal(startOf(panes, lastWindowAt(panes, startOf(w, i))), startOf(w, i));
        assert.equal(startOf(panes, lastWindowAt(panes, endOf(w, i))), endOf(w, i));
        assert.equal(holds(w, i, startOf(panes, pane)), holds(w, i, t));
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
