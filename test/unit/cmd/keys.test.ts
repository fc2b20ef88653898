/** Keys count from the question on: what was pressed before answers nothing. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { listenToKeys } from '../../../cmd/keys.ts';

/** As a terminal does, it keeps what is pressed while nobody reads. */
function terminal() {
  const keys = new PassThrough();
  const modes: boolean[] = [];
  const keyboard = Object.assign(keys, { setRawMode: (on: boolean) => modes.push(on) });
  return { keyboard, modes, press: (text: string) => keys.write(text) };
}

test('a key counts when it is pressed after the question, and until the answer is no longer wanted', async () => {
  const { keyboard, modes, press } = terminal();
  const heard: string[] = [];
  const hear = (key: string) => void heard.push(key);
  press('n');
  press('n\nx');
  const first = await listenToKeys(hear, keyboard);
  assert.deepEqual(heard, [], 'pressed when nothing was asked');
  press('yn');
  assert.deepEqual(heard, ['y', 'n']);
  first();
  assert.deepEqual(modes, [true, false]);
  press('n');
  const second = await listenToKeys(hear, keyboard);
  assert.deepEqual(heard, ['y', 'n'], 'pressed between two questions');
  second();
});
