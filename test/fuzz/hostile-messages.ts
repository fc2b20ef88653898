/**
 * Messages of somebody who means harm: bytes that ask for more than they are, values that share and contain one another,
 * compressed or not, under any headers. What is fed to the decoders, and to a worker that runs.
 */
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { hostileText } from './arbitraries.ts';

export interface HostileMessage {
  readonly subject: string;
  readonly seq: number;
  readonly timeMs: number;
  readonly headers: Record<string, string>;
  readonly data: Uint8Array;
}

export const PROTO = `syntax = "proto3"; message M { M one = 1; repeated M many = 2; map<string, M> named = 3;
  int64 a = 4; string b = 5; bytes c = 6; double d = 7; repeated int32 e = 8; }`;

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

export const hostileMessages: fc.Arbitrary<HostileMessage> = fc
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
