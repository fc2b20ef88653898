/** What a task makes of user code that throws, returns what nobody can use, or changes what it is given. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { aggregate, collect, count, pipeline, reduce, tumbling } from '../../../lib/index.ts';
import { planned } from '../topology/broker.ts';
import { codes, judged, MESSAGE_BYTES_MAX, Rig, type Value } from './processor-rig.ts';

describe('whatever user code throws', () => {
  class Hostile extends Error {
    override get message(): string {
      throw new Error('not even this');
    }
  }
  const thrown: readonly (readonly [string, () => unknown, RegExp])[] = [
    ['an error', () => new Error('no good'), /no good$/],
    ['a text', () => 'just text', /^just text$/],
    ['an empty text', () => '', /empty text/],
    ['null', () => null, /^null$/],
    ['undefined', () => undefined, /^undefined$/],
    ['a symbol', () => Symbol('s'), /Symbol\(s\)/],
    ['a frozen object', () => Object.freeze({ code: 1 }), /object/],
    ['an object without a prototype', () => Object.create(null), /no text that can be read/],
    ['an error whose text throws', () => new Hostile(), /no text that can be read/],
    [
      'an error whose stack throws',
      () =>
        Object.defineProperty(new Error('x'), 'stack', {
          get: () => {
            throw 1;
          },
        }),
      /^x$/,
    ],
    ['an error whose text is no text', () => Object.assign(new Error(), { message: { toString: null } }), /no text/],
    ['an error without a text', () => new TypeError(), /TypeError without a text/],
    [
      'a revoked proxy',
      () => {
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        return proxy;
      },
      /no text/,
    ],
    ['a text of many lines and bytes', () => new Error(`${'é\n'.repeat(50_000)}`), /^(é ?)+$/],
  ];
  for (const [what, make, text] of thrown) {
    test(`${what} makes one dead letter that says so, and the rest flows`, async () => {
      const rig = await Rig.of(
        judged(value => {
          if (value.bad === true) throw make();
          return value;
        }),
      );
      rig.feed({ id: 'a' }, { seq: 1 });
      rig.feed({ id: 'b', bad: true }, { seq: 2 });
      rig.feed({ id: 'c' }, { seq: 3 });
      const { rows, letters } = await rig.run();
      assert.deepEqual(rows, ['{"id":"a"}', '{"id":"c"}']);
      assert.deepEqual(codes(letters), ['USER_CODE']);
      assert.match(letters[0]!.headers['Millrace-Message']!, text);
      assert.ok(Buffer.byteLength(letters[0]!.headers['Millrace-Message']!) <= 1_000);
      assert.equal(letters[0]!.text, '{"id":"b","bad":true}');
      assert.equal(letters[0]!.subject, 'millrace.p.dead.judge');
      assert.equal(rig.processor.dead, 1);
    });
  }
});

describe('whatever user code returns', () => {
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  const deep = () => {
    let value: unknown = 1;
    for (let i = 0; i < 20_000; i++) value = [value];
    return value;
  };
  const returned: readonly (readonly [string, () => unknown, string])[] = [
    ['a promise', () => Promise.reject(new Error('nobody waits')), 'USER_CODE'],
    ['undefined', () => undefined, 'RECORD_UNWRITABLE'],
    ['a function', () => () => 1, 'RECORD_UNWRITABLE'],
    ['a symbol', () => Symbol('s'), 'RECORD_UNWRITABLE'],
    ['an object that contains itself', () => circle, 'RECORD_UNWRITABLE'],
    ['something nested 20,000 deep', deep, 'RECORD_UNWRITABLE'],
    [
      'an object whose getter throws',
      () => ({
        get x() {
          throw new Error('no');
        },
      }),
      'RECORD_UNWRITABLE',
    ],
    ['more than a message holds', () => 'x'.repeat(MESSAGE_BYTES_MAX), 'MESSAGE_TOO_LARGE'],
    ['more than a message holds once it is UTF-8', () => '€'.repeat(MESSAGE_BYTES_MAX / 2), 'MESSAGE_TOO_LARGE'],
  ];
  for (const [what, make, code] of returned) {
    test(`${what} cannot be a result: ${code}`, async () => {
      const rig = await Rig.of(judged(value => (value.bad === true ? make() : value)));
      rig.feed({ id: 'a' });
      rig.feed({ id: 'b', bad: true });
      rig.feed({ id: 'c' });
      const { rows, letters } = await rig.run();
      assert.deepEqual(rows, ['{"id":"a"}', '{"id":"c"}']);
      assert.deepEqual(codes(letters), [code]);
    });
  }

  test('null, NaN, −0, a lone surrogate and a large bigint are results', async () => {
    const values = [null, { n: Number.NaN, m: -0, t: 'a\ud800', b: 2n ** 70n }];
    const rig = await Rig.of(judged(value => values[value.at!]));
    rig.feed({ at: 0 });
    rig.feed({ at: 1 });
    const { rows, letters } = await rig.run();
    assert.deepEqual(rows, ['null', '{"n":null,"m":0,"t":"a\\ud800","b":1180591620717411303424}']);
    assert.deepEqual(letters, []);
  });

  test('what no state can keep is a dead letter of the operator that made it, before it is kept', async () => {
    const kept = (make: (value: Value) => unknown) =>
      pipeline('p', ({ from, table }) => {
        from<Value>('in.a')
          .keyBy('id')
          .leftJoin(table('sites'), value => value)
          .map(value => make(value) as Value, { name: 'judge' })
          .filter(() => true)
          .window(tumbling('1s'), { name: 'seconds' })
          .aggregate({ n: count(), all: collect((value: Value) => value), pick: collect((value: Value) => value.pick) })
          .to('out.{partition}');
      });
    for (const bad of [() => 1, Symbol('s'), new (class Money {})(), 10n ** 1000n, circle, deep()]) {
      const rig = await Rig.of(kept(value => (value.bad === true ? { ...value, bad } : value)));
      rig.feed({ id: 'k' });
      rig.feed({ id: 'k', bad: true });
      assert.deepEqual(codes((await rig.run()).letters), ['RECORD_UNWRITABLE']);
      const { rows, letters } = await rig.run(3_000);
      assert.deepEqual(letters, []);
      assert.equal((JSON.parse(rows[0]!) as { n: number }).n, 1);
    }
  });

  test('an accumulator, a state and an extracted value that are no data are dead letters of their record', async () => {
    const windows = pipeline('p', ({ from }) => {
      from<{ id: string; bad?: boolean }>('in.a')
        .keyBy('id')
        .window(tumbling('1s'), { name: 'seconds' })
        .aggregate({
          picked: collect(value => (value.bad === true ? () => 1 : 1)),
          own: aggregate({ init: () => ({ n: 0 }), add: (sum, _value: { id: string }) => ({ n: sum.n + 1 }) }),
        })
        .to('out.{partition}');
    });
    const accumulated = pipeline('p', ({ from }) => {
      from<{ id: string; bad?: boolean }>('in.a')
        .keyBy('id')
        .window(tumbling('1s'), { name: 'seconds' })
        .aggregate({ own: reduce((sum: unknown, value: { bad?: boolean }) => (value.bad === true ? () => sum : 1), 0) })
        .to('out.{partition}');
    });
    const stateful = pipeline('p', ({ from }) => {
      from<{ id: string; bad?: boolean }>('in.a')
        .keyBy('id')
        .process<unknown, unknown>({
          onRecord(value, context) {
            context.setTimer('later', 2_000);
            context.state = value.bad === true ? { f: () => 1 } : 1;
          },
          onTimer: (_name, context) => context.emit({ fired: context.state }),
          name: 'seconds',
        })
        .to('out.{partition}');
    });
    for (const made of [windows, accumulated, stateful]) {
      const rig = await Rig.of(made);
      rig.feed({ id: 'k' });
      rig.feed({ id: 'k', bad: true });
      const { letters } = await rig.run();
      assert.deepEqual(codes(letters), ['RECORD_UNWRITABLE']);
      assert.equal((await rig.run(3_000)).rows.length, 1);
    }
  });

  test('a time out of all bounds, given to emit or to a timer, is refused', async () => {
    for (const timeMs of [1e308, -1e300, Number.NaN, Number.POSITIVE_INFINITY, 8.64e15 + 1]) {
      const rig = await Rig.of(
        pipeline('p', ({ from }) => {
          from<{ id: string; how: string }>('in.a')
            .keyBy('id')
            .process<null, unknown>({
              onRecord(value, context) {
                if (value.how === 'emit') context.emit({}, { timeMs });
                else context.setTimer('t', timeMs);
              },
            })
            .to('out.{partition}');
        }),
      );
      rig.feed({ id: 'a', how: 'emit' });
      rig.feed({ id: 'a', how: 'timer' });
      const { letters } = await rig.run();
      assert.deepEqual(codes(letters), ['INVALID_ARGUMENT', 'INVALID_ARGUMENT']);
    }
  });

  test('flatMap that returns no list is a dead letter rather than nothing', async () => {
    for (const result of [undefined, null, 5, 'text', { length: 2 }, Promise.resolve([1]), (async function* () {})()]) {
      const rig = await Rig.of(
        pipeline('p', ({ from, table }) => {
          from<{ id: string }>('in.a')
            .keyBy('id')
            .leftJoin(table('sites'), value => value)
            .flatMap(() => result as Iterable<number>)
            .to('out.{partition}');
        }),
      );
      rig.feed({ id: 'a' });
      const { rows, letters } = await rig.run();
      assert.deepEqual([rows, codes(letters)], [[], ['USER_CODE']]);
    }
  });

  test('predicates of a branch that are asynchronous are refused, and no arm takes the record', async () => {
    const rig = await Rig.of(
      pipeline('p', ({ from, table }) => {
        const { first, rest } = from<{ id: string }>('in.a')
          .keyBy('id')
          .leftJoin(table('sites'), value => value)
          .branch({ first: (async () => false) as unknown as () => boolean });
        first.to('first.{partition}');
        rest.to('rest.{partition}');
      }),
    );
    rig.feed({ id: 'a' });
    const { rows, letters } = await rig.run();
    assert.deepEqual([rows, codes(letters)], [[], ['USER_CODE']]);
  });
});

describe('user code that changes what it is given', () => {
  test('cannot change what a join keeps: it is a dead letter, before and after a restart alike', async () => {
    const joined = pipeline('p', ({ from }) => {
      const left = from<{ id: string; n: number; spoil?: boolean }>('in.a').keyBy('id');
      const right = from<{ id: string; n: number }>('in.b').keyBy('id');
      left
        .join(right, { within: '1h' }, (l, r) => {
          if (l.spoil === true) (r as { n: number }).n = 99;
          return { n: r.n };
        })
        .to('out.{partition}');
    });
    for (const restarts of [false, true]) {
      let rig = await Rig.of(joined);
      const inputs = (await planned(joined)).stages[0]!.inputs.map(({ name }) => name);
      const [left, right] = [inputs.indexOf('a'), inputs.indexOf('b')].every(at => at >= 0)
        ? [inputs.indexOf('a'), inputs.indexOf('b')]
        : [0, 1];
      rig.feed({ id: 'k', n: 1 }, { input: right! });
      await rig.run();
      if (restarts) {
        const [delta] = rig.deltas;
        rig = await Rig.of(joined);
        rig.processor.state.applyDelta(delta!);
        rig.processor.resume(1_000);
      }
      rig.feed({ id: 'k', n: 2, spoil: true }, { input: left!, seq: 2 });
      rig.feed({ id: 'k', n: 3 }, { input: left!, seq: 3 });
      const { rows, letters } = await rig.run();
      assert.deepEqual(rows, ['{"n":1}']);
      assert.deepEqual(codes(letters), ['USER_CODE']);
      assert.match(letters[0]!.headers['Millrace-Message']!, /read only/);
    }
  });
});
