/**
 * The bench as a test: every query in small, through a real broker and a worker process, each
 * shape once. Fails on wrong rows, never on time: how fast it was is the bench's business.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { Closing } from '../rig/closing.ts';
import type { Query } from './answers.ts';
import type { Shape } from './input.ts';
import { type RunResult, runQuery } from './run.ts';

const closing = new Closing();
after(() => closing.run());
let said: string[] = [];
const say = (text: string) => void said.push(text);

/** Five minutes of event time, so slow that windows close, and bids come both within and beyond the join's ten seconds. */
const small = { events: 30_000, eventsPerSecond: 100, live: { eventsPerSecond: 1, seconds: 0 }, closing, say };

async function assertCorrect(query: Query, shape: Shape, { raw = false, live = small.live } = {}): Promise<RunResult> {
  said = [];
  const result = await runQuery({ ...small, query, shape, raw, live });
  assert.ok(result.rowsExpected > 50, `${result.rowsExpected} rows prove nothing`);
  assert.equal(result.rows, result.rowsExpected, said.join('\n'));
  assert.ok(result.correct, 'the rows are as many as they should be, but not the right ones');
  assert.equal(result.ofRaw === null, !raw);
  // What programs that run the bench with --json rely on.
  for (const field of ['events', 'eventsPerCpuSecond', 'wallSeconds', 'rssMb'] as const) assert.ok(result[field] > 0);
  assert.deepEqual([result.query, result.shape, result.p50Ms === null], [query, shape, live.seconds === 0]);
  return result;
}

describe('a pipeline between real processes gives the rows of the batch answer', () => {
  test('for q0, every write synced', async () => void (await assertCorrect('q0', 'safe')));
  for (const query of ['q2', 'qd', 'q5', 'q11'] as const)
    test(`for ${query}, in frames`, async () => void (await assertCorrect(query, 'framed')));
  test('for qj, one event a message, whose raw limit and latency can be told', async () => {
    const live = { eventsPerSecond: 200, seconds: 1, warmUpSeconds: 0 };
    const { p50Ms, p99Ms, maxMs } = await assertCorrect('qj', 'single', { raw: true, live });
    assert.ok(p50Ms !== null && p99Ms !== null && maxMs !== null && p50Ms > 0 && p99Ms >= p50Ms);
  });
});
