/** Packed values: golden bytes, fidelity, refusals, determinism, damaged bytes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MillraceError } from '../../../lib/base/errors.ts';
import { decodeRows, encodeRows, pack, unpack } from '../../../lib/record/rows.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

const text = fc.oneof(fc.string(), fc.string({ unit: fc.nat(0xffff).map(unit => String.fromCharCode(unit)) }));
const name = fc.oneof(
  fc.constantFrom(
    'id',
    'a',
    'b',
    '__proto__',
    'constructor',
    'toString',
    'hasOwnProperty',
    '',
    '0',
    '1',
    'a"b',
    "'",
    '\u2028',
  ),
  text,
);
const { value } = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { maxDepth: 5 },
    fc.integer(),
    fc.integer({ min: -40_000, max: 40_000 }),
    fc.double(),
    fc.constantFrom(
      undefined,
      null,
      true,
      false,
      -0,
      0,
      Infinity,
      2 ** 31,
      -(2 ** 31),
      2 ** 31 - 1,
      2 ** 53,
      127,
      128,
      -128,
      -129,
    ),
    text,
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.bigInt({ min: -(10n ** 1000n) + 1n, max: 10n ** 1000n - 1n }),
    fc.date({ noInvalidDate: true }),
    fc.uint8Array(),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(name, tie('value'), { maxKeys: 5, noNullPrototype: true }),
    fc.array(fc.tuple(tie('value'), tie('value')), { maxLength: 3 }).map(entries => new Map(entries)),
    fc.array(tie('value'), { maxLength: 3 }).map(values => new Set(values)),
  ),
}));

/** Objects, in their order of names: deepStrictEqual does not look at it. */
function orders(it: unknown): unknown {
  if (Array.isArray(it)) return it.map(orders);
  if (it instanceof Map) return [...it].map(orders);
  if (it instanceof Set) return [...it].map(orders);
  if (typeof it !== 'object' || it === null || it instanceof Date || it instanceof Uint8Array) return null;
  return Object.entries(it).map(([key, inner]) => [key, orders(inner)]);
}

describe('packed values', () => {
  test('golden bytes never change', () => {
    const golden: [unknown, string][] = [
      [null, '01010100000080'],
      [undefined, '01010100000081'],
      [-0, '010109000000870000000000000080'],
      [NaN, '01010900000087000000000000f87f'],
      [300, '010103000000852c01'],
      [[], '0101020000008c00'],
      ['é', '010001000000895b22c3a9225d'],
      ['a\ud800', '010101000000895b22615c7564383030225d'],
      [
        [
          { id: 1, name: 'a' },
          { id: 2, name: 'b' },
        ],
        '0101090000008c0290020189c002895b226964222c226e616d65222c2261222c2262225d',
      ],
      [
        [{ id: 1 }, { at: new Date(5) }, { id: -2 }],
        '0101130000008c0390010190018a0000000000001440c084fe5b226964222c226174225d',
      ],
      [
        { '': true, big: -7n, raw: Uint8Array.of(1, 255) },
        '01011000000090038388f9ffffffffffffff8b0201ff5b22222c22626967222c22726177225d',
      ],
      [
        [new Map([['k', 70_000]]), new Set([false, 2 ** 40])],
        '0101160000008c028d018986701101008e02828700000000000070425b226b225d',
      ],
    ];
    for (const [it, bytes] of golden) {
      assert.equal(hex(pack(it)), bytes);
      assert.deepStrictEqual(unpack(Buffer.from(bytes, 'hex')), it);
    }
  });

  test('every value is read back as it was, with the order of its names', () => {
    fc.assert(
      fc.property(value, it => {
        const back = unpack(pack(it));
        assert.deepStrictEqual(back, it);
        assert.deepStrictEqual(orders(back), orders(it));
      }),
      { numRuns: 3000 },
    );
  });

  test('rows of few shapes are read back by compiled constructors as by name', () => {
    const shapes = fc.array(fc.uniqueArray(name, { maxLength: 5 }), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(shapes, fc.array(fc.nat(3), { minLength: 500, maxLength: 600 }), (names, picks) => {
        const rows = picks.map((pick, i) =>
          Object.fromEntries(names[pick % names.length]!.map((key, j) => [key, i * j - 300])),
        );
        const back = decodeRows(encodeRows(rows));
        assert.deepStrictEqual(back, rows);
        assert.deepStrictEqual(orders(back.at(-1)), orders(rows.at(-1)));
      }),
      { numRuns: 50 },
    );
  });

  test('an invalid date stays one', () => {
    // deepStrictEqual takes no two invalid dates for equal, so the property above leaves them out.
    const back = unpack(pack(new Date(Number.NaN)));
    assert.ok(back instanceof Date);
    assert.ok(Number.isNaN(back.getTime()));
  });

  test('a missing field and an undefined one stay apart', () => {
    const [first, second] = decodeRows(encodeRows([{ a: undefined }, {}])) as object[];
    assert.ok(Object.hasOwn(first!, 'a'));
    assert.ok(!Object.hasOwn(second!, 'a'));
  });

  test('a field called __proto__ is an own field, and no prototype is touched', () => {
    const row = JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}') as object;
    const rows = decodeRows(encodeRows(new Array(300).fill(row)));
    for (const back of rows as Record<string, unknown>[]) {
      assert.ok(Object.hasOwn(back, '__proto__'));
      assert.equal(Object.getPrototypeOf(back), Object.prototype);
      assert.equal(back.polluted, undefined);
    }
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  });

  test('names that look like code are only names', () => {
    const names = ['"]: (globalThis.hit = 1), ["', "'", '`', '\\', '\n', '\u2028', '});', 'return'];
    const rows = new Array(300).fill(Object.fromEntries(names.map((key, i) => [key, i])));
    assert.deepStrictEqual(decodeRows(encodeRows(rows)), rows);
    assert.equal((globalThis as Record<string, unknown>).hit, undefined);
  });

  test('more shapes than the table holds, and very wide objects, are still read back', () => {
    const rows = Array.from({ length: 400 }, (_, i) => ({ [`name${i % 150}`]: i, same: 'x' }));
    assert.deepStrictEqual(decodeRows(encodeRows(rows)), rows);
    const wide = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`f${i}`, i]));
    assert.deepStrictEqual(unpack(pack([wide, wide])), [wide, wide]);
    for (let i = 0; i < 20_000; i++) assert.deepStrictEqual(unpack(pack({ [`seen${i}`]: i })), { [`seen${i}`]: i });
  });

  test('holes become undefined, and objects without a prototype become plain', () => {
    // biome-ignore lint/suspicious/noSparseArray: the hole is the point
    assert.deepStrictEqual(unpack(pack([1, , 2])), [1, undefined, 2]);
    assert.deepStrictEqual(unpack(pack(Object.assign(Object.create(null) as object, { a: 1 }))), { a: 1 });
  });

  test('what is read shares no memory with the bytes', () => {
    const packed = pack({ raw: Uint8Array.of(1, 2, 3) });
    const back = unpack(packed) as { raw: Uint8Array };
    packed.fill(0);
    assert.deepStrictEqual(back.raw, Uint8Array.of(1, 2, 3));
    assert.equal(Object.getPrototypeOf(unpack(pack(Buffer.from('a'))) as Uint8Array), Uint8Array.prototype);
  });

  test('equal values give equal bytes, whatever was packed before or failed to be', () => {
    fc.assert(
      fc.property(value, value, (before, it) => {
        const first = hex(pack(it));
        pack(before);
        assert.throws(() => pack([before, () => 1]));
        assert.equal(hex(pack(structuredClone(it))), first);
      }),
    );
  });

  test('shapes of one packed value are unknown to the next', () => {
    pack([{ a: 1 }, { b: 1 }, { a: 1 }]);
    assert.deepStrictEqual(unpack(pack({ b: 1 })), { b: 1 });
  });

  test('what a getter throws, whatever it is, is the value that cannot be written', () => {
    for (const thrown of [new Error('mine'), 'mine', new RangeError('Invalid string length'), null]) {
      const value = {
        get x() {
          throw thrown;
        },
      };
      assert.throws(() => pack([1, value]), { code: 'RECORD_UNWRITABLE', message: /^the value cannot be read: / });
    }
    assert.deepEqual(unpack(pack([1, { x: 1 }])), [1, { x: 1 }]);
  });

  test('a getter may pack while its object is being packed', () => {
    const outer = {
      before: 'x',
      get inner() {
        return pack({ deep: 'y' });
      },
    };
    const back = unpack(pack(outer)) as { before: string; inner: Uint8Array };
    assert.equal(back.before, 'x');
    assert.deepStrictEqual(unpack(back.inner), { deep: 'y' });
  });

  test('what cannot be carried is refused with the name of its field', () => {
    class Money {}
    const circle: unknown[] = [];
    circle.push({ self: circle });
    const refused: [unknown, RegExp][] = [
      [[{ id: 1 }, { id: 2, user: { tags: ['a', () => 1] } }], /^\[1\]\.user\.tags\[1\] is a function/],
      [() => 1, /^the value is a function/],
      [{ a: Symbol('s') }, /^a is a symbol/],
      [{ a: { ok: 1 }, price: new Money() }, /^price is an instance of Money/],
      [{ a: 10n ** 1000n }, /^a is a bigint of more than 1000 digits/],
      [{ a: -(1n << 10_000_000n) }, /^a is a bigint of more than 1000 digits/],
      [{ a: new Map([[1, /x/]]) }, /^a\[0\] is an instance of RegExp/],
      [{ a: new Float32Array(1) }, /^a is an instance of Float32Array/],
      [circle, /nested deeper than 128, or contains itself/],
      [{ list: new Array(1e8) }, /^list\[\d+\] is beyond 67108864 packed bytes/],
    ];
    for (const [it, message] of refused) assert.throws(() => pack(it), { code: 'RECORD_UNWRITABLE', message });
    assert.throws(() => encodeRows([{ a: 1 }, { a: Promise.resolve() }]), {
      message: /^\[1\]\.a is an instance of Promise/,
    });
  });

  test('packed bytes that are not a list of rows are refused', () => {
    assert.throws(() => decodeRows(pack({ a: 1 })), { code: 'JOURNAL_CORRUPT', message: /not a list of rows/ });
  });

  test('counts that claim more than there is allocate nothing', () => {
    for (const tag of ['8b', '8c', '8d', '8e', '8f', '90']) {
      for (const count of ['ffffffff0f', 'ffffffff7f', 'ffffffffffff', 'ff']) {
        const body = tag + count;
        const head = Buffer.from([1, 1, body.length / 2, 0, 0, 0]);
        assert.throws(() => unpack(Buffer.concat([head, Buffer.from(body, 'hex')])), { code: 'JOURNAL_CORRUPT' });
      }
    }
    const gigabyte = Buffer.from('0101060000008b8080808004', 'hex');
    assert.throws(() => unpack(gigabyte), { code: 'JOURNAL_CORRUPT', message: /a count is larger than what follows/ });
  });

  test('nesting beyond what is written is refused', () => {
    const nested = Buffer.alloc(6 + 2 * 1000);
    nested.set([1, 1, 0xd0, 0x07]);
    for (let at = 6; at < nested.length; at += 2) nested.set([0x8c, 1], at);
    assert.throws(() => unpack(nested), { code: 'JOURNAL_CORRUPT', message: /nested too deep/ });
  });

  test('a value or a string too many is refused', () => {
    assert.deepStrictEqual(unpack(Buffer.from('01010100000005', 'hex')), 5);
    assert.throws(() => unpack(Buffer.from('0101020000000505', 'hex')), {
      code: 'JOURNAL_CORRUPT',
      message: /more than one/,
    });
    const strings = (text: string) => Buffer.concat([Buffer.from('01010100000089', 'hex'), Buffer.from(text)]);
    assert.equal(unpack(strings('["a"]')), 'a');
    for (const text of ['["a","b"]', '[1]', '{}', '"a"', '[', '[]']) {
      assert.throws(() => unpack(strings(text)), { code: 'JOURNAL_CORRUPT' }, text);
    }
  });

  test('every cut of packed bytes is refused', () => {
    const packed = pack([{ id: 'a', n: 1 }, { id: 'é', n: 1.5 }, new Map([[1n, new Date(0)]]), Uint8Array.of(1)]);
    for (let length = 0; length < packed.length; length++) {
      assert.throws(() => unpack(packed.subarray(0, length)), { code: 'JOURNAL_CORRUPT' }, `cut at ${length}`);
    }
    assert.throws(() => unpack(Buffer.concat([packed, Uint8Array.of(0)])), { code: 'JOURNAL_CORRUPT' });
  });

  test('damaged bytes are read as something or refused, and never end the process', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(value, damage, (it, changes) => {
        const packed = pack([it, it]);
        for (const [at, byte] of changes) packed[at % packed.length] = byte;
        readOrRefuse(packed);
      }),
      { numRuns: 5000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), body => {
        readOrRefuse(
          Buffer.concat([Uint8Array.of(1, 1, body.length, 0, 0, 0), body, Buffer.from('["a","b","__proto__"]')]),
        );
        readOrRefuse(body);
      }),
      { numRuns: 3000 },
    );
    assert.equal(({} as Record<string, unknown>).a, undefined);
  });
});

function readOrRefuse(packed: Uint8Array): void {
  try {
    unpack(packed);
  } catch (error) {
    assert.ok(error instanceof MillraceError && error.code === 'JOURNAL_CORRUPT', String(error));
  }
}
