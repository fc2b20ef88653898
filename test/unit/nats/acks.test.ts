/** Which answers to a publish count, and what they say. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { type Expected, judgeAck } from '../../../lib/nats/acks.ts';

const loose: Expected = { stream: 'OUT', domain: null, fence: null, batch: null };
const fenced: Expected = { ...loose, fence: 7 };
const batch: Expected = { ...fenced, batch: { id: 'b1', count: 3 } };

const judge = (answer: unknown, expected: Expected) =>
  judgeAck(Buffer.from(typeof answer === 'string' ? answer : JSON.stringify(answer)), 'out.a', expected);
const error = (code: number, errCode: number) => ({ code, err_code: errCode, description: 'why' });

describe('an answer that cannot be the stream’s is none', () => {
  const shapes: unknown[] = [
    '',
    'OK',
    '+OK',
    'null',
    '{}',
    '[]',
    '[{"stream":"OUT","seq":8}]',
    '"OUT"',
    '17',
    '{"stream":"OUT","seq":8',
    '\u0000\u00ff',
    { seq: 1 },
    { seq: 8 },
    { stream: 'other', seq: 8 },
    { stream: 'out', seq: 8 },
    { stream: ['OUT'], seq: 8 },
    { stream: 'OUT' },
    { stream: 'OUT', seq: null },
    { stream: 'OUT', seq: '8' },
    { stream: 'OUT', seq: 0 },
    { stream: 'OUT', seq: -8 },
    { stream: 'OUT', seq: 8.5 },
    { stream: 'OUT', seq: 1e300 },
    { error: null },
    { error: 'no' },
    { error: {} },
    { error: { code: 503 } },
    { error: { code: 400, err_code: 10071 } },
    { error: { code: '400', err_code: 10071, description: 'wrong last sequence: 2' } },
    { error: { code: 400, err_code: 10054.5, description: 'x' } },
    { error: error(400, 10109), stream: 'other', seq: 0 },
    { error: error(400, 10109), stream: null },
  ];
  for (const shape of shapes) {
    test(typeof shape === 'string' ? `the text '${shape}'` : JSON.stringify(shape), () => {
      for (const expected of [loose, fenced, batch]) assert.equal(judge(shape, expected), null);
    });
  }

  test('a sequence that the fence rules out', () => {
    for (const seq of [1, 6, 7]) assert.equal(judge({ stream: 'OUT', seq }, fenced), null, String(seq));
    // The first message of a batch comes after the fence, too.
    for (const seq of [7, 8, 9]) assert.equal(judge({ stream: 'OUT', seq, batch: 'b1', count: 3 }, batch), null);
  });

  test('of another batch, of another number of messages, or of none', () => {
    const ours = { stream: 'OUT', seq: 10, batch: 'b1', count: 3 };
    assert.deepEqual(judge(ours, batch), { kind: 'landed', seq: 10 });
    assert.equal(judge({ ...ours, batch: 'b2' }, batch), null);
    assert.equal(judge({ ...ours, count: 2 }, batch), null);
    assert.equal(judge({ stream: 'OUT', seq: 10 }, batch), null);
  });

  test('of a stream of the same name in another domain', () => {
    const leaf = { stream: 'OUT', domain: 'leaf', seq: 10 };
    const domains: readonly (string | null)[] = [null, 'hub'];
    for (const domain of domains) {
      assert.equal(judge(leaf, { ...loose, domain }), null);
      assert.equal(judge(leaf, { ...fenced, domain }), null);
      assert.equal(judge({ ...leaf, batch: 'b1', count: 3 }, { ...batch, domain }), null);
    }
    assert.equal(judge({ stream: 'OUT', seq: 10 }, { ...loose, domain: 'leaf' }), null);
    assert.deepEqual(judge(leaf, { ...loose, domain: 'leaf' }), { kind: 'landed', seq: 10 });
  });

  test('that something else is last, where nothing was said of what is', () => {
    assert.equal(judge({ error: error(400, 10071), stream: 'OUT', seq: 0 }, loose), null);
  });
});

describe('the stream’s own answer', () => {
  test('tells where the message is, whatever else it says', () => {
    assert.deepEqual(judge({ stream: 'OUT', seq: 1 }, loose), { kind: 'landed', seq: 1 });
    assert.deepEqual(judge('{"stream":"OUT","seq":2,"duplicate": true}', loose), { kind: 'landed', seq: 2 });
    assert.deepEqual(judge({ stream: 'OUT', domain: 'hub', seq: 8 }, { ...fenced, domain: 'hub' }), {
      kind: 'landed',
      seq: 8,
    });
  });

  test('tells that it is refused, for now or for good', () => {
    assert.equal(judge({ error: error(400, 10071), stream: 'OUT', seq: 0 }, fenced)?.kind, 'moved');
    assert.equal(judge({ error: error(400, 10071), stream: 'OUT', seq: 0 }, batch)?.kind, 'moved');
    assert.equal(judge({ error: error(503, 10077), stream: 'OUT', seq: 0 }, loose)?.kind, 'unsure');
    assert.equal(judge({ error: error(503, 10008) }, loose)?.kind, 'unsure');
    const refused = () => judge({ error: error(400, 10109), stream: 'OUT', seq: 0 }, loose);
    assert.throws(refused, thrown => isMillraceError(thrown, 'BROKER_REFUSED'));
    const large = () => judge({ error: error(400, 10054), stream: 'OUT', seq: 0 }, fenced);
    assert.throws(large, thrown => isMillraceError(thrown, 'MESSAGE_TOO_LARGE'));
  });
});
