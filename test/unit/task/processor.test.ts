/** The processor: what is counted, what is told of records that are late or dead, and what their letters hold. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BEFORE, DELETE, INSERT } from '../../../lib/change/change.ts';
import { collect, count, countDistinct, pipeline, tumbling } from '../../../lib/index.ts';
import type { Outbox } from '../../../lib/journal/outbox.ts';
import { encodeKey } from '../../../lib/record/key.ts';
import { originOf } from '../../../lib/record/origin.ts';
import { readable } from '../../../lib/record/output.ts';
import { deadLetter, lateLetter } from '../../../lib/task/letters.ts';
import { codes, judged, MESSAGE_BYTES_MAX, Rig } from './processor-rig.ts';

describe('what is counted', () => {
  test('late records are told with key, times and value, and counted; others are not', async () => {
    const rig = await Rig.of(
      pipeline('p', ({ from }) => {
        from<{ id: bigint }>('in.a')
          .keyBy(value => value.id)
          .window(tumbling('1s'), { name: 'seconds' })
          .aggregate({ n: count() })
          .to('out.{partition}');
      }),
    );
    rig.feed({ id: 1n }, { timeMs: 5_500 });
    await rig.run(5_500);
    rig.processor.cursor.origin = originOf(0, 9);
    rig.processor.entries[0]!.receive(encodeKey(['é', 2n ** 60n]), { id: 2n ** 60n }, 1_200, INSERT);
    rig.processor.entries[0]!.receive(encodeKey(5n), { id: 5n }, -8.64e15, INSERT);
    const { letters } = await rig.run(5_500);
    assert.deepEqual(
      letters.map(({ headers }) => headers['Millrace-Key']),
      ['["é","1152921504606846976n"]', '5'],
    );
    assert.equal(letters[0]!.text, '{"id":1152921504606846976}');
    assert.equal(letters[1]!.headers['Millrace-Time'], '-271821-04-20T00:00:00.000Z');
    assert.deepEqual([rig.processor.late, rig.processor.dead], [2, 0]);
  });

  test('a window that has collected too much is one dead letter with its limit; the other windows come', async () => {
    const rig = await Rig.of(
      pipeline('p', ({ from }) => {
        from<{ id: string; n: number }>('in.a')
          .keyBy('id')
          .window(tumbling('1s'), { name: 'seconds' })
          .aggregate({ all: collect(value => value.n, { max: 2 }), kinds: countDistinct(value => value.n, { max: 5 }) })
          .to('out.{partition}');
      }),
    );
    for (let n = 0; n < 4; n++) rig.feed({ id: 'many', n }, { key: 'many' });
    rig.feed({ id: 'few', n: 7 }, { key: 'few' });
    const { rows, letters } = await rig.run(9_000);
    assert.deepEqual(rows, ['{"id":"few","start":1000,"end":2000,"all":[7],"kinds":1}']);
    assert.deepEqual(codes(letters), ['LIMIT_REACHED']);
    assert.match(letters[0]!.headers['Millrace-Message']!, /collect\.max \(2\)/);
    assert.equal(rig.processor.dead, 1);
  });

  test('what is dropped on purpose is counted by reason, and makes no letter', async () => {
    const rig = await Rig.of(
      pipeline('p', ({ from }) => {
        const rows = from<{ id: string }>('in.a').keyBy('id');
        rows.dedupe({ id: value => value.id, within: '1h' }).to('out.{partition}');
      }),
    );
    rig.feed({ id: 'a' });
    rig.feed({ id: 'a' });
    rig.feed(null);
    const { rows, letters } = await rig.run();
    assert.deepEqual([rows.length, letters.length], [1, 0]);
    assert.deepEqual(Object.fromEntries(rig.processor.dropped), { duplicate: 1, 'null-value': 1 });
    assert.equal(rig.processor.rowsOut, 1);
  });
});

describe('letters', () => {
  const letter = { operator: 'op', code: 'X', message: 'why', origin: originOf(0, 3), index: 4, subject: 'in.a' };

  test('say what the record does to its table, where it is no insert', () => {
    const late = { operator: 'op', key: null, value: 1, timeMs: 1, watermarkMs: 2, lateByMs: 1 };
    const said = [INSERT, BEFORE, DELETE].map(change => {
      const dead = deadLetter(
        'p',
        { change, bytes: Buffer.from('1'), ...letter },
        { messageBytesMax: 1_000, lineage: null, origin: null },
      );
      return [
        dead,
        lateLetter(
          'p',
          { change, ...late },
          { content: readable(late.value), messageBytesMax: 1_000, lineage: null, origin: null },
        ),
      ].map(({ headers }) => headers['Millrace-Change']);
    });
    assert.deepEqual(said, [
      [undefined, undefined],
      ['before', 'before'],
      ['delete', 'delete'],
    ]);
  });

  test('of a reader that lack their original wait for it, others go at once', async () => {
    const rig = await Rig.of(judged(value => value));
    rig.processor.passLetter({ ...letter, bytes: Buffer.from('whole') });
    rig.processor.passLetter({ ...letter, bytes: Buffer.from('shown'), subject: '' });
    assert.equal(rig.processor.dead, 1);
    assert.deepEqual(
      rig.processor.takePending().map(({ bytes }) => Buffer.from(bytes).toString()),
      ['shown'],
    );
  });

  test('hold what fits a message, and say how long the whole was', async () => {
    const rig = await Rig.of(judged(value => value));
    rig.processor.letter({ ...letter, bytes: Buffer.alloc(2 * MESSAGE_BYTES_MAX, 'x') });
    rig.processor.letter({ ...letter, bytes: Buffer.from('cut'), bytesTotal: 77 });
    rig.processor.letter({ ...letter, bytes: Buffer.from('whole') });
    const { letters } = await rig.run();
    assert.deepEqual(
      letters.map(({ headers }) => headers['Millrace-Truncated']),
      [String(2 * MESSAGE_BYTES_MAX), '77', undefined],
    );
    assert.ok(letters[0]!.text.length < MESSAGE_BYTES_MAX);
  });

  test('a few come alone; many share messages, none too large, and each is as it would be alone', async () => {
    const rig = await Rig.of(judged(value => value));
    const few = Array.from({ length: 8 }, (_, i) => ({ ...letter, bytes: Buffer.from(`few ${i}`) }));
    for (const one of few) rig.processor.letter(one);
    rig.processor.letter({ ...letter, operator: 'other', bytes: Buffer.from('other') });
    await rig.processor.execute(1_000, null);
    const messagesOf = (outbox: Outbox) => outbox.rows.flatMap(({ lengths }) => lengths);
    assert.equal(messagesOf(rig.processor.take(1, 1_000).outbox).length, 9);
    const many = Array.from({ length: 300 }, (_, i) => ({
      ...letter,
      index: i,
      message: i % 3 === 0 ? 'why' : `why ${i}`,
      bytes: Buffer.alloc(i % 7 === 0 ? 0 : 200, 'x'),
      ...(i % 5 === 0 ? { carried: { 'Millrace-Header-tenant': `t${i}` } } : {}),
    }));
    for (const one of many) rig.processor.letter(one);
    const { letters } = await rig.run();
    assert.deepEqual(
      letters.map(({ text, headers }) => [headers['Millrace-Index'], headers['Millrace-Message'], text.length]),
      many.map(({ index, message, bytes }) => [String(index), message, bytes.length]),
    );
    assert.deepEqual(
      letters.map(({ headers }) => headers['Millrace-Header-tenant']),
      many.map(({ carried }) => carried?.['Millrace-Header-tenant']),
    );
    assert.equal(letters[7]!.headers['Millrace-Origin'], 'IN:3');
    for (const one of many) rig.processor.letter(one);
    await rig.processor.execute(1_000, null);
    const lengths = messagesOf(rig.processor.take(9, 1_000).outbox);
    assert.ok(lengths.length > 3 && lengths.length < 20, `${lengths.length} messages`);
    assert.ok(
      lengths.every(length => length <= MESSAGE_BYTES_MAX / 2),
      lengths.join(),
    );
  });

  test('have headers of one line each that fit beside the content, whatever key, subject and reason are', () => {
    const key = encodeKey(`${'\u0001€\r\n'.repeat(900)}`);
    const record = {
      operator: 'op',
      key,
      value: '€'.repeat(MESSAGE_BYTES_MAX),
      timeMs: 0,
      watermarkMs: 1,
      lateByMs: 1,
      change: INSERT,
    };
    const { bytes, headers } = lateLetter('p', record, {
      content: readable(record.value),
      messageBytesMax: 10_000,
      lineage: null,
      origin: null,
    });
    assert.equal(headers['Millrace-Truncated'], String(3 * MESSAGE_BYTES_MAX + 2));
    const whole = Object.entries(headers).reduce((sum, [name, value]) => sum + Buffer.byteLength(name + value) + 4, 0);
    assert.ok(whole < 3_000, `${whole} bytes`);
    assert.ok(whole + bytes.length < 10_000 && whole + bytes.length > 8_000, `${whole} and ${bytes.length} bytes`);
    assert.ok(Object.values(headers).every(value => !/\p{Cc}/u.test(value)));
  });

  test('fit the smallest messages, too: what the record came with goes first, then the end of the reason', () => {
    const carried = { 'Millrace-Header-Content-Type': 'application/json', 'Millrace-Header-X': 'x'.repeat(900) };
    const reason = 'because of '.repeat(90);
    for (const messageBytesMax of [700, 1_000, 1_500, 2_000, 3_000, 16_000]) {
      const about = { messageBytesMax, lineage: null, origin: null };
      const dead = deadLetter('p', { ...letter, message: reason, carried, bytes: Buffer.alloc(5_000, 'x') }, about);
      const { headers } = dead;
      const bytes = Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
      const room = messageBytesMax - Math.min(1_536, messageBytesMax >> 2);
      assert.ok(bytes + dead.bytes.length <= room + 30, `${messageBytesMax}: ${bytes} and ${dead.bytes.length} bytes`);
      assert.equal(headers['Millrace-Truncated'], messageBytesMax === 16_000 ? undefined : '5000');
    }
  });
});
