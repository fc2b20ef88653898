import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError } from '../../../lib/base/errors.ts';
import { failedPhase, nextStep, type Phase } from '../../../lib/host/reconcile.ts';
import { FakePipeline } from './fakes.ts';

const run = (revision: number) => ({ do: 'run', revision }) as const;
const clear = (revision: number) => ({ do: 'clear', revision }) as const;
const at = (nowMs: number) => ({ nowMs, engineUp: true });
const wait = { do: 'wait', untilMs: null };
const passing = new MillraceError('BROKER_UNAVAILABLE', 'no answer');
const lasting = new MillraceError('CHAIN_BROKEN', 'shorter than remembered');

function running(revision: number): Phase {
  return { kind: 'running', revision, pipeline: new FakePipeline('p', revision), sinceMs: 0, attempt: 0 };
}

function failed(revision: number, retryAtMs: number | null): Phase {
  return { kind: 'failed', revision, error: passing, attempt: 1, retryAtMs };
}

describe('nextStep', () => {
  test('starts what should run and leaves alone what runs', () => {
    assert.deepEqual(nextStep({ kind: 'idle' }, run(1), at(0)), { do: 'start', revision: 1 });
    assert.deepEqual(nextStep(running(1), run(1), at(0)), wait);
    assert.deepEqual(nextStep({ kind: 'idle' }, null, at(0)), wait);
  });

  test('stops first, whatever comes after: a newer revision, a delete, or nothing', () => {
    for (const wanted of [run(2), clear(2), null])
      assert.deepEqual(nextStep(running(1), wanted, at(0)), { do: 'stop' });
  });

  test('clears once', () => {
    assert.deepEqual(nextStep({ kind: 'idle' }, clear(3), at(0)), { do: 'clear', revision: 3 });
    assert.deepEqual(nextStep({ kind: 'cleared', revision: 3 }, clear(3), at(0)), wait);
    assert.deepEqual(nextStep({ kind: 'cleared', revision: 3 }, run(4), at(0)), { do: 'start', revision: 4 });
    assert.deepEqual(nextStep({ kind: 'cleared', revision: 3 }, null, at(0)), { do: 'rest' });
  });

  test('a failure waits for its time, and another revision need not wait', () => {
    assert.deepEqual(nextStep(failed(1, 500), run(1), at(499)), { do: 'wait', untilMs: 500 });
    assert.deepEqual(nextStep(failed(1, 500), run(1), at(500)), { do: 'start', revision: 1 });
    assert.deepEqual(nextStep(failed(1, 500), run(2), at(0)), { do: 'start', revision: 2 });
    assert.deepEqual(nextStep(failed(1, 500), clear(2), at(0)), { do: 'clear', revision: 2 });
    assert.deepEqual(nextStep(failed(1, 500), null, at(0)), { do: 'rest' });
  });

  test('a failure that only a person can mend is never tried again by itself', () => {
    assert.deepEqual(nextStep(failed(1, null), run(1), at(1e12)), wait);
    assert.deepEqual(nextStep(failed(1, null), run(2), at(0)), { do: 'start', revision: 2 });
  });
});

describe('while the engine takes no orders', () => {
  const down = { nowMs: 1_000, engineUp: false };

  test('nothing is started, nor tried again, until it does', () => {
    assert.deepEqual(nextStep({ kind: 'idle' }, run(1), down), wait);
    assert.deepEqual(nextStep(failed(1, 500), run(1), down), wait);
  });

  test('what needs no engine is done', () => {
    assert.deepEqual(nextStep({ kind: 'idle' }, clear(1), down), { do: 'clear', revision: 1 });
    assert.deepEqual(nextStep(running(1), null, down), { do: 'stop' });
  });
});

describe('failedPhase', () => {
  test('backs off, doubling up to a minute', () => {
    const delays = [0, 1, 2, 6, 7, 50].map(
      attempt => failedPhase(passing, { revision: 1, attempt, ranMs: 0, nowMs: 1_000 }).retryAtMs! - 1_000,
    );
    assert.deepEqual(delays, [500, 1_000, 2_000, 32_000, 60_000, 60_000]);
  });

  test('begins anew after a minute without failure', () => {
    assert.equal(failedPhase(passing, { revision: 1, attempt: 7, ranMs: 60_000, nowMs: 0 }).attempt, 1);
    assert.equal(failedPhase(passing, { revision: 1, attempt: 7, ranMs: 59_999, nowMs: 0 }).attempt, 8);
  });

  test('sets no time for what only a person can mend', () => {
    assert.equal(failedPhase(lasting, { revision: 1, attempt: 0, ranMs: 0, nowMs: 0 }).retryAtMs, null);
  });
});
