import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { EVENTS_MAX, EventMemory, type SeenEvent } from '../../../lib/observe/history.ts';

const names = (events: readonly SeenEvent[]) => events.map(({ event }) => event.event);

test('the last thousand events are remembered with their time, oldest first, debug left out', () => {
  const memory = new EventMemory(systemClock);
  for (let i = 0; i < 5_500; i++) {
    memory.emit({ event: `e${i}`, level: i % 2 === 0 ? 'info' : 'warn' });
    memory.emit({ event: `d${i}`, level: 'debug' });
  }
  assert.deepEqual(names(memory.past({ count: 3 })), ['e5497', 'e5498', 'e5499']);
  assert.equal(memory.past({ count: 1_000_000 }).length, EVENTS_MAX);
  assert.equal(memory.past({ count: 0 }).length, 0);
  assert.ok(Math.abs(memory.past({ count: 1 })[0]!.atMs - Date.now()) < 60_000);
});

test('a follower is told every event from then on, debug included, until it leaves; others go on', () => {
  const memory = new EventMemory(systemClock);
  const seen: SeenEvent[] = [];
  const follower = (event: SeenEvent) => void seen.push(event);
  memory.emit({ event: 'before', level: 'info' });
  const [leave, leaveToo] = [memory.follow(follower), memory.follow(follower)];
  memory.emit({ event: 'a', level: 'debug' });
  leave();
  memory.emit({ event: 'b', level: 'info' });
  leaveToo();
  memory.emit({ event: 'c', level: 'info' });
  assert.deepEqual(names(seen), ['a', 'a', 'b']);
  assert.deepEqual(names(memory.past({ count: 9 })), ['before', 'b', 'c']);
});
