/** Who is apart, since when, and what it takes to come back. */
import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { Quarantine, TERM_MS } from '../../../lib/host/quarantine.ts';

let quarantine: Quarantine;
beforeEach(() => {
  quarantine = new Quarantine();
  quarantine.started('p', 'code');
});

const MINUTE = 60_000;

test('who has done harm is apart, and once only is that news', () => {
  assert.equal(quarantine.why('p'), null);
  assert.equal(quarantine.suspect('p', 'did not return', 0), true);
  assert.equal(quarantine.suspect('p', 'took all memory', 1), false);
  assert.equal(quarantine.why('p'), 'did not return');
  assert.equal(quarantine.why('other'), null);
  assert.equal(quarantine.suspect('never started', 'x', 0), false);
});

test('a call that holds its thread for long is an accident, two within a minute are none', () => {
  assert.equal(quarantine.isSlow('p', 0), false);
  assert.equal(quarantine.isSlow('p', 2 * MINUTE), false);
  assert.equal(quarantine.isSlow('p', 2 * MINUTE + 5_000), true);
});

test('who goes on for ten minutes, and takes something in, comes back; the next time it takes twice as long', () => {
  quarantine.suspect('p', 'x', 0);
  assert.equal(quarantine.hasRecovered('p', 100, 1), false);
  assert.equal(quarantine.hasRecovered('p', 101, TERM_MS - 1), false);
  assert.equal(quarantine.hasRecovered('p', 101, TERM_MS), true);
  assert.equal(quarantine.why('p'), null);
  assert.equal(quarantine.suspect('p', 'y', TERM_MS), true);
  assert.equal(quarantine.hasRecovered('p', 101, TERM_MS + 1), false);
  assert.equal(quarantine.hasRecovered('p', 102, 3 * TERM_MS - 1), false);
  assert.equal(quarantine.hasRecovered('p', 102, 3 * TERM_MS), true);
});

test('who has nothing to do proves nothing by it', () => {
  quarantine.suspect('p', 'x', 0);
  assert.equal(quarantine.hasRecovered('p', 100, 1), false);
  assert.equal(quarantine.hasRecovered('p', 100, 100 * TERM_MS), false);
});

test('who does it again while apart begins to wait anew', () => {
  quarantine.suspect('p', 'x', 0);
  quarantine.hasRecovered('p', 0, 0);
  quarantine.suspect('p', 'x', TERM_MS - 1);
  assert.equal(quarantine.hasRecovered('p', 50, TERM_MS), false);
  assert.equal(quarantine.hasRecovered('p', 51, 2 * TERM_MS - 2), false);
  assert.equal(quarantine.hasRecovered('p', 51, 2 * TERM_MS - 1), true);
});

test('other code is not blamed for it, the same after a restart is', () => {
  quarantine.suspect('p', 'x', 0);
  quarantine.started('p', 'code');
  assert.equal(quarantine.why('p'), 'x');
  quarantine.started('p', 'mended');
  assert.equal(quarantine.why('p'), null);
});
