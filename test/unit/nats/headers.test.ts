import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeHeaders, headerLines, statusOf } from '../../../lib/nats/headers.ts';
import { headerValue } from '../../../lib/port/headers.ts';

describe('headers on the wire', () => {
  test('come back as `headerValue` says they will, whatever they are', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}$/);
    const value = fc.string({ unit: 'grapheme', maxLength: 40 });
    fc.assert(
      fc.property(fc.dictionary(name, value, { minKeys: 1, noNullPrototype: true }), headers => {
        const read = decodeHeaders(Buffer.from(`NATS/1.0\r\n${headerLines(headers)}\r\n`));
        const expected = Object.fromEntries(Object.entries(headers).map(([key, given]) => [key, headerValue(given)]));
        assert.deepEqual({ ...read }, expected);
      }),
    );
  });

  test('are none where only a status is', () => {
    assert.equal(decodeHeaders(Buffer.from('NATS/1.0 503\r\n\r\n')), null);
    assert.equal(decodeHeaders(Buffer.from('NATS/1.0\r\n\r\n')), null);
  });

  test('have no prototype, so that no name is special', () => {
    const read = decodeHeaders(Buffer.from('NATS/1.0\r\n__proto__: a\r\nconstructor: b\r\n\r\n'));
    assert.deepEqual(Object.keys(read!), ['__proto__', 'constructor']);
  });

  test('give the first of several values of a name', () => {
    assert.equal(decodeHeaders(Buffer.from('NATS/1.0\r\na: 1\r\na: 2\r\n\r\n'))!.a, '1');
  });

  test('start with a status in messages of the server’s own', () => {
    assert.deepEqual(statusOf(Buffer.from('NATS/1.0 408 Request Timeout\r\nA: b\r\n\r\n')), {
      code: 408,
      text: '408 Request Timeout',
    });
    assert.equal(statusOf(Buffer.from('NATS/1.0 503\r\n\r\n')).code, 503);
    assert.equal(statusOf(Buffer.from('NATS/1.0\r\nA: b\r\n\r\n')).code, 0);
  });
});
