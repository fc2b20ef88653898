/** MessagePack in, and the choice of a format by content type. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { NESTING_READ_MAX, RECORDS_PER_MESSAGE_MAX, VALUES_PER_MESSAGE_MAX } from '../../../lib/record/format.ts';
import { auto, oneOfFormats, readsJson } from '../../../lib/record/formats.ts';
import { msgpack } from '../../../lib/record/msgpack.ts';
import { decode, message, parts } from './decoding.ts';

const plain = new Packr({ useRecords: false });
const hex = (text: string) => Buffer.from(text, 'hex');

describe('msgpack', () => {
  test('what any library writes is read', () => {
    const value = {
      id: 'é',
      n: -1,
      f: 1.5,
      list: [true, null],
      at: new Date(1_700_000_000_123),
      raw: Uint8Array.of(1, 2),
    };
    assert.deepStrictEqual(decode(msgpack(), plain.pack(value)).values, [value]);
    assert.deepStrictEqual(decode(msgpack(), hex('82a16101a162c3')).values, [{ a: 1, b: true }]);
  });

  test('integers of 64 bits are numbers where that is exact and else bigints', () => {
    const values = ['cf0000000000000001', 'd3ffffffffffffffff', 'cf001fffffffffffff', 'cfffffffffffffffff'].map(
      it => decode(msgpack(), hex(it)).values[0],
    );
    assert.deepStrictEqual(values, [1, -1, Number.MAX_SAFE_INTEGER, 2n ** 64n - 1n]);
  });

  test('what only its libraries have is not read: references, records, sets, packed texts; undefined is', () => {
    const own = new Packr({ structuredClone: true, moreTypes: true, useBigIntExtension: true });
    let shared: unknown[] = ['x'];
    for (let i = 0; i < 50; i++) shared = [shared, shared];
    const circle: unknown[] = [];
    circle.push(circle);
    const bomb = own.pack(shared);
    assert.ok(bomb.length < 1_000, 'and 2^50 texts once it is written');
    const refused = [
      bomb,
      own.pack(circle),
      own.pack({ set: new Set([1]) }),
      own.pack(/x/),
      own.pack(new Error('x')),
      own.pack(new Float64Array(2)),
      own.pack(2n ** 70n),
      new Packr().pack([{ a: 1 }, { a: 2 }]),
      new Packr({ bundleStrings: true, useRecords: false }).pack({ text: 'bundled'.repeat(9) }),
      hex('d46900'),
      hex('c70269'),
      hex('d6700000'),
      hex('c80001ff'),
      hex('d7ff00000000000000'),
    ];
    for (const bytes of refused) {
      for (const decoder of [msgpack(), msgpack({ many: true })]) {
        const { values, unreadable } = decode(decoder, Buffer.concat([hex('91'), bytes]));
        assert.deepStrictEqual([values, unreadable.length], [[], 1], bytes.subarray(0, 9).toString('hex'));
        assert.match(unreadable[0]!.cause.message, /MessagePack/);
      }
    }
    assert.match(decode(msgpack(), bomb).unreadable[0]!.cause.message, /an extension of type 105: of extensions only/);
    assert.deepStrictEqual(decode(msgpack(), plain.pack({ a: undefined, b: 1 })).values, [{ a: undefined, b: 1 }]);
  });

  test('it nests so deep and holds so many values, and no more', () => {
    const nested = (depth: number) => Buffer.concat([Buffer.alloc(depth, 0x91), hex('c0')]);
    assert.equal(decode(msgpack(), nested(NESTING_READ_MAX)).values.length, 1);
    assert.match(decode(msgpack(), nested(NESTING_READ_MAX + 1)).unreadable[0]!.cause.message, /NESTING_READ_MAX/);
    const list = (items: number) => {
      const bytes = Buffer.alloc(5 + items, 0xc0);
      bytes[0] = 0xdd;
      bytes.writeUint32BE(items, 1);
      return bytes;
    };
    assert.equal(decode(msgpack(), list(VALUES_PER_MESSAGE_MAX - 1)).values.length, 1);
    assert.match(
      decode(msgpack(), list(VALUES_PER_MESSAGE_MAX)).unreadable[0]!.cause.message,
      /VALUES_PER_MESSAGE_MAX/,
    );
  });

  test('binary is a copy of the message', () => {
    const from = message(hex('c403010203'));
    const values: unknown[] = [];
    msgpack().decode(from, values, () => assert.fail());
    from.data.fill(0);
    assert.deepStrictEqual(values, [Uint8Array.of(1, 2, 3)]);
  });

  test('__proto__ pollutes nothing', () => {
    const { values } = decode(msgpack(), hex('81a95f5f70726f746f5f5f81a8706f6c6c75746564c3'));
    assert.equal(Object.getPrototypeOf(values[0]), Object.prototype);
    assert.equal((values[0] as Record<string, unknown>).polluted, undefined);
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  });

  test('what is not MessagePack is unreadable, whatever it claims and however deep', () => {
    const deep = Buffer.alloc(300_000, 0x91);
    for (const bad of [
      hex(''),
      hex('c1'),
      hex('92'),
      hex('ddffffffff'),
      hex('dfffffffff'),
      hex('c6ffffffff'),
      hex('0101'),
      deep,
    ]) {
      const decoded = decode(msgpack(), bad);
      assert.deepStrictEqual(
        [decoded.values.length, decoded.unreadable.length],
        [0, 1],
        bad.subarray(0, 9).toString('hex'),
      );
      assert.equal((decoded.unreadable[0]!.cause as { code?: string }).code, 'RECORD_UNREADABLE');
    }
    fc.assert(
      fc.property(fc.uint8Array(), it => {
        const decoded = decode(msgpack(), it);
        assert.equal(decoded.values.length + decoded.unreadable.length, 1);
      }),
    );
  });
});

describe('msgpack, many', () => {
  const three = Buffer.concat([plain.pack({ n: 1 }), plain.pack([2]), plain.pack('three')]);

  test('values one after the other are read, and each is found again', () => {
    const decoder = msgpack({ many: true });
    assert.deepStrictEqual(decode(decoder, three), { values: [{ n: 1 }, [2], 'three'], unreadable: [] });
    assert.deepStrictEqual(decode(decoder, ''), { values: [], unreadable: [] });
    const found = decoder.parts!(message(three))![1]!;
    assert.deepStrictEqual(decode(msgpack(), found).values, [[2]]);
    assert.equal(decoder.parts!(message(three))!.length, 3);
  });

  test('what follows a broken value is one unreadable part', () => {
    const decoder = msgpack({ many: true });
    const decoded = decode(decoder, Buffer.concat([three, hex('92a16101')]).subarray(0, three.length + 2));
    assert.deepStrictEqual(decoded.values, [{ n: 1 }, [2], 'three']);
    assert.deepStrictEqual(parts(decoded), [[3, '\x92\xa1']]);
    assert.deepStrictEqual(decode(decoder, three).values.length, 3, 'and the decoder goes on');
  });

  test('more values than the limit are unreadable as a whole', () => {
    const decoder = msgpack({ many: true });
    assert.equal(decode(decoder, new Uint8Array(RECORDS_PER_MESSAGE_MAX)).values.length, RECORDS_PER_MESSAGE_MAX);
    const decoded = decode(decoder, new Uint8Array(RECORDS_PER_MESSAGE_MAX + 1));
    assert.deepStrictEqual([decoded.values.length, decoded.unreadable.length], [0, 1]);
    assert.equal(decoded.unreadable[0]!.bytes.length, RECORDS_PER_MESSAGE_MAX + 1);
  });
});

describe('the format of a source that names none', () => {
  test('is JSON unless the content type says otherwise, whatever the case of the header', () => {
    const event = '{"specversion":"1.0","id":"1","source":"/s","type":"t","data":7}';
    assert.deepStrictEqual(decode(auto(), '{"a":1}').values, [{ a: 1 }]);
    assert.deepStrictEqual(decode(auto(), '{"a":1}', { 'Content-Type': 'text/plain' }).values, [{ a: 1 }]);
    assert.deepStrictEqual(
      decode(auto(), '1\n2', { 'Content-Type': 'application/x-ndjson; charset=utf-8' }).values,
      [1, 2],
    );
    assert.deepStrictEqual(decode(auto(), hex('81a16101'), { 'content-type': 'application/msgpack' }).values, [
      { a: 1 },
    ]);
    assert.deepStrictEqual(
      decode(auto(), hex('0102'), { 'CONTENT-TYPE': 'application/x-msgpack-stream' }).values,
      [1, 2],
    );
    const [structured] = decode(auto(), event, { 'Content-Type': 'application/cloudevents+json' }).values;
    assert.equal((structured as { data: unknown }).data, 7);
    assert.equal((decode(auto(), event).values[0] as { specversion: string }).specversion, '1.0');
  });

  test('is what the source lets senders choose from: anything else is unreadable and says so', () => {
    const lines = oneOfFormats(['ndjson', 'json']);
    assert.equal(lines.name, 'auto(ndjson, json)');
    assert.deepStrictEqual(decode(lines, '1\n2').values, [1, 2], 'the first, where nothing is said');
    assert.deepStrictEqual(decode(lines, '1\n2', { 'Content-Type': 'text/x-unheard-of' }).values, [1, 2]);
    assert.deepStrictEqual(decode(lines, '{"a":1}', { 'content-type': 'Application/JSON; charset=utf-8' }).values, [
      { a: 1 },
    ]);
    for (const type of ['application/msgpack', 'application/x-msgpack-stream', 'application/cloudevents+json']) {
      const { values, unreadable } = decode(lines, hex('01'), { 'Content-Type': type });
      assert.deepStrictEqual(values, []);
      assert.equal(unreadable[0]!.cause.message, `the source does not take ${type}: its formats are ndjson, json`);
    }
    assert.deepStrictEqual(decode(oneOfFormats(['msgpack']), hex('81a16101')).values, [{ a: 1 }]);
    assert.deepStrictEqual(
      [auto(), lines, oneOfFormats(['json']), oneOfFormats(['ndjson']), oneOfFormats(['msgpack'])].map(readsJson),
      [true, true, true, false, false],
    );
  });

  test('finds the bytes of a record by the same choice', () => {
    const lines = message('1\n22', { 'Content-Type': 'application/x-ndjson' });
    assert.equal(Buffer.from(auto().parts!(lines)![1]!).toString(), '22');
    assert.equal(auto().parts!(message('1')), null);
  });
});
