import assert from 'node:assert/strict';
import { test } from 'node:test';
import { carriedHeaders, replayHeaders } from '../../../lib/record/letter.ts';
import { hasPassed, idOf, REPLAY_LENGTH_MAX, replayOf, replayText, withId } from '../../../lib/record/replay.ts';

test('a replay names the dedupes that it has passed, and travels with the id of its record', () => {
  const text = replayText('p', { number: 7, passed: ['dedupe-1', 'by-shop'] });
  assert.equal(text, 'p/7 p/dedupe-1 p/by-shop');
  const mark = replayOf({ 'Millrace-Replay': text });
  assert.equal(idOf(mark), null);
  for (const travelling of [mark, withId(mark, 'e1'), withId(withId(mark, 'e1'), 'e2')]) {
    assert.ok(hasPassed(travelling, 'p/dedupe-1') && hasPassed(travelling, 'p/by-shop'));
    assert.ok(!hasPassed(travelling, 'q/dedupe-1') && !hasPassed(travelling, 'p/dedupe'));
  }
  assert.equal(idOf(withId(withId(mark, 'e1'), 'e2')), 'e2');
});

test('what is no replay has its id alone, whatever that is', () => {
  assert.equal(replayOf(null), null);
  assert.equal(replayOf({ other: 'x' }), null);
  for (const id of ['', 'e1', '\u0000', '\u0000replay', '\u0000replay\u0000']) {
    assert.equal(idOf(withId(null, id)), id);
    assert.ok(!hasPassed(id, 'p/dedupe-1'));
  }
});

test('what is longer than any replay is none: every record of its message would carry it', () => {
  const longest = 'p/7 '.padEnd(REPLAY_LENGTH_MAX, 'x');
  assert.ok(hasPassed(replayOf({ 'millrace-replay': longest }), 'p/7'));
  assert.equal(replayOf({ 'millrace-replay': `${longest}x` }), null);
  const passed = Array.from({ length: 18 }, (_, i) => `${i}`.padEnd(64, 'n'));
  assert.ok(replayText('p'.repeat(40), { number: 2 ** 53, passed }).length <= REPLAY_LENGTH_MAX);
});

test('original headers travel with a letter and come back; the broker’s, ours and the encoding that is off do not', () => {
  const original = {
    ...{ 'content-type': 'application/msgpack', tenant: 'eu', 'Content-Encoding': 'gzip' },
    ...{ 'Nats-Msg-Id': '1', 'Millrace-Replay': 'p/1', long: 'x'.repeat(2_000) },
  };
  const back = (unpacked: boolean) => {
    const headers = carriedHeaders(original, unpacked);
    const message = { subject: 'millrace.p.dead.map-1', seq: 3, timeMs: 0, headers, data: new Uint8Array() };
    return replayHeaders('p', { ...message, headers: { ...headers, 'Millrace-Content': 'message' } }, 'in.a');
  };
  const own = { 'Millrace-Replay': 'p/3', 'Nats-Msg-Id': 'millrace-replay-p-3-in.a' };
  assert.deepEqual(back(true), { 'content-type': 'application/msgpack', tenant: 'eu', ...own });
  assert.equal(back(false)['Content-Encoding'], 'gzip');
});
