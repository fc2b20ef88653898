/**
 * What somebody sends who means harm: bytes that ask for more than they are, compressed or not, under any headers, read by any
 * format. Whatever it is, a source gets records that are trees, no larger than a few times what came, or parts that it can
 * make letters of; nothing is thrown, and what every record carries is short. What is counted is what comes out, by no clock.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { isMillraceError } from '../../lib/base/errors.ts';
import { cloudEvents } from '../../lib/record/cloudevents.ts';
import { DECOMPRESSED_PAYLOADS_MAX } from '../../lib/record/encoding.ts';
import { bytes, type Decoder, RECORDS_PER_MESSAGE_MAX, text } from '../../lib/record/format.ts';
import { auto, FORMAT_NAMES, oneOfFormats } from '../../lib/record/formats.ts';
import { json, ndjson } from '../../lib/record/json.ts';
import { REASON_LENGTH_MAX } from '../../lib/record/letter.ts';
import { msgpack } from '../../lib/record/msgpack.ts';
import { jsonOutput } from '../../lib/record/output.ts';
import { protobuf } from '../../lib/record/protobuf.ts';
import { REPLAY_LENGTH_MAX, replayOf } from '../../lib/record/replay.ts';
import { TRACEPARENT_MAX, TRACESTATE_MAX, traceOf } from '../../lib/record/trace.ts';
import { InHand } from '../../lib/source/in-hand.ts';
import { hostileText } from './arbitraries.ts';

const RUNS = 3_000;
const PAYLOAD_BYTES_MAX = 64 << 10;
/** The most that a byte of a message becomes as JSON: a control character, escaped; and a little for what is around it. */
const GROWTH_MAX = 6;
const AROUND_BYTES = 256;
/** A message of nothing but messages has so many fields for every two bytes. */
const PROTO_FIELDS = 8;
const PROTO = `syntax = "proto3"; message M { M one = 1; repeated M many = 2; map<string, M> named = 3;
  int64 a = 4; string b = 5; bytes c = 6; double d = 7; repeated int32 e = 8; }`;

const decoders: readonly Decoder[] = [
  auto(),
  ...FORMAT_NAMES.map(name => oneOfFormats([name])),
  oneOfFormats(['ndjson', 'json']),
  json(),
  ndjson(),
  msgpack(),
  msgpack({ many: true }),
  cloudEvents(),
  cloudEvents({ data: msgpack() }),
  text(),
  bytes(),
];
const proto = protobuf({ proto: PROTO, type: 'M' });

/** Heads and pieces that ask for much, over and over. */
const patterns = fc
  .tuple(
    fc.array(
      fc.constantFrom(
        ...['5b', '7b22', '7b7d2c', '5b5d2c', '302c', '222c', '5c', '0a', '780a', '7d0a', '5d', '5b5d0a', '2e', '39'],
        ...['80', '90', '91', '9f', 'c0', 'c1', 'dd0000ffff', 'dfffffffff', 'de0001', 'a161', 'd9ff', 'c6ffffffff'],
        ...['d46900', 'd6690000000190', 'd67000000001', 'c70469', 'd4720040', 'd473', 'c70074', 'd57240a161', 'd6ff'],
        ...['0a00', '120208', '1a021200', '0a80808001', '42ff7f', '20ffffffffffffffffff01'],
      ),
      { minLength: 1, maxLength: 4 },
    ),
    fc.oneof({ weight: 9, arbitrary: fc.nat(300) }, fc.constantFrom(5_000, 70_000)),
  )
  .map(([pieces, times]) => {
    const piece = Buffer.from(pieces.join(''), 'hex');
    return Buffer.alloc(Math.min(300_000, piece.length * times), piece);
  });

/** Values that share and contain one another, as a library with all its extensions writes them. */
const graphs = fc
  .array(fc.tuple(fc.nat(), fc.nat(), fc.constantFrom('list', 'object', 'set')), { maxLength: 40 })
  .map(links => {
    const own = new Packr({ structuredClone: true, moreTypes: true });
    const nodes: (unknown[] | Record<string, unknown> | Set<unknown>)[] = [['x'.repeat(9)]];
    for (const [a, b, kind] of links) {
      const parts = [nodes[a % nodes.length], nodes[b % nodes.length]];
      nodes.push(kind === 'list' ? parts : kind === 'set' ? new Set(parts) : { a: parts[0], b: parts[1] });
    }
    const first = nodes[0] as unknown[];
    if (links.length % 3 === 0) first.push(nodes.at(-1));
    return own.pack(nodes.at(-1));
  });

const encodings: Readonly<Record<string, (data: Uint8Array) => Uint8Array>> = {
  gzip: data => gzipSync(data, { level: 1 }),
  deflate: data => deflateSync(data, { level: 1 }),
  br: data => brotliCompressSync(data, { params: { 1: 1 } }),
};
const types = fc.constantFrom(
  'application/json',
  'application/x-ndjson',
  'application/msgpack',
  'application/x-msgpack-stream',
  'application/cloudevents+json',
  'application/cloudevents-batch+json',
  'text/plain',
);
const long = fc
  .tuple(hostileText, fc.constantFrom(0, 10, 600, 3_000, 64_000))
  .map(([it, times]) => it + 'x'.repeat(times));

const messages = fc
  .record({
    data: fc.oneof(patterns, graphs, fc.uint8Array({ maxLength: 200 })),
    encodings: fc.oneof(
      { weight: 3, arbitrary: fc.constant([]) },
      fc.array(fc.constantFrom(...Object.keys(encodings)), { maxLength: 6 }),
    ),
    type: fc.option(types),
    trace: fc.option(long),
    state: fc.option(long),
    replay: fc.option(long),
    event: fc.boolean(),
    other: long,
  })
  .map(({ data, encodings: names, type, trace, state, replay, event, other }) => {
    const headers: Record<string, string> = { 'X-Other': other, [`X-${other.slice(0, 9)}`]: other };
    if (type !== null) headers['Content-Type'] = type;
    if (trace !== null) headers.traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01-${trace}`;
    if (state !== null) headers.tracestate = state;
    if (replay !== null) headers['Millrace-Replay'] = replay;
    if (event) Object.assign(headers, { 'ce-specversion': '1.0', 'ce-id': other, 'ce-source': '/s', 'ce-type': 't' });
    let packed: Uint8Array = data;
    for (const name of names) packed = encodings[name]!(packed);
    if (names.length > 0) headers['Content-Encoding'] = names.join();
    return { subject: 'in.a', seq: 1, timeMs: 0, headers, data: packed };
  });

/** How many values there are in it; none of them is there twice. */
function valuesIn(values: readonly unknown[], most: number): number {
  const seen = new Set<object>();
  const open: unknown[] = [...values];
  let count = 0;
  while (open.length > 0) {
    const value = open.pop();
    assert.ok(++count <= most, `more than ${most} values`);
    if (typeof value !== 'object' || value === null) continue;
    assert.ok(!seen.has(value), 'what is shared is once in memory, and any number of times when it is written');
    seen.add(value);
    if (ArrayBuffer.isView(value) || value instanceof Date) continue;
    assert.ok(Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype);
    for (const inner of Object.values(value)) open.push(inner);
  }
  return count;
}

function holds(
  decoder: Decoder,
  message: typeof messages extends fc.Arbitrary<infer T> ? T : never,
  fields: number,
): void {
  const inHand = new InHand(decoder, PAYLOAD_BYTES_MAX);
  const taken = inHand.take(message);
  assert.ok(taken.data.length <= Math.max(message.data.length, DECOMPRESSED_PAYLOADS_MAX * PAYLOAD_BYTES_MAX));
  inHand.read();
  const { values, unread } = inHand;
  assert.ok(values.length + unread.length <= RECORDS_PER_MESSAGE_MAX + 1);
  const headersLength = Object.entries(message.headers).flat().join('').length;
  valuesIn(values, (taken.data.length + 16) * (1 + fields));
  let written = 0;
  for (const value of values) {
    try {
      written += Buffer.byteLength(jsonOutput(value));
    } catch (error) {
      assert.ok(isMillraceError(error, 'RECORD_UNWRITABLE'), String(error));
    }
  }
  const around = AROUND_BYTES + headersLength * GROWTH_MAX;
  assert.ok(written <= taken.data.length * GROWTH_MAX * (1 + fields) + around, `${written} of ${taken.data.length}`);
  for (const { index, bytes: part, why, code } of unread) {
    assert.ok(index <= RECORDS_PER_MESSAGE_MAX && why.length <= REASON_LENGTH_MAX && code === 'RECORD_UNREADABLE');
    assert.ok(part.length <= taken.data.length * GROWTH_MAX);
  }
  const first = unread[0];
  if (first !== undefined) {
    inHand.part = first.index;
    const letter = inHand.letter({ operator: 'in', code: first.code, message: first.why, bytes: first.bytes }, 1);
    assert.ok(Buffer.byteLength(JSON.stringify(letter.carried)) <= 3_000);
  }
  assert.ok((traceOf(message.headers)?.length ?? 0) <= TRACEPARENT_MAX + 1 + TRACESTATE_MAX);
  assert.ok((replayOf(message.headers)?.length ?? 0) <= REPLAY_LENGTH_MAX + 16);
}

test('whatever is sent is records that are trees, and no more than came, or parts for letters', () => {
  fc.assert(
    fc.property(messages, fc.constantFrom(...decoders), (message, decoder) => holds(decoder, message, 0)),
    { numRuns: RUNS },
  );
});

test('of Protocol Buffers, too, but that every message within has all its fields', () => {
  fc.assert(
    fc.property(messages, message => holds(proto, message, PROTO_FIELDS)),
    { numRuns: RUNS / 3 },
  );
});
