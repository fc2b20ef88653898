/** What a journal says of starts that came to nothing, and of what was in hand (*in hand*). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { JournaledAttempts } from '../../../lib/journal/attempts.ts';
import type { JournalStep, StoredCommit } from '../../../lib/journal/reader.ts';

const HAND = { place: 'a 7 0', rows: 1, tries: 2 };

const claim = (revision = 1): JournalStep => ({ kind: 'claim', seq: 1, epoch: 1, revision });
const release: JournalStep = { kind: 'release', seq: 1, epoch: 1, revision: 1 };
const inHand = (hand: typeof HAND | null): JournalStep => ({ kind: 'hand', hand });
const commit = (positions: Record<string, number>): JournalStep => ({
  kind: 'commit',
  commit: { positions } as unknown as StoredCommit,
});

function after(...steps: JournalStep[]) {
  const read = new JournaledAttempts();
  for (const step of steps) read.take(step);
  return { starts: read.starts, hand: read.hand };
}

describe('the attempts of a journal', () => {
  test('are its claims since a commit that has read on', () => {
    assert.equal(after(claim(), commit({ a: 1 }), claim()).starts, 2, 'where it begins is not yet read');
    const begun = [claim(), commit({ a: 0 })];
    assert.deepEqual(after(...begun, commit({ a: 1 }), claim(), claim()), { starts: 2, hand: null });
    assert.equal(after(claim(), commit({ a: 1 }), claim(), commit({ a: 2 }), claim()).starts, 1);
    assert.equal(after(claim(), commit({ a: 1 }), claim(), commit({ a: 1, 'a@rows': 3 }), claim()).starts, 1);
  });

  test('are not settled by a commit that only says how late it is', () => {
    const time = commit({ a: 1, 'a@time': 5, 'a@clock': 7 });
    assert.equal(after(commit({ a: 1 }), claim(), time, claim()).starts, 2);
  });

  test('are settled by an end in peace, by a word that all is well, and by another revision', () => {
    assert.equal(after(claim(), claim(), release).starts, 0);
    assert.deepEqual(after(claim(), claim(), inHand(HAND), claim(), inHand(null)), { starts: 0, hand: null });
    assert.deepEqual(after(claim(), claim(), inHand(HAND), claim(2)), { starts: 1, hand: null });
  });

  test('have in hand what was said and not committed', () => {
    assert.deepEqual(after(claim(), inHand(HAND)).hand, HAND);
    assert.equal(after(claim(), inHand(HAND), commit({ a: 7 })).hand, null);
  });

  test('have in hand what a former owner had, whatever the present one commits before it takes it', () => {
    assert.deepEqual(after(claim(), inHand(HAND), claim(), commit({ a: 6 })).hand, HAND);
  });
});
