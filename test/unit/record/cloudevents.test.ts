/** CloudEvents in its three modes: what is read, and what is no event. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cloudEvents } from '../../../lib/record/cloudevents.ts';
import { msgpack } from '../../../lib/record/msgpack.ts';
import { decode, message, parts } from './decoding.ts';

const event = { specversion: '1.0', id: 'e1', source: '/shop', type: 'order.made', data: { total: 5 } };
const read = { id: 'e1', source: '/shop', type: 'order.made', time: undefined, subject: undefined, data: { total: 5 } };

describe('cloudevents', () => {
  test('structured: a JSON object holds everything, with or without its content type', () => {
    const full = {
      ...event,
      time: '2024-01-01T00:00:00Z',
      subject: 's',
      traceparent: '00-1',
      datacontenttype: 'application/json',
    };
    const expected = { ...read, time: '2024-01-01T00:00:00Z', subject: 's', traceparent: '00-1' };
    assert.deepStrictEqual(decode(cloudEvents(), JSON.stringify(full)).values, [expected]);
    const headers = { 'content-type': 'application/cloudevents+json; charset=utf-8' };
    assert.deepStrictEqual(decode(cloudEvents(), JSON.stringify(full), headers).values, [expected]);
  });

  test('structured: data in base64 is read by its content type', () => {
    const data_base64 = Buffer.from('{"total":5}').toString('base64');
    const of = (datacontenttype?: string) =>
      decode(cloudEvents(), JSON.stringify({ ...event, data: undefined, data_base64, datacontenttype })).values[0] as {
        data: unknown;
      };
    assert.deepStrictEqual(of('application/vnd.shop+json').data, { total: 5 });
    assert.deepStrictEqual(of(undefined).data, { total: 5 });
    assert.equal(of('text/plain').data, '{"total":5}');
    assert.deepStrictEqual(of('image/png').data, new Uint8Array(Buffer.from('{"total":5}')));
  });

  test('structured: base64 that is none makes no event, however much of it could be read', () => {
    const bad = ['!!!', 'YQ', 'YQ=', 'YR==', 'YQ==YQ==', 'Y Q==', 'YQ==\n', '_-8=', 'é', 'YQ==='];
    for (const data_base64 of bad) {
      const { values, unreadable } = decode(cloudEvents(), JSON.stringify({ ...event, data: undefined, data_base64 }));
      assert.deepStrictEqual(values, [], data_base64);
      assert.match(unreadable[0]!.cause.message, /^not a CloudEvent: data_base64 is not base64 of RFC 4648/);
    }
    const both = decode(cloudEvents(), JSON.stringify({ ...event, data_base64: 'YQ==' }));
    assert.match(both.unreadable[0]!.cause.message, /both data and data_base64/);
  });

  test('structured: an attribute that is null is absent', () => {
    const nulls = { ...event, data_base64: null, time: null, subject: null, datacontenttype: null, tenant: null };
    assert.deepStrictEqual(decode(cloudEvents(), JSON.stringify(nulls)).values, [read]);
    const base64 = { ...event, data: null, datacontenttype: 'text/plain', data_base64: '' };
    assert.deepStrictEqual(decode(cloudEvents(), JSON.stringify(base64)).values, [{ ...read, data: '' }]);
  });

  test('integers beyond 2^53 are bigints in all three modes, and in the letters of a batch', () => {
    const large = '{"total":9007199254740993}';
    const text = (data: string) => JSON.stringify(event).replace('{"total":5}', data);
    const wanted = { ...read, data: { total: 9007199254740993n } };
    assert.deepStrictEqual(decode(cloudEvents(), text(large)).values, [wanted]);
    const base64 = { ...event, data: undefined, data_base64: Buffer.from(large).toString('base64') };
    assert.deepStrictEqual(decode(cloudEvents(), JSON.stringify(base64)).values, [wanted]);
    const headers = { 'ce-specversion': '1.0', 'ce-id': 'e1', 'ce-source': '/shop', 'ce-type': 'order.made' };
    assert.deepStrictEqual(decode(cloudEvents(), large, headers).values, [wanted]);
    const batch = `[${text(large)},${text(large).replace('"e1"', '1')}]`;
    const decoded = decode(cloudEvents(), batch);
    assert.deepStrictEqual(decoded.values, [wanted]);
    assert.deepStrictEqual(parts(decoded), [[1, text(large).replace('"e1"', '1')]]);
    assert.equal(Buffer.from(cloudEvents().parts!(message(batch))![0]!).toString(), text(large));
  });

  test('binary: attributes are headers in any case, percent-encoded, and the message is the data', () => {
    const headers = {
      'ce-specversion': '1.0',
      'ce-id': 'e1',
      'Ce-Source': '/shop',
      'ce-type': 'order.made',
      'ce-subject': 'caf%C3%A9 100%',
      'ce-tenant': 'caf%C3%A9',
      'Content-Type': 'application/json',
    };
    assert.deepStrictEqual(decode(cloudEvents(), '{"total":5}', headers).values, [
      { ...read, subject: 'caf%C3%A9 100%', tenant: 'café' },
    ]);
    const nothing = decode(cloudEvents(), '', headers).values[0] as { data: unknown };
    assert.equal(nothing.data, undefined);
  });

  test('binary: of an attribute that is there twice the first counts', () => {
    const headers = {
      'Ce-Id': 'e1',
      'ce-id': 'e2',
      'CE-SOURCE': '/shop',
      'Ce-Specversion': '1.0',
      'ce-Type': 'order.made',
    };
    assert.deepStrictEqual(decode(cloudEvents(), '{"total":5}', headers).values, [read]);
  });

  test('binary: the data is in the format that was named', () => {
    const headers = { 'ce-specversion': '1.0', 'ce-id': 'e1', 'ce-source': '/shop', 'ce-type': 'order.made' };
    const decoder = cloudEvents({ data: msgpack() });
    assert.equal(decoder.name, 'cloudevents(msgpack)');
    assert.deepStrictEqual(decode(decoder, Buffer.from('81a5746f74616c05', 'hex'), headers).values, [read]);
    assert.match(
      decode(decoder, Buffer.from('c1', 'hex'), headers).unreadable[0]!.cause.message,
      /^the data of a CloudEvent/,
    );
  });

  test('batch: each event is a record, and a bad one poisons itself alone', () => {
    const bad = { ...event, id: '' };
    const batch = JSON.stringify([event, bad, 7, { ...event, id: 'e2' }]);
    for (const headers of [null, { 'content-type': 'application/cloudevents-batch+json' }]) {
      const decoded = decode(cloudEvents(), batch, headers);
      assert.deepStrictEqual(decoded.values, [read, { ...read, id: 'e2' }]);
      assert.deepStrictEqual(parts(decoded), [
        [1, JSON.stringify(bad)],
        [2, '7'],
      ]);
    }
    assert.equal(
      Buffer.from(cloudEvents().parts!(message(batch))![1]!).toString(),
      JSON.stringify({ ...event, id: 'e2' }),
    );
    assert.deepStrictEqual(decode(cloudEvents(), '[]').values, []);
  });

  test('what lacks a required attribute is no event, and it is said which', () => {
    const cases: [object, RegExp][] = [
      [{ ...event, specversion: undefined }, /specversion is missing, not 1\.0/],
      [{ ...event, specversion: '0.3' }, /specversion is "0\.3"/],
      [{ ...event, id: undefined }, /id is missing, not a text/],
      [{ ...event, source: '' }, /source is ""/],
      [{ ...event, type: 5 }, /type is 5/],
      [{ ...event, time: 5 }, /time is 5/],
      [{ ...event, data: undefined, data_base64: 5 }, /data_base64 is not text/],
    ];
    for (const [it, reason] of cases) {
      const decoded = decode(cloudEvents(), JSON.stringify(it));
      assert.deepStrictEqual(decoded.values, []);
      assert.match(decoded.unreadable[0]!.cause.message, reason);
    }
    assert.match(decode(cloudEvents(), '{', null).unreadable[0]!.cause.message, /^not JSON/);
    const avro = { 'content-type': 'application/cloudevents+avro' };
    assert.match(decode(cloudEvents(), 'x', avro).unreadable[0]!.cause.message, /cannot be read, only JSON/);
  });

  test('an extension called __proto__ is left out, and one called constructor is an extension', () => {
    const text = JSON.stringify(event).replace('{', '{"__proto__":{"polluted":1},"constructor":"c",');
    const [value] = decode(cloudEvents(), text).values;
    assert.deepStrictEqual(value, { ...read, constructor: 'c' });
    assert.equal(Object.getPrototypeOf(value), Object.prototype);
  });
});
