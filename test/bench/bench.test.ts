/**
 * The bench as a test: every query in small, through a real broker and a worker process. Fails on wrong rows, never on
 * time: how fast it was is the bench's business.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { QUERIES } from './answers.ts';
import type { Shape } from './input.ts';
import { runQuery } from './run.ts';

/** Five minutes of event time, so slow that windows close, and bids come both within and beyond the join's ten seconds. */
const small = { events: 30_000, eventsPerSecond: 100, live: { eventsPerSecond: 1, seconds: 0 }, say() {} };

async function assertCorrect(query: (typeof QUERIES)[number], shape: Shape): Promise<void> {
  const result = await runQuery({ ...small, query, shape });
  assert.ok(result.rowsExpected > 50, `${result.rowsExpected} rows prove nothing`);
  assert.equal(result.rows, result.rowsExpected);
  assert.ok(result.correct, 'the rows are as many as they should be, but not the right ones');
}

describe('a pipeline between real processes gives the rows of the batch answer', () => {
  for (const query of QUERIES) test(`for ${query}, in frames`, () => assertCorrect(query, 'framed'));
  test('for qj, one event a message', () => assertCorrect('qj', 'single'));
});
