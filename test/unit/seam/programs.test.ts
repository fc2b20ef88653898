/** Code that ran before is loaded again when it is asked for, and where it cannot be had it is said what to do. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { programsOf } from '../../../lib/seam/programs.ts';
import type { Plan } from '../../../lib/topology/plan.ts';

const order = { pipeline: 'p', program: 3, bundle: 'now' };
const plan = { pipeline: 'p' } as Plan;

test('what runs is named by the revision since which it has run; what ran before is loaded by its hash', async () => {
  const asked: string[] = [];
  const programs = programsOf(order, async hash => {
    asked.push(hash);
    return plan;
  });
  assert.deepEqual(programs.present, { since: 3, bundle: 'now' });
  assert.equal(await programs.planOf({ since: 1, bundle: 'before' }), plan);
  assert.deepEqual(asked, ['before']);
});

test('what is gone, not known or does not load any more says what to do: PROGRAM_MISSING', async () => {
  const failing = (error: Error) => programsOf(order, () => Promise.reject(error));
  const isMissing = (why: RegExp) => (error: unknown) =>
    isMillraceError(error, 'PROGRAM_MISSING') &&
    error.fate === 'stop' &&
    why.test(error.message) &&
    /code of revision 1 .*Deploy that code again, and then this; or delete the pipeline with --purge/.test(
      error.message,
    );
  const gone = failing(new MillraceError('NOT_FOUND', "it is gone from the cluster's blobs"));
  await assert.rejects(gone.planOf({ since: 1, bundle: '' }), isMissing(/not known/));
  await assert.rejects(gone.planOf({ since: 1, bundle: 'before' }), isMissing(/is gone from the cluster's blobs/));
  const wrong = failing(new MillraceError('PLAN_INVALID', 'no such name'));
  await assert.rejects(wrong.planOf({ since: 1, bundle: 'before' }), isMissing(/no such name/));
});

test('what passes is tried again', async () => {
  const away = programsOf(order, () => Promise.reject(new MillraceError('BROKER_UNAVAILABLE', 'no answer')));
  const isAway = (error: unknown) => isMillraceError(error, 'BROKER_UNAVAILABLE');
  await assert.rejects(away.planOf({ since: 1, bundle: 'before' }), isAway);
});
