/** Schemas and versions: what comes out, what is refused with which reasons, and that types flow. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { StandardSchemaV1 } from '@standard-schema/spec';
import * as z from 'zod';
import { versions } from '../../../lib/record/evolve.ts';
import { validator } from '../../../lib/record/schema.ts';

/** A Standard Schema by hand, as another library would make one. */
function handmade(validate: (value: unknown) => unknown): StandardSchemaV1<unknown, number> {
  return {
    '~standard': {
      version: 1,
      vendor: 'hand',
      validate: validate as StandardSchemaV1.Props<unknown, number>['validate'],
    },
  };
}

describe('validator', () => {
  test('gives what the schema makes of the value: coerced, defaulted, unknown fields as it says', () => {
    const check = validator(z.object({ id: z.coerce.number(), unit: z.string().default('pcs') }));
    assert.deepStrictEqual(check({ id: '7', extra: true }), { id: 7, unit: 'pcs' });
    assert.deepStrictEqual(validator(z.looseObject({ id: z.number() }))({ id: 7, extra: true }), {
      id: 7,
      extra: true,
    });
  });

  test('names the path and the reason of each issue', () => {
    const check = validator(z.strictObject({ id: z.number(), lines: z.array(z.object({ sku: z.string() })) }));
    assert.throws(() => check({ id: 'x', lines: [{ sku: 'a' }, {}] }), {
      code: 'RECORD_INVALID',
      message: /^the record does not fit its schema: id: .*expected number.*; lines\[1\]\.sku: .*expected string/,
    });
    assert.throws(() => check({ id: 1, lines: [], extra: 1 }), { code: 'RECORD_INVALID', message: /extra/ });
    assert.throws(() => check(null), { code: 'RECORD_INVALID', message: /the value: / });
  });

  test('tells the first reasons of many, and that there are more', () => {
    const check = validator(z.array(z.number()));
    assert.throws(() => check(new Array(500).fill('x')), { message: /\[9\]: .*; and 490 more$/ });
  });

  test('an asynchronous schema is refused in words, and its later rejection harms nobody', async () => {
    const check = validator(handmade(() => Promise.reject(new Error('later'))));
    assert.throws(() => check(1), { code: 'USER_CODE', message: /the schema is asynchronous/ });
    await new Promise(resolve => setImmediate(resolve));
    const refined = validator(z.string().refine(async () => true));
    assert.throws(() => refined('x'), { code: 'USER_CODE' });
  });

  test('a schema that throws is user code that threw; one that fails in silence still fails', () => {
    const throws = handmade(() => {
      throw new Error('oops');
    });
    assert.throws(() => validator(throws)(1), { code: 'USER_CODE', message: 'the schema threw: oops' });
    assert.throws(() => validator(handmade(() => ({ issues: [] })))(1), {
      code: 'RECORD_INVALID',
      message: /no reason/,
    });
    const keyed = handmade(() => ({ issues: [{ message: 'bad', path: [{ key: 'a' }, { key: 0 }, 'b'] }] }));
    assert.throws(() => validator(keyed)(1), { message: /a\[0\]\.b: bad$/ });
  });

  test('what is no Standard Schema is refused when it is given', () => {
    for (const bad of [{}, null, 'x', { parse: () => 1 }, { '~standard': {} }]) {
      assert.throws(() => validator(bad as never), { code: 'INVALID_ARGUMENT', message: /Standard Schema/ });
    }
  });
});

const OrderV3 = z.object({
  v: z.literal(3),
  id: z.string(),
  total: z.number().min(0),
  currency: z.string().default('EUR'),
});
const OrderV2 = z.object({ v: z.literal(2), id: z.string(), total: z.number() });
const OrderV1 = z.object({ orderId: z.coerce.string(), total: z.string() });

describe('versions', () => {
  const order = versions(OrderV3)
    .from(OrderV2, old => ({ ...old, v: 3 as const }))
    .from(OrderV1, old => ({ v: 3 as const, id: old.orderId, total: Number(old.total), currency: 'USD' }));
  const check = validator(order);

  test('each version is recognised by its schema and brought to the latest', () => {
    assert.deepStrictEqual(check({ v: 3, id: 'a', total: 1, more: 1 }), { v: 3, id: 'a', total: 1, currency: 'EUR' });
    assert.deepStrictEqual(check({ v: 2, id: 'a', total: 1 }), { v: 3, id: 'a', total: 1, currency: 'EUR' });
    assert.deepStrictEqual(check({ orderId: 7, total: '1.5' }), { v: 3, id: '7', total: 1.5, currency: 'USD' });
  });

  test('a value that fits none is refused with the reasons of each', () => {
    assert.throws(() => check({ total: [] }), {
      code: 'RECORD_INVALID',
      message: /\(the latest version\): v: .*\(the version before\): v: .*\(the version 2 before\): total: /,
    });
  });

  test('what was brought up must fit the latest, and does not fall through to older versions', () => {
    assert.throws(() => check({ v: 2, id: 'a', total: -1, orderId: 'fits v1 too' }), {
      code: 'RECORD_INVALID',
      message: /\(the version before, brought up\): total: /,
    });
  });

  test('the newest version that fits wins', () => {
    const both = versions(z.looseObject({ a: z.number() })).from(z.looseObject({}), () => ({ a: -1 }));
    assert.deepStrictEqual(validator(both)({ a: 5 }), { a: 5 });
    assert.deepStrictEqual(validator(both)({ b: 5 }), { a: -1 });
  });

  test('adding a version leaves the value it was added to as it was', () => {
    const base = versions(OrderV3);
    base.from(OrderV2, old => ({ ...old, v: 3 as const }));
    assert.throws(() => validator(base)({ v: 2, id: 'a', total: 1 }), { code: 'RECORD_INVALID' });
  });

  test('a step that throws or waits is user code that failed, named by its version', () => {
    const bad = versions(z.number())
      .from(z.string(), () => {
        throw new Error('oops');
      })
      .from(z.boolean(), (async () => 1) as never);
    assert.throws(() => validator(bad)('x'), {
      code: 'USER_CODE',
      message: 'bringing the version before up threw: oops',
    });
    assert.throws(() => validator(bad)(true), {
      code: 'USER_CODE',
      message: /the version 2 before up returned a promise/,
    });
    assert.throws(() => versions(z.number()).from(z.string(), undefined as never), { code: 'INVALID_ARGUMENT' });
    assert.throws(() => versions({} as never), { code: 'INVALID_ARGUMENT' });
  });

  test('versions nest: the result is a schema like any other', () => {
    const outer = versions(z.object({ order: z.string() })).from(order, old => ({
      order: `${old.currency} ${old.total}`,
    }));
    assert.deepStrictEqual(validator(outer)({ v: 2, id: 'a', total: 1 }), { order: 'EUR 1' });
  });

  test('types flow: the output is the latest’s, a step goes from the old output to the latest’s input', () => {
    const out = check({ v: 2, id: 'a', total: 1 });
    const currency: string = out.currency;
    assert.equal(currency, 'EUR');
    // @ts-expect-error a total is a number
    const total: string = out.total;
    assert.equal(total, 1);
    // @ts-expect-error a step must give what the latest takes
    versions(OrderV3).from(OrderV2, old => ({ id: old.id }));
    // @ts-expect-error an old version has no such field
    versions(OrderV3).from(OrderV1, old => ({ v: 3 as const, id: old.missing, total: 1 }));
  });
});
