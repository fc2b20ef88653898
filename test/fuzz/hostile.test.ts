/**
 * What somebody sends who means harm: bytes that ask for more than they are, compressed or not, under any headers, read by any
 * format. Whatever it is, a source gets records that are trees, no larger than a few times what came, or parts that it can
 * make letters of; nothing is thrown, and what every record carries is short. What is counted is what comes out, by no clock.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
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
import { OPEN_SEAL } from '../../lib/record/seal.ts';
import { TRACEPARENT_MAX, TRACESTATE_MAX, traceOf } from '../../lib/record/trace.ts';
import { InHand } from '../../lib/source/in-hand.ts';
import { type HostileMessage, hostileMessages, PROTO } from './hostile-messages.ts';

const RUNS = 3_000;
const PAYLOAD_BYTES_MAX = 64 << 10;
/** The most that a byte of a message becomes as JSON: a control character, escaped; and a little for what is around it. */
const GROWTH_MAX = 6;
const AROUND_BYTES = 256;
/** A message of nothing but messages has so many fields for every two bytes. */
const PROTO_FIELDS = 8;

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

function holds(decoder: Decoder, message: HostileMessage, fields: number): void {
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
  assert.ok((replayOf(message, OPEN_SEAL)?.length ?? 0) <= REPLAY_LENGTH_MAX + 16);
}

test('whatever is sent is records that are trees, and no more than came, or parts for letters', () => {
  fc.assert(
    fc.property(hostileMessages, fc.constantFrom(...decoders), (message, decoder) => holds(decoder, message, 0)),
    { numRuns: RUNS },
  );
});

test('of Protocol Buffers, too, but that every message within has all its fields', () => {
  fc.assert(
    fc.property(hostileMessages, message => holds(proto, message, PROTO_FIELDS)),
    { numRuns: RUNS / 3 },
  );
});
