/** The parts of the bench beside the queries, as tests, in small: a state of many ids, and crashes. Never fails on time. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Closing } from '../rig/closing.ts';
import { measureRecovery } from './recovery.ts';
import { measureState } from './state.ts';

const closing = new Closing();
after(() => closing.run());

test('a state of many ids lets each through once', async () => {
  const said: string[] = [];
  const { correct } = await measureState({ keys: 20_000, closing, say: text => said.push(text) });
  assert.ok(correct, said.join('\n'));
});

test('a worker that is killed under load loses and doubles nothing, with its folder and without', async () => {
  const said: string[] = [];
  const results = await measureRecovery({ keys: 5_000, steadyMs: 500, closing, say: text => said.push(text) });
  const right = results.map(({ disk, correct }) => [disk, correct]);
  assert.deepEqual(
    right,
    [
      ['kept', true],
      ['lost', true],
    ],
    said.join('\n'),
  );
});
