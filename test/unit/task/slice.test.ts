/** The slice: when a batch ends since it took its time, whatever is left of it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SLICE_MS, Slice } from '../../../lib/task/slice.ts';

/** Batches of records that take so long each, on a clock that counts how often it is looked at. */
class Work {
  looks = 0;
  #nowMs = 0;
  readonly slice = new Slice({
    monotonic: () => {
      this.looks++;
      return this.#nowMs;
    },
  });

  wait(ms: number): void {
    this.slice.rest();
    this.#nowMs += ms;
    this.slice.goOn();
  }

  /** How many of them the batch took. */
  batch(recordMs: number, { recordsMax = 10_000, isHeld = false } = {}): number {
    this.slice.begin();
    let records = 0;
    do {
      records++;
      if (!isHeld) this.#nowMs += recordMs;
    } while (!this.slice.isOver() && records < recordsMax);
    if (isHeld) this.#nowMs += records * recordMs;
    this.slice.end();
    return records;
  }
}

describe('a slice', () => {
  test('ends a batch of slow records after its time, and one of fast ones never', () => {
    assert.equal(new Work().batch(20), SLICE_MS / 20);
    assert.equal(new Work().batch(0.001), 10_000);
  });

  test('takes one of the slowest at a time', () => {
    const work = new Work();
    for (let i = 0; i < 5; i++) assert.equal(work.batch(4_500), 1);
  });

  test('does not run on for long where fast records become slow', () => {
    const work = new Work();
    work.batch(0.001);
    assert.ok(work.batch(20) <= 26);
    assert.equal(work.batch(20), 10);
  });

  test('looks at the clock for few of the fast ones', () => {
    const work = new Work();
    work.batch(0.001);
    assert.ok(work.looks < 700, `${work.looks} looks`);
  });

  test('makes batches smaller whose records run after they are fed, and larger again', () => {
    const work = new Work();
    assert.equal(work.batch(20, { recordsMax: 1_000, isHeld: true }), 1_000);
    assert.ok(work.batch(20, { recordsMax: 1_000, isHeld: true }) <= 11);
    for (let i = 0; i < 10; i++) work.batch(0.001, { recordsMax: 1_000, isHeld: true });
    assert.equal(work.batch(0.001, { recordsMax: 1_000, isHeld: true }), 1_000);
  });

  test('does not count what is waited for', () => {
    const work = new Work();
    work.slice.begin();
    work.wait(10 * SLICE_MS);
    assert.equal(work.slice.isOver(), false);
    assert.equal(work.slice.end(), false);
  });
});
