/** Results as bytes that anybody can read. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { jsonOutput, packOutput, readable } from '../../../lib/record/output.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('json output', () => {
  test('is one line; dates are ISO, bigints have all their digits, bytes are base64, NaN is null', () => {
    const value = {
      text: 'a\nb',
      at: new Date(5),
      few: 5n,
      many: 2n ** 60n,
      deep: [{ n: -1n }],
      nan: NaN,
      no: undefined,
    };
    assert.equal(
      jsonOutput(value),
      '{"text":"a\\nb","at":"1970-01-01T00:00:00.005Z","few":5,"many":1152921504606846976,"deep":[{"n":-1}],"nan":null}',
    );
    assert.equal(jsonOutput(5n), '5');
    const raw = {
      a: Uint8Array.of(1, 2),
      b: [Buffer.from('text')],
      none: new Uint8Array(0),
      empty: {},
      at: new Date(5),
    };
    assert.equal(
      jsonOutput({
        raw,
        sparse: Object.assign(new Array(2), { 1: 1 }),
        said: { toJSON: () => Uint8Array.of(3) },
        big: 2n ** 64n,
      }),
      '{"raw":{"a":"AQI=","b":["dGV4dA=="],"none":"","empty":{},"at":"1970-01-01T00:00:00.005Z"},' +
        '"sparse":[null,1],"said":"Aw==","big":18446744073709551616}',
    );
    assert.equal(jsonOutput({ raw: { none: new Uint8Array(0) } }), '{"raw":{"none":""}}');
    assert.equal(jsonOutput(Uint8Array.of(1)), '"AQ=="');
    assert.equal(jsonOutput(null), 'null');
  });

  test('what has no JSON is refused', () => {
    const circle: Record<string, unknown> = { n: 5n };
    circle.self = circle;
    let deep: unknown = [];
    for (let i = 0; i < 100_000; i++) deep = [deep];
    for (const bad of [undefined, () => 1, Symbol('s'), circle, deep]) {
      assert.throws(() => jsonOutput(bad), { code: 'RECORD_UNWRITABLE' });
    }
    const own = {
      toJSON() {
        throw new Error('oops');
      },
    };
    assert.throws(() => jsonOutput(own), { code: 'RECORD_UNWRITABLE', message: /oops/ });
  });
});

/** Views of the same two bytes, none of which begins where its memory does. */
function byteViews(): unknown[] {
  const memory = Uint8Array.of(9, 9, 1, 2, 9).buffer;
  return [
    new Uint8Array(memory, 2, 2),
    Buffer.from(memory, 2, 2),
    new Uint8ClampedArray(memory, 2, 2),
    new DataView(memory, 2, 2),
    memory.slice(2, 4),
  ];
}

describe('what is more than data', () => {
  test('bytes are base64 in JSON and binary in MessagePack, whatever shows them', () => {
    for (const bytes of byteViews()) {
      for (const said of [bytes, { toJSON: () => bytes }]) {
        assert.equal(jsonOutput({ v: [said] }), '{"v":["AQI="]}');
        assert.equal(hex(packOutput({ v: [said] })), '81a17691c4020102');
      }
      assert.equal(jsonOutput(bytes), '"AQI="');
      assert.equal(hex(packOutput(bytes)), 'c4020102');
    }
  });

  test('a built-in object that would come out as another value is refused, and named', () => {
    const { buffer } = new Uint8Array(16);
    const bad: [object, RegExp][] = [
      [new Float64Array(buffer), /"v" is of type Float64Array/],
      [new Uint16Array(buffer), /"v" is of type Uint16Array/],
      [new BigInt64Array(buffer), /"v" is of type BigInt64Array/],
      [new Map([['a', 1]]), /"v" is of type Map/],
      [new (class Names extends Set {})(), /"v" is of type Names/],
      [new WeakMap(), /"v" is of type WeakMap/],
      [new RangeError('x'), /"v" is of type RangeError/],
      [/x/, /"v" is of type RegExp/],
      [Promise.resolve(1), /"v" is of type Promise/],
      [Object(5n), /"v" is of type BigInt/],
      [Object(5), /"v" is of type Number/],
      [Object('a'), /"v" is of type String/],
      [new Date(Number.NaN), /"v" is an invalid Date/],
    ];
    for (const [v, message] of bad) {
      for (const row of [{ v }, { deep: [{ v }] }, { n: 5n, v }, { v: { toJSON: () => v } }]) {
        assert.throws(() => jsonOutput(row), { code: 'RECORD_UNWRITABLE', message });
        assert.throws(() => packOutput(row), { code: 'RECORD_UNWRITABLE', message });
      }
      assert.throws(() => jsonOutput(v), { code: 'RECORD_UNWRITABLE' });
      assert.throws(() => packOutput(v), { code: 'RECORD_UNWRITABLE' });
    }
  });

  test('an instance of a class is what it says, or its fields', () => {
    class Money {
      cents = 5;
    }
    class Said extends Map {
      toJSON() {
        return { size: this.size };
      }
    }
    const row = { a: new Money(), b: new Said(), c: Object.assign(Object.create(null), { d: new Date(5000) }) };
    assert.equal(jsonOutput(row), '{"a":{"cents":5},"b":{"size":0},"c":{"d":"1970-01-01T00:00:05.000Z"}}');
    assert.equal(hex(packOutput(row)), '83a16181a563656e747305a16281a473697a6500a16381a164d6ff00000005');
  });
});

describe('a letter of a value', () => {
  test('is JSON that reads back, with all digits and bytes in base64, and in words what JSON cannot say', () => {
    const text = (value: unknown) => Buffer.from(readable(value)).toString();
    assert.equal(text({ id: 9007199254740993n, raw: Uint8Array.of(1) }), '{"id":9007199254740993,"raw":"AQ=="}');
    assert.equal(text(undefined), 'undefined');
    const seen = { id: 1, seen: new Set([1]), at: new Date(Number.NaN) };
    assert.equal(text(seen), '{"id":1,"seen":{"unwritable":"of type Set"},"at":{"unwritable":"an invalid Date"}}');
    const circle: unknown[] = [];
    circle.push(circle);
    assert.match(text(circle), /^{"unwritable":/);
  });
});

describe('msgpack output', () => {
  test('golden bytes: plain maps, no extensions but timestamps', () => {
    const cases: [unknown, string][] = [
      [
        { id: 'a', n: 300, f: 1.5, ok: true, no: undefined, nil: null },
        '86a26964a161a16ecd012ca166cb3ff8000000000000a26f6bc3a26e6fc0a36e696cc0',
      ],
      [{ at: new Date(5000) }, '81a26174d6ff00000005'],
      [[1n, Uint8Array.of(1, 2)], '92d30000000000000001c4020102'],
      [null, 'c0'],
    ];
    for (const [value, bytes] of cases) assert.equal(hex(packOutput(value)), bytes);
  });

  test('equal rows give equal bytes, also after a row that was refused', () => {
    const first = hex(packOutput({ a: 1, b: { c: 2 } }));
    assert.throws(() => packOutput({ a: 1, b: Symbol('s') }), { code: 'RECORD_UNWRITABLE' });
    assert.equal(hex(packOutput({ a: 1, b: { c: 2 } })), first);
  });

  test('a row keeps its bytes while more rows are written', () => {
    const rows = Array.from({ length: 5000 }, (_, i) => ({ row: i, pad: 'x'.repeat(i % 100) }));
    const packed = rows.map(row => packOutput(row));
    for (const [i, bytes] of packed.entries()) assert.equal(hex(bytes), hex(packOutput(rows[i])));
  });

  test('what cannot be written is refused', () => {
    const circle: Record<string, unknown> = {};
    circle.self = circle;
    for (const bad of [undefined, () => 1, Symbol('s'), circle, { n: 2n ** 70n }]) {
      assert.throws(() => packOutput(bad), { code: 'RECORD_UNWRITABLE' });
    }
  });
});
