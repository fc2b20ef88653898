import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Loads } from '../../../lib/cluster/loads.ts';

const KEYS = ['p/s/0', 'p/s/1', 'p/s/2', 'p/s/3'];

function loadsAfter(rates: readonly number[], seconds: number): Map<string, number> {
  const loads = new Loads();
  for (let s = 0; s <= seconds; s++) loads.take(new Map(KEYS.map((key, i) => [key, rates[i]! * s])), s * 1_000);
  return loads.of(KEYS);
}

describe('loads', () => {
  test('are 1 before anything is known, and where nothing flows', () => {
    assert.deepEqual([...new Loads().of(KEYS).values()], [1, 1, 1, 1]);
    assert.deepEqual([...loadsAfter([0, 0, 0, 0], 10).values()], [1, 1, 1, 1]);
  });

  test('are shares of what flows, with a mean of 1', () => {
    assert.deepEqual([...loadsAfter([300, 100, 0, 0], 10).values()], [3, 1, 0, 0]);
  });

  test('hardly follow a gust, and follow what stays', () => {
    const loads = new Loads();
    let records = 0;
    let now = 0;
    const pass = (seconds: number, rate: number) => {
      for (let i = 0; i < seconds; i++) {
        now += 1_000;
        records += rate;
        loads.take(
          new Map([
            ['p/s/0', records],
            ['p/s/1', now / 10],
          ]),
          now,
        );
      }
      return loads.of(['p/s/0', 'p/s/1']).get('p/s/0')!;
    };
    assert.equal(pass(60, 100), 1);
    assert.ok(pass(3, 1_000) < 1.3);
    assert.ok(pass(180, 1_000) > 1.7);
  });

  test('are kept while another owner reads back what a part has done', () => {
    const loads = new Loads();
    for (let s = 0; s <= 10; s++)
      loads.take(
        new Map([
          ['a', 300 * s],
          ['b', 100 * s],
        ]),
        s * 1_000,
      );
    loads.take(
      new Map([
        ['a', 0],
        ['b', 1_100],
      ]),
      11_000,
    );
    const known = loads.of(['a', 'b']);
    assert.ok(known.get('a')! > 2.9 * known.get('b')!);
  });
});
