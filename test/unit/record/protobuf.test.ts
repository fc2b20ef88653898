/** Protocol Buffers: how values of the format become values of JavaScript. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import protobufjs from 'protobufjs';
import { VALUES_PER_MESSAGE_MAX } from '../../../lib/record/format.ts';
import { protobuf } from '../../../lib/record/protobuf.ts';
import { decode, message } from './decoding.ts';

const PROTO = `
  syntax = "proto3";
  package shop.v1;
  enum Kind { UNKNOWN = 0; SALE = 1; }
  message Line { string sku = 1; uint64 units = 2; }
  message Order {
    int64 id = 1; Kind kind = 2; repeated Line lines = 3; map<string, int64> totals = 4;
    optional int32 discount = 5; Line gift = 6; bytes raw = 7; oneof pay { string card = 8; int32 cash = 9; }
    repeated sint64 marks = 10; Order parent = 11;
  }
  message Plain { string name = 1; Plain next = 2; }
`;
const root = protobufjs.parse(PROTO).root;
const encode = (type: string, value: object) =>
  root.lookupType(type).encode(root.lookupType(type).fromObject(value)).finish();
const order = protobuf({ proto: PROTO, type: 'shop.v1.Order' });

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

describe('protobuf', () => {
  test('a message that asks for more values than one may hold is unreadable, in lists, maps and packed numbers', () => {
    const fields = Array.from({ length: 98 }, (_, i) => `int32 f${i} = ${i + 2};`).join(' ');
    const proto = `syntax = "proto3";
      message Wide { repeated Wide all = 1; ${fields} map<string, Wide> named = 100; repeated int32 numbers = 101; }`;
    const wide = protobuf({ proto, type: 'Wide' });
    const many = (hex: string, times: number) => Buffer.alloc((hex.length / 2) * times, Buffer.from(hex, 'hex'));
    const packed = (count: number) => Buffer.concat([Buffer.from('aa06', 'hex'), varint(count), Buffer.alloc(count)]);
    const most = Math.floor(VALUES_PER_MESSAGE_MAX / 102);
    for (const [what, data, count] of [
      ['lists', many('0a00', most), most],
      ['maps', many('a206020a00', 10_000), 1],
      ['packed numbers', packed(VALUES_PER_MESSAGE_MAX - 2), VALUES_PER_MESSAGE_MAX - 2],
    ] as const) {
      const [value] = decode(wide, data).values as { all: unknown[]; named: object; numbers: number[] }[];
      assert.equal(Math.max(value!.all.length, Object.keys(value!.named).length, value!.numbers.length), count, what);
    }
    for (const data of [
      many('0a00', most + 1),
      many('0a020a00', most),
      many('a2060412020a00', most),
      packed(VALUES_PER_MESSAGE_MAX),
    ]) {
      const { values, unreadable } = decode(wide, data);
      assert.deepEqual([values.length, unreadable.length], [0, 1]);
      assert.match(unreadable[0]!.cause.message, /VALUES_PER_MESSAGE_MAX/);
    }
  });

  test('64-bit integers are numbers where that is exact and else bigints, at any depth', () => {
    const value = {
      id: '9007199254740993',
      lines: [{ sku: 'a', units: 7 }],
      totals: { a: '-9007199254740993', b: 2 },
      marks: [-1, '9223372036854775807'],
    };
    const [read] = decode(order, encode('shop.v1.Order', value)).values as Record<string, unknown>[];
    assert.equal(read!.id, 9007199254740993n);
    assert.deepStrictEqual(read!.lines, [{ sku: 'a', units: 7 }]);
    assert.deepStrictEqual(read!.totals, { a: -9007199254740993n, b: 2 });
    assert.deepStrictEqual(read!.marks, [-1, 2n ** 63n - 1n]);
  });

  test('enums are names, and fields that are not set have defaults, except optional ones and oneofs', () => {
    assert.deepStrictEqual(decode(order, encode('shop.v1.Order', { kind: 1 })).values, [
      { id: 0, kind: 'SALE', lines: [], totals: {}, gift: null, raw: new Uint8Array(), marks: [], parent: null },
    ]);
    const [read] = decode(order, encode('shop.v1.Order', { discount: 0, cash: 5 })).values as Record<string, unknown>[];
    assert.equal(read!.kind, 'UNKNOWN');
    assert.equal(read!.discount, 0);
    assert.equal(read!.cash, 5);
  });

  test('bytes are a copy of the message', () => {
    const from = message(encode('shop.v1.Order', { raw: Buffer.from('abc') }));
    const values: unknown[] = [];
    order.decode(from, values, () => assert.fail());
    from.data.fill(0);
    const { raw } = values[0] as { raw: Uint8Array };
    assert.deepStrictEqual(raw, new Uint8Array(Buffer.from('abc')));
  });

  test('the type may come from a text, a file or a root', () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-proto-'));
    try {
      const file = join(folder, 'shop.proto');
      writeFileSync(file, PROTO);
      const bytes = encode('shop.v1.Plain', { name: 'é', next: { name: 'b' } });
      for (const from of [{ proto: PROTO }, { file }, { root }]) {
        const { values } = decode(protobuf({ ...from, type: 'shop.v1.Plain' }), bytes);
        assert.deepStrictEqual(values, [{ name: 'é', next: { name: 'b', next: null } }]);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('every definition of Google can be imported, by a text and by a file', () => {
    const names: Readonly<Record<string, string>> = {
      ...{ any: 'Any', duration: 'Duration', empty: 'Empty', field_mask: 'FieldMask', struct: 'Struct' },
      ...{ timestamp: 'Timestamp', wrappers: 'Int64Value', descriptor: 'FileOptions', type: 'Type', api: 'Api' },
      source_context: 'SourceContext',
    };
    const text = (files: readonly string[]) => {
      const imports = files.map(name => `import "google/protobuf/${name}.proto";`).join('\n');
      const fields = files.map((name, i) => `  google.protobuf.${names[name]} f${i} = ${i + 1};`).join('\n');
      return `syntax = "proto3";\n${imports}\nmessage All {\n${fields}\n}`;
    };
    const folder = mkdtempSync(join(tmpdir(), 'millrace-proto-'));
    try {
      const all = Object.keys(names);
      for (const files of [...all.map(name => [name]), all, all.toReversed()]) {
        const file = join(folder, 'all.proto');
        writeFileSync(file, text(files));
        for (const from of [{ proto: text(files) }, { file }]) {
          const [read] = decode(protobuf({ ...from, type: 'All' }), '').values;
          assert.deepEqual(Object.keys(read as object).length, files.length);
        }
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
    const proto = text(['timestamp', 'wrappers']);
    const { root: own } = protobufjs.parse(proto);
    for (const name of ['timestamp', 'wrappers'])
      own.addJSON(protobufjs.common.get(`google/protobuf/${name}.proto`)!.nested!);
    const type = own.lookupType('All');
    const bytes = type
      .encode(type.fromObject({ f0: { seconds: 5, nanos: 7 }, f1: { value: '9007199254740993' } }))
      .finish();
    assert.deepStrictEqual(decode(protobuf({ proto, type: 'All' }), bytes).values, [
      { f0: { seconds: 5, nanos: 7 }, f1: { value: 9007199254740993n } },
    ]);
  });

  test('a file may import others, from beside it or from a root above, also in a circle; so may several texts', () => {
    const folder = mkdtempSync(join(tmpdir(), 'millrace-proto-'));
    try {
      const texts = {
        'shop/v1/order.proto':
          'syntax = "proto3"; package shop.v1; import "shop/v1/line.proto"; message Order { repeated Line lines = 1; }',
        'shop/v1/line.proto':
          'syntax = "proto3"; package shop.v1; import "money.proto"; message Line { Money price = 1; }',
        'shop/v1/money.proto':
          'syntax = "proto3"; package shop.v1; import "order.proto"; message Money { int64 cents = 1; }',
      };
      mkdirSync(join(folder, 'shop/v1'), { recursive: true });
      for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), text);
      const bytes = Buffer.from('0a040a020805', 'hex');
      for (const from of [{ file: join(folder, 'shop/v1/order.proto') }, { proto: Object.values(texts) }]) {
        const { values } = decode(protobuf({ ...from, type: 'shop.v1.Order' }), bytes);
        assert.deepStrictEqual(values, [{ lines: [{ price: { cents: 5 } }] }]);
      }
      rmSync(join(folder, 'shop/v1/money.proto'));
      assert.throws(() => protobuf({ file: join(folder, 'shop/v1/order.proto'), type: 'shop.v1.Order' }), {
        code: 'INVALID_ARGUMENT',
        message: /line\.proto imports money\.proto, which is neither beside it nor above$/,
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('a type or definition that is not there is refused when it is named', () => {
    const refused = { code: 'INVALID_ARGUMENT', message: /^protobuf type / };
    assert.throws(() => protobuf({ proto: PROTO, type: 'shop.v1.Nothing' }), refused);
    assert.throws(() => protobuf({ proto: 'message {', type: 'A' }), refused);
    assert.throws(() => protobuf({ file: '/does/not/exist.proto', type: 'A' }), {
      ...refused,
      message: /exist\.proto.*; name the file from the project's folder by a text in quotes, so/,
    });
    assert.throws(() => protobuf({ proto: 'message A { Missing m = 1; }', type: 'A' }), refused);
  });

  test('what is not of the type is unreadable, however deep it nests', () => {
    assert.match(decode(order, Buffer.from([0x0a, 0x05])).unreadable[0]!.cause.message, /^not a shop\.v1\.Order: /);
    let nested: Uint8Array = new Uint8Array();
    const writer = (inner: Uint8Array) => protobufjs.Writer.create().uint32(0x5a).bytes(inner).finish();
    for (let i = 0; i < 3000; i++) nested = writer(nested);
    assert.equal(decode(order, nested).unreadable.length, 1);
    fc.assert(
      fc.property(fc.uint8Array(), bytes => {
        const decoded = decode(order, bytes);
        assert.equal(decoded.values.length + decoded.unreadable.length, 1);
      }),
    );
  });
});
