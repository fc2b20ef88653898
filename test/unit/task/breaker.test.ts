/** The breaker: which starts make a part careful, which record is blamed, and how it becomes bold again (*in hand*). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Hand } from '../../../lib/journal/attempts.ts';
import { Breaker, OneInHand } from '../../../lib/task/breaker.ts';

/** One start after another at one place, each in a process of its own; what is said outlives them. */
function lives(count: number, live: (breaker: Breaker, say: (hand: Hand) => void) => void): Breaker {
  let said: Hand | null = null;
  let breaker = new Breaker();
  for (let starts = 1; starts <= count; starts++) {
    breaker = new Breaker();
    breaker.begin({ starts, hand: said });
    live(breaker, hand => {
      said = hand;
    });
  }
  return breaker;
}

describe('a breaker', () => {
  test('lets three starts come to nothing, then takes one record at a time', () => {
    const careful: boolean[] = [];
    lives(5, breaker => careful.push(breaker.isCareful));
    assert.deepEqual(careful, [false, false, false, true, true]);
  });

  test('gives a record up that was tried three times, and no other', () => {
    const tries: (number | null)[] = [];
    const last = lives(7, (breaker, say) => {
      if (!breaker.isCareful) return;
      const hand = breaker.take('a 7 0');
      tries.push(hand?.tries ?? null);
      if (hand !== null) say(hand);
    });
    assert.deepEqual(tries, [1, 2, 3, null]);
    assert.equal(last.take('a 7 1')?.tries, 1);
  });

  test('takes more at a time as they are lived through, and is as ever in the end', () => {
    const breaker = new Breaker();
    breaker.begin({ starts: 4, hand: null });
    const rows: number[] = [];
    while (breaker.isCareful) {
      rows.push(breaker.take('a 1 0')!.rows);
      breaker.survived({ records: true });
    }
    assert.deepEqual(rows.slice(0, 4), [1, 2, 4, 8]);
    assert.equal(rows.at(-1), 8192);
    assert.equal(breaker.starts, 0);
  });

  test('takes all those one by one of which it had many in hand', () => {
    const breaker = new Breaker();
    breaker.begin({ starts: 1, hand: { place: '', rows: 4, tries: 1 } });
    const rows = Array.from({ length: 6 }, (_, row) => {
      const hand = breaker.take(`a 1 ${row}`)!;
      breaker.survived({ records: true });
      return hand.rows;
    });
    assert.deepEqual(rows, [1, 1, 1, 1, 2, 4]);
  });

  test('counts no try that ended for a reason which it lived to see, and no start', () => {
    const breaker = new Breaker();
    let said: Hand | null = null;
    for (let starts = 4; starts < 20; starts++) {
      breaker.begin({ starts, hand: said });
      said = breaker.take('a 7 0');
      assert.equal(said?.tries, 1);
      breaker.excuse();
    }
    breaker.begin({ starts: 20, hand: said });
    assert.equal(breaker.starts, 4);
  });

  test('does not forget a record over others that come before it', () => {
    const breaker = new Breaker();
    breaker.begin({ starts: 1, hand: { place: 'a 7 0', rows: 1, tries: 2 } });
    assert.equal(breaker.take('b 3 0')?.tries, 1);
    breaker.survived({ records: false });
    assert.equal(breaker.take('a 7 0')?.tries, 3);
  });
});

test('one part of all that a process runs has a record in hand at a time', async () => {
  const inHand = new OneInHand();
  const order: string[] = [];
  const part = async (name: string) => {
    const end = await inHand.take();
    order.push(`${name} takes`);
    await Promise.resolve();
    order.push(`${name} ends`);
    end();
  };
  await Promise.all([part('a'), part('b'), part('c')]);
  assert.deepEqual(order, ['a takes', 'a ends', 'b takes', 'b ends', 'c takes', 'c ends']);
});
