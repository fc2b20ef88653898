/** What people are told who ask why something is late. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventTimeText, heldText } from '../../../cmd/event-time.ts';
import { openTerminal } from '../../../cmd/terminal.ts';
import { emptyStatus, type OperatorStatus, type SourceStatus, type TaskStatus } from '../../../lib/observe/status.ts';

const AT_MS = Date.parse('2026-01-01T18:10:00Z');
const operator = (unit: string, held: number, more = false, nextMs: number | null = AT_MS): OperatorStatus => ({
  ...{ stage: 'by-order', name: 'op', unit, held, more, nextMs },
  watermarkMs: AT_MS - 60_000,
});
const source = (name: string, watermarkMs: number | null, quietMs: number | null): SourceStatus => ({
  ...{ name, position: 1_234, lag: 0, lagMs: 0, watermarkMs, clockMs: AT_MS + 5_000, quietMs },
  ...{ recordsIn: 42_481, bytesIn: 0, idle: false },
});
const task = (waitsFor: string | null): TaskStatus => ({
  ...{ stage: 'by-order', partition: 0, state: 'running', epoch: 1, commits: 1, recordsIn: 1, recordsOut: 1, waitsFor },
  ...{ watermarkMs: 0, stateBytes: 0, stateEntries: 0, journalBytes: 0, journalCommits: 0, backlogBytes: 0 },
});

test('what an operator holds is said with what it waits for', () => {
  assert.equal(heldText(operator('windows', 1)), '1 window open, closes at 2026-01-01T18:10:00Z event time');
  assert.equal(
    heldText(operator('sessions', 1_204)),
    '1,204 sessions open, the first closes at 2026-01-01T18:10:00Z event time',
  );
  assert.equal(
    heldText(operator('unmatched', 3)),
    '3 waiting for a partner, the first until 2026-01-01T18:10:00Z event time',
  );
  assert.equal(
    heldText(operator('unmatched', 1, true)),
    'more than 1 waiting for a partner, the first until 2026-01-01T18:10:00Z event time',
  );
  assert.equal(heldText(operator('ids', 5, false, null)), '5 ids remembered');
  assert.equal(heldText(operator('windows', 0, false, null)), '0 windows open');
});

test('sources say how far they are, for how long they have been quiet, and who waits for them', () => {
  const sources = [source('orders', AT_MS, 0), source('payments', AT_MS - 3_600_000, 90_000)];
  const status = { ...emptyStatus('running', null), sources, operators: [operator('windows', 1)] };
  const text = eventTimeText({ name: 'shop', status: { ...status, tasks: [task('payments')] } }, openTerminal('never'));
  assert.match(text, /^orders +1,234 +0 +0s +42,481 +2026-01-01T18:10:00Z +5s +– +–$/m);
  assert.match(text, /^payments .* 2026-01-01T17:10:00Z +1h +2026-01-01T18:08:35Z +by-order$/m);
  assert.match(text, /^op +by-order +2026-01-01T18:09:00Z +1 window open, closes at 2026-01-01T18:10:00Z event time$/m);
  assert.match(
    text,
    /by-order waits for payments, which stands at .* quiet for 1m30s .*millrace advance shop payments/,
  );
});

test('of a pipeline that does not run there is nothing to say', () => {
  assert.equal(eventTimeText({ name: 'shop', status: emptyStatus('failed', 'no') }, openTerminal('never')), '');
});
