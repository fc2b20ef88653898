/**
 * Streams that a source cannot be read from whole, and buckets whose rows lie under other subjects. ALL FAIL: they are taken as
 * any other. Of a stream with retention by interest, what others have acknowledged while no worker was there is gone, and as long as one
 * older message is left nothing shows it; a mirror of a bucket has its origin's subjects, so its table is empty.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pipeline } from '../../../lib/index.ts';
import { mistakesOf } from './broker.ts';

test('a source of a stream whose messages go when others have read them is a mistake', async () => {
  const made = pipeline('p', ({ from }) => from('in.a').to('out.{partition}'));
  const mistakes = await mistakesOf(made, [{ name: 'IN', subjects: ['in.>'], traits: ['consumed'] }]);
  assert.equal(mistakes.length, 1);
});

test('a table of a bucket that mirrors another is a mistake', async () => {
  const made = pipeline('p', ({ from, table }) =>
    from<{ k: string }>('in.a')
      .keyBy('k')
      .join(table('sites'), value => value)
      .to('out.{partition}'),
  );
  const streams = [
    { name: 'IN', subjects: ['in.>'] },
    { name: 'KV_sites', subjects: [], traits: ['mirror'] as const },
  ];
  assert.equal((await mistakesOf(made, streams)).length, 1);
});

test('a source whose subject is kept by two streams is a mistake: only one of them would be read', async () => {
  const made = pipeline('p', ({ from }) => from('in.>').to('out.{partition}'));
  const streams = [
    { name: 'A', subjects: ['in.a'] },
    { name: 'B', subjects: ['in.b'] },
  ];
  assert.equal((await mistakesOf(made, streams)).length, 1);
});

test('a source of a stream that keeps messages under other subjects is a mistake: none would be taken', async () => {
  const made = pipeline('p', ({ from }) => from('in.>').to('out.{partition}'));
  assert.equal((await mistakesOf(made, [{ name: 'IN', subjects: ['in.>'], traits: ['transform'] }])).length, 1);
});
