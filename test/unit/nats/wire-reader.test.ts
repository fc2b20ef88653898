/** What a server sends, however it is cut into chunks: the client's own parser, given it whole, says what is in it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Kind, Parser, type ParserEvent } from 'nats/lib/nats-base-client/parser.js';
import { type InboundMessage, type InboundReceiver, WireReader } from '../../../lib/nats/wire-reader.ts';

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString('latin1');

/** What either of the two finds, as text; `hdr` is -1 without a head. */
function eventText({ kind, msg, data }: ParserEvent): string {
  if (kind !== Kind.MSG || msg === undefined) return `${Kind[kind]} ${text(data)}`;
  const headBytes = Math.max(0, msg.hdr);
  const [head, payload] = [data!.subarray(0, headBytes), data!.subarray(headBytes)];
  return [msg.sid, text(msg.subject), text(msg.reply), text(head), text(payload)].map(part => `<${part}>`).join('');
}

function frameText(sid: number, frame: InboundMessage): string {
  const { bytes, subjectFrom, subjectTo, replyFrom, replyTo, head, data } = frame;
  assert.equal(frame.hasReply, replyTo > replyFrom);
  assert.equal(frame.hasHead, head.length > 0);
  const words = [bytes.subarray(subjectFrom, subjectTo), bytes.subarray(replyFrom, replyTo), head, data];
  return [sid, ...words.map(text)].map(part => `<${part}>`).join('');
}

/** A reader with some subscriptions of its own; the client's parser has the rest. */
function readerOf(sids: readonly number[]) {
  const found: string[] = [];
  const rest = new Parser({ push: (event: ParserEvent) => found.push(eventText(event)) });
  const receivers = new Map(
    sids.map((sid): [number, InboundReceiver] => [sid, { receive: frame => found.push(frameText(sid, frame)) }]),
  );
  const reader = new WireReader({ receivers, others: operation => rest.parse(operation) });
  return { reader, found, rest, receivers };
}

function asTheClientReads(bytes: Uint8Array): string[] {
  const found: string[] = [];
  new Parser({ push: (event: ParserEvent) => found.push(eventText(event)) }).parse(bytes);
  return found;
}

function message(options: { name?: string; sid: number; reply?: string; head?: string; data: Uint8Array }): Buffer {
  const { sid, reply, head, data } = options;
  const sizes = head === undefined ? [data.length] : [head.length, head.length + data.length];
  const words = [head === undefined ? 'MSG' : 'HMSG', options.name ?? 'a.b', sid, ...(reply ? [reply] : []), ...sizes];
  return Buffer.concat([Buffer.from(`${words.join(' ')}\r\n${head ?? ''}`), data, Buffer.from('\r\n')]);
}

const line = fc.constantFrom('PING\r\n', 'PONG\r\n', '+OK\r\n', "-ERR 'no'\r\n", 'INFO {"a": 1}\r\n').map(Buffer.from);
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom('\r\n', 'x\r\nMSG a 1 1\r\n', '\r\n\r\nPING\r\n', '').map(Buffer.from),
  fc.uint8Array({ minLength: 200, maxLength: 400 }),
);
const anyMessage = fc
  .record({
    sid: fc.integer({ min: 1, max: 4 }),
    name: fc.constantFrom('a', 'orders.eu', 'größe.世界', 'a\u0001.b', 'a.rather.long.subject.of.several.words'),
    reply: fc.constantFrom('', '_INBOX.x.1', '$JS.ACK.S.c.1.7.7.1795370037891340485.0'),
    head: fc.constantFrom(undefined, 'NATS/1.0\r\n\r\n', 'NATS/1.0 408 Request Timeout\r\nA: b\r\n\r\n'),
    data: payload,
  })
  .map(({ head, ...rest }) => message(head === undefined ? rest : { ...rest, head }));

describe('what a server sends', () => {
  test('is found whole, in order and wherever it is cut', () => {
    const stream = fc.array(fc.oneof({ weight: 3, arbitrary: anyMessage }, line), { maxLength: 20 });
    const cuts = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(stream, cuts, (operations, lengths) => {
        const bytes = Buffer.concat(operations);
        const { reader, found } = readerOf([1, 3]);
        for (let at = 0, i = 0; at < bytes.length; i++) {
          // Now and then a chunk of nothing, and at the end all that is left.
          const length = i < 40 ? lengths[i % lengths.length]! : bytes.length;
          reader.read(bytes.subarray(at, at + length));
          at += length;
        }
        assert.deepEqual(found, asTheClientReads(bytes));
      }),
      { numRuns: 500 },
    );
  });

  test('is found when it is cut at any byte, or at each', () => {
    const data = Buffer.from('x\r\ny');
    const bytes = Buffer.concat([
      Buffer.from('INFO {"a": 1}\r\nPING\r\n'),
      message({ sid: 1, data, reply: 'r.1' }),
      message({ sid: 1, data: Buffer.alloc(0), head: 'NATS/1.0 503\r\n\r\n' }),
      message({ sid: 2, data, head: 'NATS/1.0\r\nA: b\r\n\r\n', reply: 'r.2' }),
      Buffer.from("+OK\r\n-ERR 'x'\r\nPONG\r\n"),
      message({ sid: 1, data: Buffer.alloc(0) }),
    ]);
    const expected = asTheClientReads(bytes);
    assert.equal(expected.length, 9);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const { reader, found } = readerOf([1]);
      reader.read(bytes.subarray(0, cut));
      reader.read(bytes.subarray(cut));
      assert.deepEqual(found, expected, `cut at ${cut}`);
    }
    const { reader, found } = readerOf([1]);
    for (let i = 0; i < bytes.length; i++) reader.read(bytes.subarray(i, i + 1));
    assert.deepEqual(found, expected);
  });

  test('may be written in small letters, with several blanks, without a carriage return', () => {
    const bytes = Buffer.from(
      'msg  a\t1   r.x 2\r\nhi\r\nhMsg a 1 12 14 \r\nNATS/1.0\r\n\r\nhi\r\nMSG a 1 2\nhi\r\nping\nPong\r\n',
    );
    const { reader, found } = readerOf([1]);
    reader.read(bytes);
    assert.equal(found.length, 5);
    assert.deepEqual(found, asTheClientReads(bytes));
  });

  for (const wrong of [
    'MXG a 1 2\r\n',
    'MSGa 1 2\r\n',
    'MSG a 1\r\n',
    'MSG a x 2\r\n',
    'MSG a 1 r two\r\n',
    'MSG a 1 r 2 3\r\n',
    'HMSG a 1 5\r\n',
    'HMSG a 1 9 5\r\n',
    'HMSG a 1 r 1 2 3\r\n',
    'HTTP/1.1 400\r\n',
    'SUB a 1\r\n',
  ]) {
    test(`is an error where the client sees one: ${wrong.trim()}`, () => {
      const { reader, found } = readerOf([1]);
      assert.throws(() => asTheClientReads(Buffer.from(wrong)));
      assert.throws(() => reader.read(Buffer.from(wrong)));
      assert.deepEqual(found, []);
    });
  }

  test('goes to the client from when a receiver has gone, also within a chunk', () => {
    const { reader, found, receivers } = readerOf([1]);
    receivers.set(1, {
      receive: () => {
        found.push('last');
        receivers.delete(1);
      },
    });
    const one = message({ sid: 1, data: Buffer.from('x') });
    reader.read(Buffer.concat([one, one]));
    assert.deepEqual(found, ['last', '<1><a.b><><><x>']);
  });

  test('is forgotten where another connection begins in the middle of it', () => {
    const { reader, found } = readerOf([1]);
    const whole = message({ sid: 1, data: Buffer.from('whole') });
    for (let cut = 1; cut < whole.length; cut++) {
      reader.read(whole.subarray(0, cut));
      reader.reset();
      reader.read(whole);
    }
    assert.deepEqual(found, new Array(whole.length - 1).fill('<1><a.b><><><whole>'));
  });

  test('does not stay in memory for a message that was cut', () => {
    const rooms: number[] = [];
    const receivers = new Map([[1, { receive: ({ bytes }: InboundMessage) => rooms.push(bytes.buffer.byteLength) }]]);
    const reader = new WireReader({ receivers, others: () => assert.fail() });
    const large = message({ sid: 1, data: Buffer.alloc(200_000, 'x') });
    const small = message({ sid: 1, data: Buffer.from('x') });
    const bytes = Buffer.concat([large, small, small]);
    const cuts = [0, 65_536, large.length + 2, large.length + small.length + 14, bytes.length];
    for (let i = 1; i < cuts.length; i++) reader.read(bytes.subarray(cuts[i - 1], cuts[i]));
    assert.deepEqual(rooms, [large.length, small.length, small.length]);
  });

  test('is counted as far as receivers got it', () => {
    const { reader } = readerOf([1]);
    const data = Buffer.from('data');
    reader.read(message({ sid: 1, data, head: 'NATS/1.0\r\n\r\n' }));
    reader.read(message({ sid: 2, data }));
    assert.deepEqual([reader.messages, reader.payloadBytes], [1, 16]);
  });
});
