/** The reference table of joins, as the README of the operators shows it, played against the operator. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { JoinKind } from '../../../lib/operator/spec.ts';
import { tableRows, textOf } from '../../tidy/texts.ts';
import { Rig } from './rig.ts';

const S = 1_000;
const KINDS: readonly JoinKind[] = ['inner', 'left', 'outer'];
const rows = tableRows(textOf('lib/operator/README.md'), 't', 'left', 'right');

describe('the reference table of the README', () => {
  test('is there', () => assert.equal(rows.length, 12));

  KINDS.forEach((join, column) => {
    test(`says what a ${join} join emits, moment by moment`, () => {
      const combine = (left: unknown, right: unknown) => `${left ?? '–'},${right ?? '–'}`;
      const rig = new Rig({ kind: 'join', join, beforeMs: 15 * S, afterMs: 15 * S, graceMs: 5 * S, combine });
      for (const [t, left, right, ...emitted] of rows) {
        const timeMs = Number(t) * S;
        if (left !== '') rig.receive('k', left, timeMs, 0);
        if (right !== '') rig.receive('k', right, timeMs, 1);
        const got = rig.advance(timeMs).map(row => String(row.value));
        assert.equal(got.sort().join(' '), (emitted[column] ?? '').split(' ').sort().join(' '), `at ${t}`);
      }
    });
  });

  test('gives E at 61 and not at 60', () => {
    const combine = (left: unknown) => left;
    const rig = new Rig({ kind: 'join', join: 'left', beforeMs: 15 * S, afterMs: 15 * S, graceMs: 5 * S, combine });
    rig.receive('k', 'E', 40 * S, 0);
    assert.deepEqual(rig.advance(60 * S), []);
    assert.deepEqual(
      rig.advance(61 * S).map(row => row.value),
      ['E'],
    );
  });
});
