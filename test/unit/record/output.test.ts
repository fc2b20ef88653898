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

describe('a letter of a value', () => {
  test('is JSON that reads back, with all digits and bytes in base64, and in words what JSON cannot say', () => {
    const text = (value: unknown) => Buffer.from(readable(value)).toString();
    assert.equal(text({ id: 9007199254740993n, raw: Uint8Array.of(1) }), '{"id":9007199254740993,"raw":"AQ=="}');
    assert.equal(text(undefined), 'undefined');
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
      [new Map([['a', new Set([1])]]), '81a1619101'],
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
