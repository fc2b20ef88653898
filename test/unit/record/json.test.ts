/** JSON, NDJSON, text and bytes: what is read, what is unreadable, and that a bad part poisons itself alone. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { bytes, jsonOf, RECORDS_PER_MESSAGE_MAX, text, VALUES_PER_MESSAGE_MAX } from '../../../lib/record/format.ts';
import { json, ndjson } from '../../../lib/record/json.ts';
import { jsonOutput } from '../../../lib/record/output.ts';
import { decode, message, parts } from './decoding.ts';

const INVALID_UTF8 = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]);

test('JSON of more values than a message may hold is unreadable as a whole, in lines too; texts may hold any signs', () => {
  const list = (items: number, item: string) => `[${`${item},`.repeat(items - 1)}${item}]`;
  assert.equal(decode(json(), list(VALUES_PER_MESSAGE_MAX - 2, '11')).values.length, 1);
  for (const [decoder, much] of [
    [json(), list(VALUES_PER_MESSAGE_MAX, '11')],
    [json(), list(VALUES_PER_MESSAGE_MAX, '{}')],
    [ndjson(), `${list(VALUES_PER_MESSAGE_MAX, '[]')}\n1`],
  ] as const) {
    const { values, unreadable } = decode(decoder, much);
    assert.deepEqual([values.length, unreadable.length], [0, 1]);
    assert.match(unreadable[0]!.cause.message, /^\d+ values are more than VALUES_PER_MESSAGE_MAX/);
  }
  const text = '[,{\\"'.repeat(VALUES_PER_MESSAGE_MAX);
  assert.equal(decode(json(), JSON.stringify([text])).values.length, 1);
});

describe('json', () => {
  test('any JSON value is read, ASCII or not, with a byte order mark or without', () => {
    for (const value of [{ a: 1 }, [1, 2], 'text', 4, null, { name: 'Zoë 🚀', nested: { deep: [true] } }]) {
      assert.deepStrictEqual(decode(json(), JSON.stringify(value)).values, [value]);
    }
    assert.deepStrictEqual(decode(json(), '\ufeff{"a":1}').values, [{ a: 1 }]);
  });

  test('what is not JSON is unreadable with its bytes and the reason', () => {
    for (const bad of ['', '{', 'undefined', '{"a":1}{', "{'a':1}"]) {
      const decoded = decode(json(), bad);
      assert.deepStrictEqual(decoded.values, []);
      assert.deepStrictEqual(parts(decoded), [[0, bad]]);
      assert.equal((decoded.unreadable[0]!.cause as { code?: string }).code, 'RECORD_UNREADABLE');
    }
    assert.match(decode(json(), '{"a":x}').unreadable[0]!.cause.message, /^not JSON: Unexpected token/);
    assert.match(decode(json(), '').unreadable[0]!.cause.message, /empty/);
  });

  test('bytes that are not UTF-8 are unreadable rather than repaired', () => {
    const decoded = decode(json(), INVALID_UTF8);
    assert.deepStrictEqual(decoded.values, []);
    assert.match(decoded.unreadable[0]!.cause.message, /not UTF-8/);
  });

  test('of a repeated name the last value counts', () => {
    assert.deepStrictEqual(decode(json(), '{"a":1,"a":2}').values, [{ a: 2 }]);
  });

  test('__proto__ is an own field and pollutes nothing', () => {
    const { values } = decode(ndjson(), '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}\n');
    const value = values[0] as Record<string, unknown>;
    assert.ok(Object.hasOwn(value, '__proto__'));
    assert.equal(Object.getPrototypeOf(value), Object.prototype);
    assert.equal(({} as Record<string, unknown>).polluted, undefined);
  });

  test('a nesting bomb does not end the process', () => {
    const bomb = '['.repeat(200_000);
    assert.equal(decode(json(), bomb).unreadable.length, 1);
    decode(json(), bomb + ']'.repeat(200_000));
    decode(ndjson(), `{"a":1}\n${'{"a":'.repeat(100_000)}\n`);
  });
});

describe('integers beyond 2^53', () => {
  const cases: readonly [json: string, value: unknown][] = [
    ['9007199254740991', 9007199254740991],
    ['9007199254740992', 9007199254740992n],
    ['9007199254740993', 9007199254740993n],
    ['-9007199254740992', -9007199254740992n],
    ['-9007199254740991', -9007199254740991],
    [' [18446744073709551615 , -18446744073709551616]', [18446744073709551615n, -18446744073709551616n]],
    ['100000000000000000000', 10n ** 20n],
    ['{"at":1700000000000000000}', { at: 1700000000000000000n }],
    ['{"us":1700000000000000}', { us: 1700000000000000 }],
    ['{"id":"9007199254740993"}', { id: '9007199254740993' }],
    ['{"9007199254740993":9007199254740993}', { '9007199254740993': 9007199254740993n }],
    ['{"t":"\\\\\\": 9007199254740993,","n":9007199254740993}', { t: '\\": 9007199254740993,', n: 9007199254740993n }],
    ['{"t":"\\\\","n":9007199254740993}', { t: '\\', n: 9007199254740993n }],
    ['{"n":9007199254740993,"n":1}', { n: 1 }],
    ['{"n":"x","n":9007199254740993}', { n: 9007199254740993n }],
    ['{"é":9007199254740993}', { é: 9007199254740993n }],
    ['9007199254740993.0', 9007199254740992],
    ['9007199254740993e0', 9007199254740992],
    ['[0.30000000000000004,1.2345678901234567890e-20]', [0.30000000000000004, Number('1.2345678901234567890e-20')]],
    ['12345678901234567.5', 12345678901234568],
    ['1e400', Number.POSITIVE_INFINITY],
    ['9'.repeat(1_000), BigInt('9'.repeat(1_000))],
  ];

  test('are bigints, and every other number is the double that it was', () => {
    for (const [text, value] of cases) {
      // Wherever in the message the digits lie.
      for (let blanks = 0; blanks < 17; blanks++) {
        assert.deepStrictEqual(decode(json(), ' '.repeat(blanks) + text).values, [value], text);
      }
      assert.deepStrictEqual(decode(ndjson(), `${text}\n7\n`).values, [value, 7], text);
      assert.deepStrictEqual(decode(ndjson(), `${text}\nbroken`).values, [value], text);
    }
  });

  test('of a field called __proto__ are its value, and pollute nothing', () => {
    const [value] = decode(json(), '{"__proto__":9007199254740993,"a":{"__proto__":{"n":9007199254740993}}}').values;
    assert.deepStrictEqual(Object.entries(value as object)[0], ['__proto__', 9007199254740993n]);
    const { a } = value as { a: object };
    assert.deepStrictEqual(Object.entries(a), [['__proto__', { n: 9007199254740993n }]]);
    assert.equal(Object.getPrototypeOf(a), Object.prototype);
  });

  test('are read however deep they lie, and refused beyond 1,000 digits, of NDJSON the line alone', () => {
    const deep = `${'['.repeat(100_000)}9007199254740993${']'.repeat(100_000)}`;
    assert.equal(decode(json(), deep).values.length, 1);
    const long = '9'.repeat(1_001);
    const refused = decode(json(), `{"n":${long}}`);
    assert.match(refused.unreadable[0]!.cause.message, /^an integer of 1001 digits is longer than INTEGER_DIGITS_MAX/);
    const lines = decode(ndjson(), `1\n${long}\n9007199254740993`);
    assert.deepStrictEqual(lines.values, [1, 9007199254740993n]);
    assert.deepStrictEqual(parts(lines), [[1, long]]);
  });

  test('are told from texts and fractions of millions of digits in a time that is no hang', () => {
    const digits = '7'.repeat(8_000_000);
    for (const text of [`["${digits}",1]`, `[0.${digits},1]`, `["${'\\\\'.repeat(4_000_000)}",9007199254740993]`]) {
      assert.deepStrictEqual(decode(json(), text).values, [
        JSON.parse(text, (_, it: unknown) => (it === 9007199254740992 ? 9007199254740993n : it)),
      ]);
    }
    assert.equal(decode(json(), digits).unreadable.length, 1);
    assert.equal(decode(json(), `-${digits}`).unreadable.length, 1);
  });

  test('read back what was written of them, any value', () => {
    const bigint = fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n });
    const large = bigint.filter(it => !Number.isSafeInteger(Number(it)));
    const { value } = fc.letrec<{ value: unknown }>(tie => ({
      value: fc.oneof(
        { maxDepth: 4 },
        large,
        fc.double({ noNaN: true, noDefaultInfinity: true }).filter(it => !Object.is(it, -0) && Math.abs(it) < 2 ** 53),
        fc.maxSafeInteger(),
        fc.string(),
        large.map(String),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(fc.oneof(fc.string(), large.map(String)), tie('value'), { maxKeys: 4, noNullPrototype: true }),
      ),
    }));
    const readsBack = (it: unknown) => {
      assert.deepStrictEqual(decode(json(), jsonOutput(it)).values, [it]);
      assert.deepStrictEqual(decode(ndjson(), `${jsonOutput(it)}\n1`).values, [it, 1]);
    };
    fc.assert(fc.property(value, readsBack), { numRuns: 3_000 });
  });
});

describe('ndjson', () => {
  test('a value a line, whatever the line ends', () => {
    for (const whole of [
      '{"a":1}\n[2]\n"x"',
      '{"a":1}\n[2]\n"x"\n',
      '{"a":1}\r\n[2]\r\n"x"\r\n',
      '\n{"a":1}\n\n \t[2] \n"x"\n\n',
    ]) {
      assert.deepStrictEqual(decode(ndjson(), whole), { values: [{ a: 1 }, [2], 'x'], unreadable: [] });
    }
    for (const none of ['', '\n', '\r\n\r\n', '  ']) {
      assert.deepStrictEqual(decode(ndjson(), none), { values: [], unreadable: [] });
    }
    assert.deepStrictEqual(decode(ndjson(), '{"a":1}').values, [{ a: 1 }]);
  });

  test('a bad line poisons itself alone', () => {
    const decoded = decode(
      ndjson(),
      Buffer.concat([Buffer.from('{"n":1}\nbad\n{"n":"é"}\n\n'), INVALID_UTF8, Buffer.from('\n{"n":3}')]),
    );
    assert.deepStrictEqual(decoded.values, [{ n: 1 }, { n: 'é' }, { n: 3 }]);
    assert.deepStrictEqual(parts(decoded), [
      [1, 'bad'],
      [3, INVALID_UTF8.toString('latin1')],
    ]);
  });

  test('two broken lines that would make one good value together are two bad lines', () => {
    const decoded = decode(ndjson(), '{"a":1\n"b":2}\n{"c":3}\n');
    assert.deepStrictEqual(decoded.values, [{ c: 3 }]);
    assert.deepStrictEqual(parts(decoded), [
      [0, '{"a":1'],
      [1, '"b":2}'],
    ]);
    assert.equal(decode(ndjson(), '1,2\n3\n').unreadable.length, 1);
    assert.equal(decode(ndjson(), '1],[2\n').unreadable.length, 1);
  });

  test('it reads as line by line does, whatever the lines', () => {
    const line = fc.oneof(
      fc.json({ maxDepth: 2 }),
      fc.constantFrom('', ' ', '{', '}', '{"a":1', '"b":2}', '[', ']', ',', 'nul', '"\\n"'),
      fc.string({ unit: 'binary', maxLength: 5 }).filter(it => !it.includes('\n')),
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 8 }), fc.constantFrom('', '\n'), (lines, end) => {
        const expected: unknown[] = [];
        const bad: string[] = [];
        for (const it of lines) {
          if (/^[ \t\r]*$/.test(it)) continue;
          try {
            expected.push(jsonOf(Buffer.from(it)));
          } catch {
            bad.push(it);
          }
        }
        const decoded = decode(ndjson(), lines.join('\n') + end);
        assert.deepStrictEqual(decoded.values, expected);
        assert.deepStrictEqual(
          decoded.unreadable.map(part => Buffer.from(part.bytes).toString()),
          bad,
        );
      }),
      { numRuns: 2000 },
    );
  });

  test('the bytes of each record are found again, past bad lines', () => {
    const whole = message('{"n":1}\nbad\n\n{"n":2}\r\n{"n":3}');
    const texts = ndjson().parts!(whole)!.map(bytes => Buffer.from(bytes).toString().trim());
    assert.deepStrictEqual(texts, ['{"n":1}', '{"n":2}', '{"n":3}']);
  });

  test('more lines than the limit are unreadable as a whole', () => {
    const limit = '1\n'.repeat(RECORDS_PER_MESSAGE_MAX);
    assert.equal(decode(ndjson(), limit).values.length, RECORDS_PER_MESSAGE_MAX);
    const decoded = decode(ndjson(), `${limit}1`);
    assert.deepStrictEqual(decoded.values, []);
    assert.equal(decoded.unreadable.length, 1);
    assert.match(decoded.unreadable[0]!.cause.message, /65536 lines .* RECORDS_PER_MESSAGE_MAX/);
  });
});

describe('text and bytes', () => {
  test('text is the text, and unreadable when it is not UTF-8', () => {
    assert.deepStrictEqual(decode(text(), 'héllo').values, ['héllo']);
    assert.deepStrictEqual(decode(text(), '').values, ['']);
    assert.equal(decode(text(), INVALID_UTF8).unreadable.length, 1);
  });

  test('bytes are a copy', () => {
    const values: unknown[] = [];
    const from = message(INVALID_UTF8);
    bytes().decode(from, values, () => assert.fail());
    from.data.fill(0);
    assert.deepStrictEqual(values, [new Uint8Array(INVALID_UTF8)]);
  });
});
