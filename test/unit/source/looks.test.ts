/** What a source believes of the end of its stream: what the broker said, once everything before it has been passed on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SimClock } from '../../../lib/memory/clock.ts';
import { Looks } from '../../../lib/source/looks.ts';

test('a look counts once all before the end that it saw has been passed on, however late, and as of its own moment', async () => {
  const clock = new SimClock();
  const looks = new Looks({ clock, idleAfterMs: 1_000 });
  const look = { lastSeq: 5, clockMs: 70_000 };
  looks.answer(look);
  assert.equal(looks.take(4), null);
  assert.equal(looks.take(5), null, 'the last of what it saw waits to be passed on');
  // As long as a freeze may last.
  await clock.run(600_000);
  assert.equal(looks.take(5), null);
  assert.deepEqual(looks.take(6), look);
  assert.equal(looks.take(6), null, 'it is taken once');
});
