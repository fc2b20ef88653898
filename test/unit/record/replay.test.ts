import assert from 'node:assert/strict';
import { test } from 'node:test';
import { carriedHeaders, replayHeaders } from '../../../lib/record/letter.ts';
import { hasPassed, idOf, REPLAY_LENGTH_MAX, replayOf, replayText, withId } from '../../../lib/record/replay.ts';
import { OPEN_SEAL, Seal } from '../../../lib/record/seal.ts';

test('a replay names the dedupes that it has passed, and travels with the id of its record', () => {
  const text = replayText('p', { number: 7, passed: ['dedupe-1', 'by-shop'] });
  assert.equal(text, 'p/7 p/dedupe-1 p/by-shop');
  const data = Buffer.from('{"n":1}');
  const headers = { 'Millrace-Replay': text, 'Millrace-Seal': OPEN_SEAL.ofReplay(text, data) };
  const mark = replayOf({ headers, data }, OPEN_SEAL);
  assert.equal(idOf(mark), null);
  for (const travelling of [mark, withId(mark, 'e1'), withId(withId(mark, 'e1'), 'e2')]) {
    assert.ok(hasPassed(travelling, 'p/dedupe-1') && hasPassed(travelling, 'p/by-shop'));
    assert.ok(!hasPassed(travelling, 'q/dedupe-1') && !hasPassed(travelling, 'p/dedupe'));
  }
  assert.equal(idOf(withId(withId(mark, 'e1'), 'e2')), 'e2');
});

test('what is no replay has its id alone, whatever that is', () => {
  const data = new Uint8Array();
  assert.equal(replayOf({ headers: null, data }, OPEN_SEAL), null);
  assert.equal(replayOf({ headers: { other: 'x' }, data }, OPEN_SEAL), null);
  for (const id of ['', 'e1', '\u0000', '\u0000replay', '\u0000replay\u0000']) {
    assert.equal(idOf(withId(null, id)), id);
    assert.ok(!hasPassed(id, 'p/dedupe-1'));
  }
});

test('what is longer than any replay is none: every record of its message would carry it', () => {
  const longest = 'p/7 '.padEnd(REPLAY_LENGTH_MAX, 'x');
  const sealed = (text: string) => {
    const data = new Uint8Array();
    return { headers: { 'millrace-replay': text, 'millrace-seal': OPEN_SEAL.ofReplay(text, data) }, data };
  };
  assert.ok(hasPassed(replayOf(sealed(longest), OPEN_SEAL), 'p/7'));
  assert.equal(replayOf(sealed(`${longest}x`), OPEN_SEAL), null);
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
    const letter = { number: 3, headers, data: new Uint8Array(), content: 'message' } as const;
    const { 'Millrace-Seal': seal, ...rest } = replayHeaders(letter, {
      pipeline: 'p',
      subject: 'in.a',
      seal: OPEN_SEAL,
    });
    assert.equal(seal, OPEN_SEAL.ofReplay('p/3', letter.data));
    return rest;
  };
  const own = { 'Millrace-Replay': 'p/3', 'Nats-Msg-Id': 'millrace-replay-p-3-in.a' };
  assert.deepEqual(back(true), { 'content-type': 'application/msgpack', tenant: 'eu', ...own });
  assert.equal(back(false)['Content-Encoding'], 'gzip');
});

test('a replay that is not sealed by the cluster, or with another text or content, is none', () => {
  const [text, data] = ['p/7 p/dedupe-1', Buffer.from('{"n":1}')];
  const seal = new Seal(Buffer.alloc(32, 7));
  const right = { 'Millrace-Replay': text, 'Millrace-Seal': seal.ofReplay(text, data) };
  assert.ok(replayOf({ headers: right, data }, seal) !== null);
  const lower = Object.fromEntries(Object.entries(right).map(([name, value]) => [name.toLowerCase(), value]));
  assert.ok(replayOf({ headers: lower, data }, seal) !== null, 'a gateway may have changed the case');
  const { 'Millrace-Seal': mac } = right;
  for (const headers of [
    { 'Millrace-Replay': text },
    { ...right, 'Millrace-Seal': '' },
    { ...right, 'Millrace-Seal': mac.slice(0, -1) },
    { ...right, 'Millrace-Seal': OPEN_SEAL.ofReplay(text, data) },
    { ...right, 'Millrace-Replay': 'p/7 p/dedupe-1 p/dedupe-2' },
  ]) {
    assert.equal(replayOf({ headers, data }, seal), null, JSON.stringify(headers));
  }
  assert.equal(replayOf({ headers: right, data: Buffer.from('{"n":2}') }, seal), null);
});

test('what no header can be called, or what another obeys, neither travels with a letter nor is published by a replay', () => {
  const original = {
    'a b': '1',
    'c\nNats-Rollup': '2',
    'd:e': '3',
    'Nats-Rollup': 'all',
    'KV-Operation': 'PURGE',
    f: 'x\r\ny\u001b[2J',
  };
  assert.deepEqual(carriedHeaders(original, false), { 'Millrace-Header-f': 'x y [2J' });
  const headers = Object.fromEntries(
    Object.entries(original).map(([name, value]) => [`Millrace-Header-${name}`, value]),
  );
  const letter = { number: 3, headers, data: new Uint8Array(), content: 'message' } as const;
  const published = replayHeaders(letter, { pipeline: 'p', subject: 'in.a', seal: OPEN_SEAL });
  assert.deepEqual(Object.keys(published).sort(), ['Millrace-Replay', 'Millrace-Seal', 'Nats-Msg-Id', 'f']);
  assert.equal(published.f, 'x y [2J');
});
