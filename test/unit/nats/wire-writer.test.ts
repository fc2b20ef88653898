/** What is published, as bytes: read back as a server would. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeHeaders, headerLines } from '../../../lib/nats/headers.ts';
import { NOTHING, type OutboundMessage, sizeOf, WireWriter } from '../../../lib/nats/wire-writer.ts';
import { headerValue } from '../../../lib/port/headers.ts';
import type { Headers } from '../../../lib/port/log.ts';

interface Published {
  readonly subject: string;
  readonly reply: string;
  readonly headers: Headers | null;
  readonly data: Buffer;
}

function readBack(bytes: Buffer): Published[] {
  const found: Published[] = [];
  for (let at = 0; at < bytes.length; ) {
    const lineEnd = bytes.indexOf('\r\n', at);
    const [name, subject = '', ...rest] = bytes.toString('utf8', at, lineEnd).split(' ');
    const size = Number(rest.pop());
    const head = name === 'HPUB' ? Number(rest.pop()) : 0;
    assert.ok(name === 'PUB' || name === 'HPUB', name);
    const from = lineEnd + 2;
    assert.equal(bytes.toString('latin1', from + size, from + size + 2), '\r\n');
    const block = bytes.subarray(from, from + head);
    if (head > 0) assert.match(block.toString('latin1'), /^NATS\/1\.0\r\n(?:.|\r\n)*\r\n\r\n$/s);
    const headers = head === 0 ? null : { ...decodeHeaders(block) };
    found.push({ subject, reply: rest[0] ?? '', headers, data: bytes.subarray(from + head, from + size) });
    at = from + size + 2;
  }
  return found;
}

const plain = (subject: string, data: Uint8Array): OutboundMessage => ({
  subject,
  data,
  lines: '',
  commonLines: NOTHING,
});

describe('what is published', () => {
  test('is read as it was meant, whatever is in it', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9-]{1,12}$/);
    const value = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 20 }), fc.stringMatching(/^[a-z:.0-9]{1,20}$/));
    const headers = fc.dictionary(name, value, { maxKeys: 3, noNullPrototype: true });
    const messages = fc.array(
      fc.record({
        subject: fc.constantFrom('a', 'orders.eu', 'größe.世界'),
        reply: fc.constantFrom('', '_INBOX.x.1'),
        data: fc.oneof(fc.uint8Array({ maxLength: 50 }), fc.constantFrom(Buffer.from('\r\n'), NOTHING)),
        headers,
        common: headers,
      }),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(messages, given => {
        const writer = new WireWriter();
        let bytes = 0;
        for (const { subject, reply, data, headers, common } of given) {
          const commonLines = Buffer.from(headerLines(common));
          const outgoing = { subject, data, lines: headerLines(headers), commonLines };
          bytes += sizeOf(outgoing);
          writer.add(outgoing, reply);
        }
        assert.deepEqual([writer.messages, writer.payloadBytes], [given.length, bytes]);
        const expected = given.map(({ subject, reply, data, headers, common }): Published => {
          const all = Object.entries({ ...common, ...headers }).map(([key, text]) => [key, headerValue(text)]);
          const kept = all.length === 0 ? null : Object.fromEntries(all);
          return { subject, reply, headers: kept, data: Buffer.from(data) };
        });
        assert.deepEqual(readBack(Buffer.concat(writer.take())), expected);
      }),
    );
  });

  test('is few pieces, each of whole messages, and what was taken is not written again', () => {
    const writer = new WireWriter();
    const data = Buffer.alloc(300, 'x');
    for (let i = 0; i < 1_000; i++) writer.add(plain(`a.${i}`, data), '');
    const pieces = writer.take();
    assert.ok(pieces.length <= 4, `${pieces.length} pieces`);
    assert.deepEqual(
      pieces.flatMap(piece => readBack(piece)).map(({ subject }) => subject),
      Array.from({ length: 1_000 }, (_, i) => `a.${i}`),
    );
    assert.deepEqual([writer.messages, writer.payloadBytes, writer.take()], [0, 0, []]);

    const before = Buffer.concat(pieces);
    writer.add(plain('b', data), '');
    assert.deepEqual(
      readBack(Buffer.concat(writer.take())).map(({ subject }) => subject),
      ['b'],
    );
    assert.deepEqual(Buffer.concat(pieces), before, 'what is under way does not change');
  });

  test('may be larger than a piece', () => {
    const writer = new WireWriter();
    const data = Buffer.alloc(3_000_000, 'x');
    for (const subject of ['a', 'b']) writer.add(plain(subject, data), '');
    writer.add(plain('c', NOTHING), '');
    const found = readBack(Buffer.concat(writer.take()));
    assert.deepEqual(
      found.map(({ subject, data }) => [subject, data.length]),
      [
        ['a', 3_000_000],
        ['b', 3_000_000],
        ['c', 0],
      ],
    );
  });
});
