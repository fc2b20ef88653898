/** Process: the user's own function with state and timers. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { TIMERS_MAX } from '../../../lib/operator/process.ts';
import type { ProcessContext, ProcessSpec, StatefulSpec } from '../../../lib/operator/spec.ts';
import { encodeKey } from '../../../lib/record/key.ts';
import { orderly, play, RUNS } from './histories.ts';
import { Rig, sorted } from './rig.ts';

type Context = ProcessContext<unknown, unknown>;
const spec = (process: ProcessSpec): StatefulSpec => ({ kind: 'process', process });

/** Each record is a function to be called with the context: tests say what happens where they expect it. */
type Step = (context: Context) => void;
const scripted = (onTimer?: ProcessSpec['onTimer']) =>
  new Rig(
    spec({
      onRecord: (value, context) => (value as Step)(context),
      ...(onTimer === undefined ? {} : { onTimer }),
    }),
  );
const tell = (rig: Rig, step: Step, t = 0, key = 'k') => rig.receive(key, step, t);

describe('state', () => {
  test('is its key’s own, undefined at first, kept over batches and restarts, and removed by undefined', () => {
    const rig = scripted();
    const seen: unknown[] = [];
    tell(rig, c => {
      seen.push(c.state);
      c.state = { n: 1 };
    });
    tell(rig, c => seen.push(c.state), 0, 'other');
    rig.advance(0);
    rig.restart();
    tell(rig, c => {
      seen.push(c.state);
      c.state = undefined;
    });
    tell(rig, c => seen.push(c.state));
    rig.advance(0);
    assert.deepEqual(seen, [undefined, undefined, { n: 1 }, undefined]);
    assert.equal(rig.state.entries, 0);
  });

  test('changed in place is kept too', () => {
    const rig = scripted();
    tell(rig, c => {
      c.state = { list: [1] };
    });
    tell(rig, c => {
      (c.state as { list: number[] }).list.push(2);
    });
    rig.advance(0);
    rig.restart();
    tell(rig, c => c.emit(c.state));
    assert.deepEqual(rig.values(), [{ list: [1, 2] }]);
  });

  test('null is a state like any other', () => {
    const rig = scripted();
    tell(rig, c => {
      c.state = null;
    });
    rig.advance(0);
    rig.restart();
    tell(rig, c => c.emit([c.state]));
    assert.deepEqual(rig.values(), [[null]]);
  });
});

describe('a call that throws', () => {
  test('has changed no state, not even in place, emitted nothing and set no timer; its record is poison', () => {
    const rig = scripted((name, c) => c.emit(name));
    tell(rig, c => {
      c.state = { list: [1] };
      c.setTimer('kept', 10);
    });
    const bad: Step = c => {
      (c.state as { list: number[] }).list.push(2);
      c.emit('never');
      c.setTimer('never', 5);
      c.clearTimer('kept');
      throw new Error('boom');
    };
    tell(rig, bad);
    tell(rig, c => c.emit(c.state));
    rig.advance(100);
    assert.deepEqual(rig.values(), [{ list: [1] }, 'kept']);
    assert.deepEqual(
      rig.poisons.map(poison => [poison.value, String(poison.cause)]),
      [[bad, 'Error: boom']],
    );
  });

  test('from a timer: the timer has fired, the rest is as it was', () => {
    const rig = scripted((_name, c) => {
      c.state = 'changed';
      throw new Error('boom');
    });
    tell(rig, c => {
      c.state = 'kept';
      c.setTimer('t', 10);
    });
    rig.advance(10);
    assert.deepEqual(rig.poisons[0]!.value, { timer: 't', timeMs: 10 });
    rig.restart();
    tell(rig, c => c.emit(c.state));
    rig.advance(1000);
    assert.deepEqual(rig.values(), ['kept']);
    assert.equal(rig.poisons.length, 1);
  });

  test('a promise is a failure, and so is using the context later', async () => {
    const rig = scripted();
    let kept: Context | undefined;
    tell(rig, async c => {
      kept = c;
      await Promise.resolve();
    });
    assert.match(String(rig.poisons[0]!.cause), /promise/);
    await Promise.resolve();
    assert.throws(() => kept!.emit(1), /after the call/);
    assert.throws(() => {
      kept!.state = 1;
    }, /after the call/);
  });

  test('without a key there is no state: poison; without a value there is nothing: counted', () => {
    const rig = scripted();
    rig.receive(null, 1, 0);
    rig.receive('k', null, 0);
    assert.equal((rig.poisons[0]!.cause as { code: string }).code, 'RECORD_KEY');
    assert.deepEqual(rig.drops, ['null-value']);
  });
});

describe('what a call sees and emits', () => {
  test('the key is decoded, W is that of the last advance, rows have the time of the record or the one given', () => {
    const rig = scripted();
    rig.advance(40);
    tell(
      rig,
      c => {
        c.emit([c.key, c.watermarkMs]);
        c.emit('later', { timeMs: 70 });
      },
      50,
      encodeKey(['shop', 7])!,
    );
    assert.deepEqual(
      rig.rows.map(row => [row.value, row.timeMs]),
      [
        [[['shop', 7], 40], 50],
        ['later', 70],
      ],
    );
    assert.equal(rig.rows[0]!.key, encodeKey(['shop', 7]));
  });

  test('times that are no numbers are refused', () => {
    const rig = scripted();
    tell(rig, c => c.emit(1, { timeMs: Number.NaN }));
    tell(rig, c => c.setTimer('t', Number.POSITIVE_INFINITY));
    assert.equal(rig.poisons.length, 2);
  });

  test('a row shows the state as it was, whatever becomes of it', () => {
    const given: unknown[] = [];
    const rig = new Rig(
      spec({
        onRecord(value, c) {
          const state = (c.state ?? []) as unknown[];
          state.push(value);
          c.state = state;
          given.push(c.state);
        },
      }),
    );
    rig.receive('k', 1, 0);
    rig.receive('k', 2, 0);
    assert.deepEqual(given, [[1], [1, 2]]);
  });
});

describe('timers', () => {
  const fired: [string, number, unknown][] = [];
  const noting = () => {
    fired.length = 0;
    return scripted((name, c, timeMs) => {
      fired.push([name, timeMs, c.key]);
      c.emit(name);
    });
  };

  test('fire once, when W reaches them, in the order of time across keys', () => {
    const rig = noting();
    tell(rig, c => c.setTimer('b', 200_000), 0, 'x');
    tell(rig, c => c.setTimer('a', 100), 0, 'y');
    tell(rig, c => c.setTimer('c', 300_000), 0, 'x');
    rig.advance(99);
    assert.deepEqual(fired, []);
    rig.advance(100);
    assert.deepEqual(fired, [['a', 100, 'y']]);
    rig.advance(10_000_000);
    assert.deepEqual(fired.slice(1), [
      ['b', 200_000, 'x'],
      ['c', 300_000, 'x'],
    ]);
    rig.advance(20_000_000);
    assert.equal(fired.length, 3);
    assert.equal(rig.state.entries, 0);
  });

  test('survive a restart, also in a slot that has been loaded', () => {
    const rig = noting();
    tell(rig, c => c.setTimer('early', 100));
    tell(rig, c => c.setTimer('late', 200));
    rig.advance(150);
    rig.restart();
    rig.advance(200);
    assert.deepEqual(fired, [
      ['early', 100, 'k'],
      ['late', 200, 'k'],
    ]);
  });

  test('of the same name move, and a cleared one does not fire', () => {
    const rig = noting();
    tell(rig, c => {
      c.setTimer('moved', 100);
      c.setTimer('cleared', 100);
    });
    rig.advance(50);
    tell(rig, c => {
      c.setTimer('moved', 70_000);
      c.clearTimer('cleared');
      c.clearTimer('never set');
    });
    rig.advance(69_999);
    assert.deepEqual(fired, []);
    rig.advance(70_000);
    assert.deepEqual(fired, [['moved', 70_000, 'k']]);
  });

  test('moved within the slot that is being watched survive a restart', () => {
    const rig = noting();
    tell(rig, c => c.setTimer('t', 100));
    rig.advance(50);
    tell(rig, c => c.setTimer('t', 200));
    rig.advance(150);
    rig.restart();
    rig.advance(200);
    assert.deepEqual(fired, [['t', 200, 'k']]);
  });

  test('that are cleared leave nothing behind', () => {
    const rig = noting();
    tell(rig, c => c.setTimer('t', 100));
    rig.advance(0);
    tell(rig, c => c.clearTimer('t'));
    rig.advance(0);
    assert.equal(rig.state.entries, 0);
  });

  test('names and keys of any text are kept apart', () => {
    const rig = noting();
    tell(rig, c => c.setTimer('1:', 1), 0, '2:b');
    tell(rig, c => c.setTimer('1:2', 2), 0, ':b');
    tell(rig, c => c.setTimer('__proto__', 3), 0, '__proto__');
    rig.advance(0);
    rig.restart();
    rig.advance(10);
    assert.deepEqual(fired, [
      ['1:', 1, '2:b'],
      ['1:2', 2, ':b'],
      ['__proto__', 3, '__proto__'],
    ]);
  });

  test('set for the past by a record fire at the end of its batch, though W does not move', () => {
    const rig = noting();
    rig.advance(100);
    tell(rig, c => c.setTimer('past', 5), 90);
    const rows = rig.advance(100);
    assert.deepEqual(fired, [['past', 5, 'k']]);
    assert.deepEqual(rows, [{ key: 'k', value: 'past', timeMs: 100 }]);
  });

  test('set for the past by a timer fire at the next advance, so that none can fire for ever', () => {
    let count = 0;
    const rig = scripted((_name, c) => {
      count++;
      c.setTimer('again', 0);
    });
    tell(rig, c => c.setTimer('again', 10));
    for (let i = 1; i <= 5; i++) {
      rig.advance(10 + i);
      if (i === 3) rig.restart();
      assert.equal(count, i);
    }
  });

  test('set by a timer for a moment that W has not reached fire then', () => {
    const at: number[] = [];
    const rig = scripted((_name, c, timeMs) => {
      at.push(timeMs);
      if (timeMs < 50) c.setTimer('tick', timeMs + 10);
    });
    tell(rig, c => c.setTimer('tick', 10));
    for (let w = 0; w <= 60; w += 10) rig.advance(w);
    assert.deepEqual(at, [10, 20, 30, 40, 50]);
  });

  test('a row of a timer has the time it was set for', () => {
    const rig = noting();
    rig.advance(5);
    tell(rig, c => c.setTimer('t', 20));
    assert.deepEqual(
      rig.advance(100).map(row => row.timeMs),
      [20],
    );
  });

  test('are limited in number a key', () => {
    const rig = noting();
    tell(rig, c => {
      for (let i = 0; i <= TIMERS_MAX; i++) c.setTimer(`t${i}`, i);
    });
    assert.match(String(rig.poisons[0]!.cause), /TIMERS_MAX/);
    rig.advance(10_000);
    assert.deepEqual(fired, []);
  });

  test('without onTimer they just pass', () => {
    const rig = scripted();
    tell(rig, c => c.setTimer('t', 10));
    rig.advance(100);
    assert.equal(rig.state.entries, 0);
    assert.deepEqual(rig.poisons, []);
  });
});

test('a join written with it, which tells what is missing, gives what a table would, whatever the cuts and the restarts', () => {
  const waitMs = 30;
  const missing = spec({
    onRecord(value, c, timeMs) {
      const open = (c.state ?? []) as { id: number; t: number }[];
      open.push({ id: value as number, t: timeMs });
      c.state = open;
      // A record of just that moment may still come when event time has reached it.
      c.setTimer(`${value}`, timeMs + waitMs + 1);
    },
    onTimer(name, c) {
      const open = c.state as { id: number; t: number }[];
      const own = open.find(one => one.id === Number(name))!;
      const later = open.some(one => one.t > own.t && one.t <= own.t + waitMs);
      if (!later) c.emit(own.id);
    },
  });
  fc.assert(
    fc.property(orderly, history => {
      const rig = new Rig(missing, { strict: true });
      play(rig, { ...history, graceMs: 0, maxOutOfOrderMs: history.maxOutOfOrderMs + history.graceMs });
      rig.advance(100_000);
      const expected = history.arrivals
        .filter(
          one => !history.arrivals.some(other => other.key === one.key && other.t > one.t && other.t <= one.t + waitMs),
        )
        .map(one => ({ key: one.key, value: one.id, timeMs: one.t + waitMs + 1 }));
      assert.deepEqual(sorted(rig.rows.map(row => ({ ...row, timeMs: row.timeMs }))), sorted(expected));
    }),
    RUNS,
  );
});
