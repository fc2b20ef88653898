/**
 * Whatever bytes a message has, a decoder answers with values or says what cannot be read; it never throws, and what it
 * gives can be sent on or is refused. Arbitrary bytes, and valid ones that were damaged. The limit of nesting, of text and
 * of memory is in `memory.test.ts`.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { pack } from 'msgpackr';
import protobufjs from 'protobufjs';
import { MillraceError } from '../../lib/base/errors.ts';
import { FrameEncoding } from '../../lib/channel/encoding.ts';
import { decodeFrame } from '../../lib/channel/frame.ts';
import { cloudEvents } from '../../lib/record/cloudevents.ts';
import { decompressed } from '../../lib/record/encoding.ts';
import { bytes, type Decoder, text } from '../../lib/record/format.ts';
import { auto } from '../../lib/record/formats.ts';
import { json, ndjson } from '../../lib/record/json.ts';
import { msgpack } from '../../lib/record/msgpack.ts';
import { jsonOutput } from '../../lib/record/output.ts';
import { protobuf } from '../../lib/record/protobuf.ts';
import { damaged, hostileName, hostileText } from './arbitraries.ts';

const RUNS = 5_000;
const PROTO = `syntax = "proto3"; package t;
message All { All all = 1; map<string, All> map = 2; repeated sint32 many = 3; bytes raw = 4; string text = 5;
  map<string, string> texts = 6; int64 long = 7; double real = 8; oneof one { bool yes = 9; Kind kind = 10; } }
enum Kind { A = 0; B = 1; }`;
const All = protobufjs.parse(PROTO).root.lookupType('t.All');

const value = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom(null, true, 0, -0, 1e308, 2 ** 53, 2n ** 53n + 1n, -(2n ** 63n)),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n - 1n }),
    fc.double({ noNaN: true }),
    hostileText,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(hostileName, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
})).value;
const jsonBytes = value.map(it => Buffer.from(jsonOutput(it)));
const event = fc
  .record(
    {
      specversion: fc.constantFrom('1.0', '1.1', '0.3', 1),
      id: fc.oneof(hostileText, value),
      source: fc.constant('/s'),
      type: fc.constant('t'),
      datacontenttype: fc.oneof(fc.constantFrom('application/json', 'text/plain', 'x/y'), value),
      data: value,
      data_base64: fc.oneof(fc.base64String(), value),
      time: value,
    },
    { requiredKeys: ['specversion', 'source', 'type'] },
  )
  .map(it => Buffer.from(jsonOutput(it)));
const all = fc
  .record({
    text: fc.string(),
    many: fc.array(fc.integer(), { maxLength: 5 }),
    raw: fc.uint8Array(),
    real: fc.double(),
  })
  .map(it =>
    All.encode(All.create({ ...it, all: { text: 'in' }, map: { a: {} }, texts: { ['__proto__']: 'p' } })).finish(),
  );

const kinds: readonly { name: string; decoder: Decoder; valid: fc.Arbitrary<Uint8Array> }[] = [
  { name: 'json', decoder: json(), valid: jsonBytes },
  {
    name: 'ndjson',
    decoder: ndjson(),
    valid: fc.array(jsonBytes, { maxLength: 6 }).map(lines => Buffer.from(lines.join('\n'))),
  },
  { name: 'msgpack', decoder: msgpack(), valid: value.map(it => pack(it)) },
  {
    name: 'msgpack, many',
    decoder: msgpack({ many: true }),
    valid: fc.array(value, { maxLength: 5 }).map(values => Buffer.concat(values.map(it => pack(it)))),
  },
  { name: 'protobuf', decoder: protobuf({ proto: PROTO, type: 't.All' }), valid: all },
  {
    name: 'cloudevents',
    decoder: cloudEvents(),
    valid: fc.oneof(
      event,
      fc.array(event, { maxLength: 4 }).map(list => Buffer.from(`[${list.join()}]`)),
    ),
  },
  { name: 'text', decoder: text(), valid: hostileText.map(it => Buffer.from(it)) },
  { name: 'bytes', decoder: bytes(), valid: fc.uint8Array() },
  {
    name: 'auto',
    decoder: auto(),
    valid: fc.oneof(
      jsonBytes,
      event,
      value.map(it => pack(it)),
    ),
  },
];

const headers = fc.option(
  fc.dictionary(
    fc.oneof(
      fc.constantFrom(
        'Content-Type',
        'content-type',
        'ce-id',
        'ce-source',
        'ce-type',
        'ce-specversion',
        'ce-data',
        'ce-__proto__',
      ),
      hostileName,
    ),
    fc.oneof(
      fc.constantFrom(
        'application/json',
        'application/x-ndjson',
        'application/msgpack',
        'application/x-msgpack-stream; q=1',
        'application/cloudevents+json',
        'application/cloudevents-batch',
        'application/cloudevents+avro',
        'text/plain',
        '1.0',
        '%zz%00',
      ),
      hostileText,
    ),
    { maxKeys: 4 },
  ),
  { nil: null },
);

function answers(decoder: Decoder, data: Uint8Array, head: Record<string, string> | null): void {
  const values: unknown[] = [];
  const message = { data, headers: head, subject: 'in.a' };
  decoder.decode(message, values, part => {
    assert.ok(part.cause instanceof MillraceError && part.cause.code === 'RECORD_UNREADABLE', String(part.cause));
    assert.ok(part.bytes.length <= data.length * 8 + 8, 'a part is a part');
  });
  if (values.length > 0) {
    const parts = decoder.parts?.(message) ?? null;
    assert.ok(parts === null ? values.length === 1 : parts.length === values.length, 'each record has its bytes');
  }
  const none = values.map(() => 0);
  const columns = { keys: values.map(() => 'k'), timesMs: none, origins: none, ids: null, values };
  const head_ = { position: 1, row: 0, watermarkMs: 0, clockMs: 0, quietMs: 0, bootstrapped: false };
  const frame = new FrameEncoding('in', undefined).try({ ...head_, columns, letters: [] });
  if (frame instanceof Uint8Array) assert.equal(decodeFrame(frame).columns.values.length, values.length);
  else assert.equal(frame.code, 'RECORD_UNWRITABLE');
}

/** Any number as JSON may write it, a few of which look alike. */
const digits = fc.oneof(
  fc.constantFrom('0', '9007199254740991', '9007199254740992', '9007199254740993', '18446744073709551616'),
  fc.stringMatching(/^(0|[1-9][0-9]{0,40})$/),
);
const numberText = fc
  .tuple(
    fc.boolean(),
    digits,
    fc.option(fc.stringMatching(/^[.][0-9]{1,20}$/)),
    fc.option(fc.stringMatching(/^[eE][+-]?[0-9]{1,2}$/)),
  )
  .map(
    ([isNegative, whole, fraction, exponent]) => `${isNegative ? '-' : ''}${whole}${fraction ?? ''}${exponent ?? ''}`,
  );

function numberOf(text: string): number | bigint {
  const number = Number(text);
  return /[.eE]/.test(text) || Number.isSafeInteger(number) ? number : BigInt(text);
}

function isClean(): void {
  assert.deepEqual(Object.keys(Object.prototype), []);
  for (const name of ['x', 'polluted', 'a', 'text']) assert.equal(({} as Record<string, unknown>)[name], undefined);
}

describe('any bytes at all', () => {
  for (const { name, decoder, valid } of kinds) {
    test(`are read by ${name} as values, or as parts that cannot be read`, () => {
      const data = fc.oneof(fc.uint8Array({ maxLength: 300 }), valid, damaged(valid), damaged(valid));
      fc.assert(
        fc.property(data, headers, (it, head) => answers(decoder, it, head)),
        { numRuns: RUNS },
      );
      isClean();
    });
  }

  test('hold numbers that are read with all their digits, in JSON wherever they stand', () => {
    const blank = fc.constantFrom('', ' ', '\n', '\t ', '          ');
    const fields = fc.array(fc.tuple(numberText, hostileText, blank), { maxLength: 6 });
    const holds = (
      given: readonly (readonly [string, string, string])[],
      [subject, around]: readonly [string, string],
    ) => {
      const list = given.map(([number, , space]) => `${space}${number}${space}`).join();
      const object = given
        .map(([number, text, space]) => `${space}${JSON.stringify(text + number)}:${space}${number}`)
        .join();
      const texts = given.map(([number, text]) => JSON.stringify(text + number + text)).join();
      const numbers = given.map(([number]) => numberOf(number));
      const wanted = [
        numbers,
        Object.fromEntries(given.map(([number, text], i) => [text + number, numbers[i]])),
        given.map(([number, text]) => text + number + text),
      ];
      const data = Buffer.from(`${around}[[${list}],{${object}},[${texts}]]${around}`);
      for (const decoder of [json(), auto(), ...(/\n/.test(data.toString()) ? [] : [ndjson()])]) {
        const values: unknown[] = [];
        decoder.decode({ data, headers: null, subject }, values, part => assert.fail(part.cause.message));
        assert.deepStrictEqual(values, [wanted]);
      }
    };
    fc.assert(fc.property(fields, fc.tuple(fc.constant('in.a'), blank), holds), { numRuns: RUNS });
  });

  test('are decompressed, or refused as unreadable', () => {
    const packed = fc
      .uint8Array({ maxLength: 2_000 })
      .chain(it =>
        fc.constantFrom(
          { encoding: 'gzip', data: gzipSync(it) },
          { encoding: 'deflate', data: deflateSync(it) },
          { encoding: 'br', data: brotliCompressSync(it, { params: { 1: 1 } }) },
        ),
      );
    const any = packed.chain(({ encoding, data }) =>
      fc.record({
        encoding: fc.oneof({ weight: 5, arbitrary: fc.constant(encoding) }, hostileText),
        data: fc.oneof(fc.constant(data), damaged(fc.constant(data)), fc.uint8Array()),
      }),
    );
    fc.assert(
      fc.property(any, ({ encoding, data }) => {
        try {
          decompressed({ data, headers: { 'Content-Encoding': encoding } }, 1 << 20);
        } catch (error) {
          assert.ok(error instanceof MillraceError && error.code === 'RECORD_UNREADABLE', String(error));
        }
      }),
      { numRuns: RUNS },
    );
  });
});
