/** Rows as lines of JSON: whatever a row is, its line is what `JSON.stringify` gives, and a row that fails leaves no trace. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { JsonLines } from '../../../lib/record/json-lines.ts';
import { jsonOutput } from '../../../lib/record/output.ts';

const ANY_SIZE = Number.POSITIVE_INFINITY;

/** The lines of these rows, written one after the other. */
function linesOf(rows: readonly unknown[]): string[] {
  const lines = new JsonLines();
  const told = rows.map(row => lines.add(row, ANY_SIZE));
  const { bytes, lengths } = lines.take();
  assert.deepEqual(lengths, told);
  const written: string[] = [];
  let at = 0;
  for (const length of lengths) {
    written.push(Buffer.from(bytes.subarray(at, at + length)).toString());
    assert.equal(bytes[at + length], 0x0a);
    at += length + 1;
  }
  assert.equal(at, bytes.length);
  return written;
}

/** Each row alone, and all of them twice in a row: what is written must not depend on what was written before. */
function assertLines(rows: readonly unknown[]): void {
  const expected = rows.map(row => JSON.stringify(row));
  for (const [i, row] of rows.entries()) assert.deepEqual(linesOf([row]), [expected[i]]);
  assert.deepEqual(linesOf([...rows, ...rows]), [...expected, ...expected]);
}

const text = fc.oneof(fc.string(), fc.string({ unit: fc.nat(0xffff).map(unit => String.fromCharCode(unit)) }));
const name = fc.oneof(
  fc.constantFrom('id', 'a', 'b', '', '0', '17', '-1', '__proto__', 'toString', 'a"b', '\u2028'),
  text,
);
const number = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double(),
  fc
    .tuple(fc.integer({ min: -9, max: 9 }), fc.nat(22), fc.integer({ min: -1, max: 1 }))
    .map(([a, e, b]) => a * 10 ** e + b),
);
const flat = fc.oneof(number, text, fc.boolean(), fc.constantFrom(null, undefined));
const value = fc.oneof(
  { weight: 9, arbitrary: flat },
  {
    weight: 1,
    arbitrary: fc.oneof(fc.date(), fc.array(flat, { maxLength: 3 }), fc.dictionary(name, flat, { maxKeys: 3 })),
  },
);
const row = fc.oneof(
  { weight: 9, arbitrary: fc.dictionary(name, value, { maxKeys: 8, noNullPrototype: true }) },
  { weight: 1, arbitrary: fc.oneof(fc.dictionary(name, value), fc.array(value), number, text, fc.constant(null)) },
);

describe('rows as lines of JSON', () => {
  test('are what JSON.stringify gives, whatever they are and whatever came before', () => {
    fc.assert(fc.property(fc.array(row, { maxLength: 8 }), assertLines), { numRuns: 2_000 });
  });

  test('are, too, where all are flat, of one shape or of several', () => {
    const several = fc.array(fc.dictionary(name, flat, { maxKeys: 4, noNullPrototype: true }), { maxLength: 8 });
    const one = fc.uniqueArray(name, { maxLength: 6 }).chain(names => {
      const values = fc.array(flat, { minLength: names.length, maxLength: names.length });
      const rowOf = (of: readonly unknown[]) => Object.fromEntries(names.map((field, i) => [field, of[i]]));
      return fc.array(values.map(rowOf), { maxLength: 6 });
    });
    fc.assert(fc.property(fc.oneof(several, one), assertLines), { numRuns: 2_000 });
  });

  test('have every number as it is', () => {
    const numbers = [
      -0,
      NaN,
      Infinity,
      -Infinity,
      1e21,
      1e-7,
      5e-324,
      1.7976931348623157e308,
      0.1,
      -1.5,
      2 ** 31,
      -(2 ** 31),
    ];
    for (let exponent = 0; exponent < 23; exponent++) {
      for (const near of [-1, -0.5, 0, 0.5, 1]) numbers.push(10 ** exponent + near, -(10 ** exponent) - near);
    }
    for (let exponent = 0; exponent < 64; exponent++)
      numbers.push(2 ** exponent - 1, 2 ** exponent, -(2 ** exponent) - 1);
    assertLines(numbers.map(n => ({ n })));
  });

  test('have every character of a text, lone surrogates escaped', () => {
    const texts = Array.from({ length: 0x300 }, (_, unit) => `a${String.fromCharCode(unit)}b`);
    texts.push('\u2028\u2029', '\ud83d\ude00', '\ud83d', '\ude00\ud83d', '\ufeff', '</script>', 'é'.repeat(20_000));
    // Short texts and long ones are looked through in different ways.
    texts.push(...texts.map(t => 'long '.repeat(12) + t));
    assertLines(texts.map(t => ({ t, after: 1 })));
    assertLines(texts.map(t => ({ [t]: t })));
  });

  test('of other kinds than flat ones are left to JSON.stringify', () => {
    class Row {
      n = 1;
      #hidden = 2;
      get double() {
        return this.#hidden;
      }
    }
    class Told {
      toJSON(key: string) {
        return `as ${key}`;
      }
    }
    const symbol = { [Symbol('s')]: 1, n: 1 };
    const hidden = Object.defineProperty({ n: 1 }, 'no', { value: 2, enumerable: false });
    const accessor = Object.defineProperty({ m: 1 }, 'n', { get: () => 3, enumerable: true });
    const told = Object.defineProperty({ n: 1 }, 'toJSON', { value: () => 'told', enumerable: false });
    const list = Object.setPrototypeOf([], Object.prototype);
    assertLines([
      ...[{}, { a: undefined }, { a: undefined, b: 1, c: undefined }, [], [1], 'x', 7, true, null],
      ...[{ a: { b: 1 } }, { a: [1] }, { a: new Date(5) }, { f() {}, s: Symbol('s') }],
      ...[new Row(), new Told(), { a: new Told() }, { toJSON: 1, a: 2 }, { toJSON: () => ({ b: 1 }) }, new Date(5)],
      ...[symbol, hidden, accessor, told, list, Object.create({ inherited: 1 }), Object.create(null)],
      ...[runInNewContext('({ a: 1 })'), JSON.parse('{"__proto__":1,"b":2}'), { ['__proto__']: null, b: 1 }],
      ...[{ b: 1, a: 2 }, { a: 2, b: 1 }, { 1: 'one', b: 2, 0: 'zero' }, new Proxy({ a: 1 }, {})],
      Object.freeze({ a: 1 }),
    ]);
    for (const bad of [{ a: new Map() }, new Set(), new Number(1)]) {
      assert.throws(() => linesOf([bad]), { code: 'RECORD_UNWRITABLE' });
    }
    const raw = { a: Uint8Array.of(1), b: 2 };
    const rows = [{ a: 1n, b: 2 }, { a: 2n ** 70n, b: [-(2n ** 53n)] }, Uint8Array.of(1), raw, { deep: [raw] }];
    const lines = ['{"a":1,"b":2}', '{"a":1180591620717411303424,"b":[-9007199254740992]}', '"AQ=="'];
    assert.deepEqual(linesOf(rows), [...lines, '{"a":"AQ==","b":2}', '{"deep":[{"a":"AQ==","b":2}]}']);
    const bigints = BigInt.prototype as { toJSON?: () => string };
    try {
      bigints.toJSON = function (this: bigint) {
        return String(this);
      };
      assert.deepEqual(linesOf([{ a: 1n }, { a: [1n] }]), ['{"a":"1"}', '{"a":["1"]}']);
    } finally {
      delete bigints.toJSON;
    }
  });

  test('do not show what somebody has added to all objects', () => {
    const everything = Object.prototype as Record<string, unknown>;
    const before = linesOf([{ n: 1 }]);
    try {
      everything.added = 1;
      assert.deepEqual(linesOf([{ n: 1 }, { n: 1 }]), [...before, ...before]);
      delete everything.added;
      Object.defineProperty(everything, 'toJSON', { value: () => 'told', configurable: true });
      assert.deepEqual(linesOf([{ n: 1 }]), ['"told"']);
    } finally {
      delete everything.added;
      delete everything.toJSON;
    }
  });

  test('with very many fields, or ever other names, are', () => {
    const wide = (width: number) => Object.fromEntries(Array.from({ length: width }, (_, i) => [`f${i}`, i]));
    assertLines([wide(63), wide(64), wide(65), wide(2_000)]);
    assertLines(Array.from({ length: 1_000 }, (_, i) => ({ [`id-${i}`]: i, n: 1 })));
  });

  test('that cannot be written throw as jsonOutput does, and leave the others as they are', () => {
    const circle: Record<string, unknown> = { n: 1 };
    circle.self = circle;
    const bad = {
      n: 1,
      get no() {
        throw new Error('oops');
      },
    };
    for (const wrong of [undefined, () => 1, Symbol('s'), circle, bad]) {
      const lines = new JsonLines();
      lines.add({ n: 1 }, ANY_SIZE);
      let said: unknown;
      try {
        jsonOutput(wrong);
      } catch (error) {
        said = error;
      }
      assert.throws(() => lines.add(wrong, ANY_SIZE), said as Error);
      lines.add({ n: 2 }, ANY_SIZE);
      assert.equal(Buffer.from(lines.take().bytes).toString(), '{"n":1}\n{"n":2}\n');
    }
  });

  test('that are too large are told, not written', () => {
    const lines = new JsonLines();
    for (const large of [{ text: 'x'.repeat(20) }, { text: 'é'.repeat(10) }, { list: ['é'.repeat(10)] }]) {
      const bytes = Buffer.byteLength(JSON.stringify(large));
      assert.equal(lines.add(large, bytes - 1), bytes);
      assert.equal(lines.count, 0);
      assert.equal(lines.add(large, bytes), bytes);
      assert.equal(lines.count, 1);
      assert.equal(lines.take().bytes.length, bytes + 1);
    }
  });

  test('are whole wherever the room for them ends', () => {
    // More than is kept for the next writer, so that the others begin with as little as there is.
    assert.equal(linesOf([{ text: 'x'.repeat(2_000_000) }]).length, 1);
    const values = ['é'.repeat(30), true, -Number.MAX_VALUE, null, 'x'.repeat(47), 'y'.repeat(200)];
    const writers = Array.from({ length: 600 }, (_, shift) => {
      const lines = new JsonLines();
      const rows = Array.from({ length: 1_000 }, (_, i) => ({
        text: 'z'.repeat(i === 0 ? shift : 0),
        v: values[i % 6],
      }));
      for (const row of rows) lines.add(row, ANY_SIZE);
      return { lines, rows };
    });
    for (const { lines, rows } of writers) {
      const expected = rows.map(row => `${JSON.stringify(row)}\n`).join('');
      assert.ok(Buffer.from(expected).equals(lines.take().bytes));
    }
  });

  test('keep their bytes while more are written', () => {
    const lines = new JsonLines();
    lines.add({ n: 1 }, ANY_SIZE);
    const { bytes } = lines.take();
    for (let i = 0; i < 5; i++) linesOf([{ m: 2 }]);
    assert.equal(Buffer.from(bytes).toString(), '{"n":1}\n');
  });
});
