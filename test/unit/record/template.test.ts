/** Subject templates: what is a template, what it renders to, which values cannot be part of a subject. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { matches } from '../../../lib/record/subject.ts';
import { parseTemplate, SUBJECT_BYTES_MAX } from '../../../lib/record/template.ts';

const place = { partition: 7, key: 'k' };

describe('subject templates', () => {
  test('fields, nested fields, the partition and the key are filled in', () => {
    const cases: [string, unknown, string][] = [
      ['analytics.revenue', null, 'analytics.revenue'],
      ['analytics.revenue.{partition}', null, 'analytics.revenue.7'],
      ['analytics.{site}.{user.id}', { site: 'shop', user: { id: 42 } }, 'analytics.shop.42'],
      ['a.{x}.b.{key}.{partition}.c', { x: true }, 'a.true.b.k.7.c'],
      ['a.{x}.{x}', { x: -0 }, 'a.0.0'],
      ['a.{x}', { x: 2n ** 64n }, 'a.18446744073709551616'],
      ['a.{naïve}', { naïve: '日本' }, 'a.日本'],
      ['$KV.bucket.{key}', null, '$KV.bucket.k'],
    ];
    for (const [text, value, subject] of cases) assert.equal(parseTemplate(text).render(value, place), subject);
  });

  test('a template knows its fields, the filter that covers it, and whether each task has a subject of its own', () => {
    const template = parseTemplate('analytics.{site}.{user.id}.{partition}.{key}');
    assert.deepStrictEqual(template.fields, ['site', 'user.id']);
    assert.equal(template.covers, 'analytics.*.*.*.*');
    const owned = ['a.{partition}', 'a.b', 'a.{x}.{partition}', 'a.{partition}.b', 'a.{key}'].map(
      it => parseTemplate(it).owned,
    );
    assert.deepStrictEqual(owned, [true, false, false, false, false]);
  });

  test('what is no template is refused, and it is said which token', () => {
    const cases: [string, RegExp][] = [
      ['', /is empty/],
      ['.a', /empty token/],
      ['a.', /empty token/],
      ['a..b', /empty token/],
      ['a.*', /wildcard '\*'/],
      ['a.>', /wildcard '>'/],
      ['a.b*', /token 'b\*'/],
      ['a b', /token 'a b': no spaces/],
      ['a.b\n', /token/],
      ['a.{}', /field '\{\}'/],
      ['a.{x', /token '\{x'/],
      ['a.x}', /token 'x\}'/],
      ['a.b{x}', /token 'b\{x\}': a field must be a token of its own/],
      ['a.{x}{y}', /field/],
      ['a.{x..y}', /field '\{x\.\.y\}'/],
      ['a.{.x}', /field/],
      ['a.{x y}', /field '\{x y\}'/],
      ['{x}.a', /begins with a field/],
      ['{partition}', /begins with a field/],
      [`a.${'x'.repeat(SUBJECT_BYTES_MAX)}`, /SUBJECT_BYTES_MAX/],
    ];
    for (const [text, message] of cases)
      assert.throws(() => parseTemplate(text), { code: 'INVALID_ARGUMENT', message });
    assert.throws(() => parseTemplate(undefined as never), { code: 'INVALID_ARGUMENT' });
  });

  test('a value that cannot be a token is refused with its field', () => {
    const template = parseTemplate('a.{user.id}');
    const cases: [unknown, RegExp][] = [
      ['', /^\{user\.id\} is an empty text/],
      ['a b', /^\{user\.id\} is "a b": no spaces, dots/],
      ['a.b', /"a\.b"/],
      ['*', /"\*"/],
      ['a>', /"a>"/],
      ['a\u0000', /control/],
      ['a\ud800', /\{user\.id\}/],
      [1.5, /is 1\.5: only whole numbers/],
      [NaN, /is NaN/],
      [Infinity, /is Infinity/],
      [null, /is missing/],
      [undefined, /is missing/],
      [{}, /of type object/],
      [['a'], /a list/],
      ['x'.repeat(257), /TOKEN_LENGTH_MAX/],
    ];
    for (const [id, message] of cases) {
      assert.throws(() => template.render({ user: { id } }, place), { code: 'RECORD_SUBJECT', message });
    }
    for (const value of [null, undefined, 5, {}, { user: null }, { user: 'id' }]) {
      assert.throws(() => template.render(value, place), {
        code: 'RECORD_SUBJECT',
        message: /\{user\.id\} is missing/,
      });
    }
    assert.throws(() => parseTemplate('a.{key}').render({}, { partition: 0, key: null }), {
      message: /^\{key\} is missing/,
    });
    assert.throws(() => parseTemplate('a.{key}').render({}, { partition: 0, key: ['a', 1] }), {
      message: /^\{key\} is a list/,
    });
    assert.throws(() => parseTemplate('a.{constructor}').render({}, place), { message: /missing/ });
  });

  test('a subject that grows too long is refused', () => {
    const template = parseTemplate('a.{x}.{x}.{x}.{x}');
    assert.equal(template.render({ x: 'y'.repeat(254) }, place).length, 1021);
    assert.throws(() => template.render({ x: 'y'.repeat(256) }, place), {
      code: 'RECORD_SUBJECT',
      message: /SUBJECT_BYTES_MAX/,
    });
    assert.throws(() => template.render({ x: '日'.repeat(100) }, place), { code: 'RECORD_SUBJECT' });
  });

  test('what is rendered has a token for each of the template, and its filter takes it', () => {
    const template = parseTemplate('out.{a}.mid.{b.c}.{partition}');
    const value = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.integer(), fc.double(), fc.boolean());
    fc.assert(
      fc.property(value, value, (a, c) => {
        let subject: string;
        try {
          subject = template.render({ a, b: { c } }, place);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'RECORD_SUBJECT');
          return;
        }
        assert.ok(matches(template.covers, subject));
        assert.deepStrictEqual(subject.split('.'), ['out', String(a), 'mid', String(c), '7']);
        assert.doesNotMatch(subject, /[\s*>]/);
      }),
      { numRuns: 2000 },
    );
  });
});
