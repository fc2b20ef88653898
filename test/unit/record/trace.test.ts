/** Trace contexts: taken from headers, carried with records, given back as they were. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeFrame, encodeFrame } from '../../../lib/channel/frame.ts';
import { fromParts, toParts } from '../../../lib/journal/outbox.ts';
import { emptyColumns, sliceColumns } from '../../../lib/record/columns.ts';
import { firstTrace, TRACEPARENT_MAX, traceHeaders, traceOf } from '../../../lib/record/trace.ts';

const PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const OTHER = '00-11111111111111111111111111111111-2222222222222222-00';

describe('a trace context', () => {
  test('comes out of headers and goes back into them', () => {
    for (const headers of [{ traceparent: PARENT }, { traceparent: PARENT, tracestate: 'a=1, b=2' }]) {
      assert.deepEqual(traceHeaders(traceOf({ ...headers, other: 'x' })), headers);
    }
    assert.deepEqual(traceHeaders(null), {});
  });

  test('is read in any case of letters, as gateways from HTTP write it, and the first of two counts', () => {
    assert.equal(traceOf({ 'X-A': '1', Traceparent: PARENT, TraceState: 'a=1' }), `${PARENT} a=1`);
    assert.equal(traceOf({ TRACEPARENT: PARENT, traceparent: OTHER }), PARENT);
    assert.equal(traceOf({ traceparent: OTHER, TRACEPARENT: PARENT }), OTHER);
  });

  test('that is none is left behind', () => {
    const zero = PARENT.replace('0af7651916cd43dd8448eb211c80319c', '0'.repeat(32));
    for (const traceparent of ['', 'x', PARENT.slice(0, -3), `${PARENT}x`, zero, PARENT.toUpperCase()]) {
      assert.equal(traceOf({ traceparent }), null, traceparent);
    }
    assert.equal(traceOf(null), null);
    assert.equal(traceOf({ tracestate: 'a=1' }), null);
    assert.equal(traceOf({ traceparent: PARENT, tracestate: `a=${'x'.repeat(512)}` }), PARENT);
  });

  test('of a later version is carried with what it has more, unless that is long: every record carries it', () => {
    const later = `01${PARENT.slice(2)}-more`;
    assert.equal(traceOf({ traceparent: later }), later);
    const longest = later.padEnd(TRACEPARENT_MAX, 'x');
    assert.equal(traceOf({ traceparent: longest }), longest);
    assert.equal(traceOf({ traceparent: `${longest}x` }), null);
    assert.equal(traceOf({ traceparent: `00-${PARENT.slice(3)}-${'x'.repeat(65_000)}`, tracestate: 'a=1' }), null);
  });

  test('of many rows is that of the first which has one', () => {
    const traces: (string | null)[] = [null];
    traces[2] = OTHER;
    traces[4] = PARENT;
    assert.equal(firstTrace(traces, 0, 2), null);
    assert.equal(firstTrace(traces, 0, 5), OTHER);
    assert.equal(firstTrace(traces, 3, 5), PARENT);
    assert.equal(firstTrace(undefined, 0, 5), null);
  });
});

describe('a frame', () => {
  const head = { position: 1, row: 0, watermarkMs: 5, clockMs: 0, quietMs: 0, bootstrapped: false };
  const columns = () => ({
    ...emptyColumns(),
    keys: ['a', 'b', 'c'],
    timesMs: [1, 2, 3],
    origins: [64, 128, 192],
    values: [1, 2, 3],
    ids: null,
  });

  test('carries the traces of its records, and says when the oldest was published', () => {
    const traces: (string | null)[] = [];
    traces[1] = PARENT;
    const frame = decodeFrame(encodeFrame({ ...head, columns: { ...columns(), traces }, letters: [], publishedMs: 7 }));
    assert.deepEqual(frame.columns.traces, [null, PARENT, null]);
    assert.equal(frame.publishedMs, 7);
    const rest = sliceColumns({ ...columns(), traces }, 1, 3);
    assert.deepEqual(decodeFrame(encodeFrame({ ...head, columns: rest, letters: [] })).columns.traces, [PARENT, null]);
  });

  test('without any is as long as it ever was', () => {
    const plain = encodeFrame({ ...head, columns: columns(), letters: [] });
    assert.deepEqual(encodeFrame({ ...head, columns: { ...columns(), traces: [null] }, letters: [] }), plain);
    assert.equal('traces' in decodeFrame(plain).columns, false);
  });
});

test('rows keep their traces in the journal, and rows without any have no place for them', () => {
  const plain = {
    sink: 's',
    kind: 'nats',
    target: '',
    addresses: [],
    addressOf: [],
    bytes: Buffer.from('ab'),
    lengths: [1, 1],
    areLines: false,
    origins: [64, 128],
    changes: null,
    keys: null,
    timesMs: null,
  };
  const traces: (string | null)[] = [];
  traces[1] = PARENT;
  const outbox = { frames: [], rows: [{ ...plain, traces }] };
  assert.deepEqual(fromParts(toParts(outbox)).rows[0]?.traces, [null, PARENT]);
  assert.equal((toParts({ frames: [], rows: [plain] })[1] as unknown[][])[0]?.length, 9);
});
