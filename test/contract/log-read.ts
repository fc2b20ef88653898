/** The contract of the log port's readers; see `log.ts`. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { isMillraceError } from '../../lib/base/errors.ts';
import { EXPECT_HEADER } from '../../lib/port/headers.ts';
import { bytes, endOf, type LogRig, message, Place, ready, take, text, texts } from './log-rig.ts';

export function readerContract(name: string, makeRig: () => Promise<LogRig>): void {
  describe(`readers of the log port: ${name}`, () => {
    let place: Place;
    before(async () => {
      place = new Place(await makeRig());
    });
    after(() => place.remove());
    beforeEach(() => place.next());

    describe('read', () => {
      test('delivers from the given sequence on, in order, what was there and what comes', async () => {
        for (const data of ['1', '2', '3']) await place.append('a', data);
        const reader = place.read({ from: 2 });
        assert.deepEqual(texts(await take(reader, 2)), ['2', '3']);
        await place.append('b', '4');
        const [fourth] = await take(reader, 1);
        assert.deepEqual([fourth!.seq, fourth!.subject, text(fourth), fourth!.headers], [4, `${place.s}.b`, '4', null]);
      });

      test('delivers headers', async () => {
        await place.log.append({
          subject: `${place.s}.a`,
          data: bytes('1'),
          headers: { one: '1', two: 'zwei ü' },
          expect: 0,
        });
        const [first] = await take(place.read({ from: 1 }), 1);
        assert.deepEqual({ ...first!.headers }, { one: '1', two: 'zwei ü', [EXPECT_HEADER]: '0' });
        assert.equal(text(first), '1');
      });

      test('leaves out the content where that is asked', async () => {
        for (const data of ['1'.repeat(20_000), '2'.repeat(20_000)]) {
          await place.log.append({ subject: `${place.s}.a`, data: bytes(data), headers: { one: '1' } });
        }
        const messages = await take(place.read({ from: 1, headersOnly: true, bufferBytesMax: 4_000 }), 2);
        assert.deepEqual(texts(messages), ['', '']);
        assert.deepEqual(
          messages.map(({ headers }) => headers?.one),
          ['1', '1'],
        );
      });

      test('waits at the end for what is yet to come', async () => {
        const reader = place.read({ from: 1 });
        await ready(reader, () => reader.caughtUp);
        assert.deepEqual(reader.take({ messagesMax: 1, bytesMax: 1 }), []);
        await place.append('a', '1');
        assert.deepEqual(texts(await take(reader, 1)), ['1']);
      });

      test('says how many messages are left, and when the next of them was published', async () => {
        const reader = place.read({ from: 1 });
        await ready(reader, () => reader.caughtUp);
        assert.deepEqual([reader.left, reader.nextTimeMs], [0, null]);
        for (let i = 0; i < 3; i++) await place.append('a', `${i}`);
        await ready(reader, () => reader.left === 3);
        const nextTimeMs = reader.nextTimeMs;
        const [first] = reader.take({ messagesMax: 1, bytesMax: 1 });
        assert.equal(first?.timeMs, nextTimeMs);
        assert.equal(reader.left, 2);
        assert.deepEqual(texts(await take(reader, 2)), ['1', '2']);
        await ready(reader, () => reader.caughtUp);
        assert.deepEqual([reader.left, reader.nextTimeMs], [0, null]);
      });

      test('takes at most so many messages, and about so many bytes but at least one', async () => {
        for (let i = 0; i < 10; i++) await place.append('a', 'x'.repeat(1_000));
        const reader = place.read({ from: 1 });
        const sizes: number[] = [];
        await ready(reader, () => {
          for (;;) {
            const some = reader.take({ messagesMax: 3, bytesMax: 1_000_000 });
            if (some.length === 0) break;
            sizes.push(some.length);
          }
          return sizes.reduce((sum, size) => sum + size, 0) === 10;
        });
        assert.ok(Math.max(...sizes) <= 3);
        const one = place.read({ from: 1 });
        await ready(one, () => one.take({ messagesMax: 10, bytesMax: 1 }).length === 1);
      });

      test('wakes its owner again when a take left something', async () => {
        for (let i = 1; i <= 5; i++) await place.append('a', String(i));
        const reader = place.read({ from: 1 });
        const taken: number[] = [];
        await ready(reader, () => {
          const some = reader.take({ messagesMax: 1, bytesMax: 1_000 });
          taken.push(...some.map(({ seq }) => seq));
          return taken.length === 5;
        });
        assert.deepEqual(taken, [1, 2, 3, 4, 5]);
      });

      test('delivers only the given subjects, literal or by wildcard', async () => {
        for (const subject of ['a.x', 'b.x', 'a.y', 'c', 'b.y', 'a.x']) await place.append(subject, subject);
        const bodies = async (subjects: string[], n: number) =>
          texts(await take(place.read({ from: 1, subjects: subjects.map(subject => `${place.s}.${subject}`) }), n));
        assert.deepEqual(await bodies(['a.x'], 2), ['a.x', 'a.x']);
        assert.deepEqual(await bodies(['a.y', 'b.y'], 2), ['a.y', 'b.y']);
        assert.deepEqual(await bodies(['a.*', 'c'], 4), ['a.x', 'a.y', 'c', 'a.x']);
        assert.deepEqual(await bodies(['b.>'], 2), ['b.x', 'b.y']);
      });

      test('has caught up only when everything that matches was taken, and again after more came', async () => {
        for (const data of ['1', '2']) await place.append('a', data);
        const reader = place.read({ from: 1 });
        await ready(reader, () => {
          for (;;) {
            const [next] = reader.take({ messagesMax: 1, bytesMax: 1 });
            if (next === undefined) return reader.caughtUp;
            assert.equal(reader.caughtUp, reader.caughtUp && next.seq === 2);
          }
        });
        await place.append('a', '3');
        await take(reader, 1);
        await ready(reader, () => reader.caughtUp);
      });

      test('has caught up at once where nothing matches', async () => {
        await place.append('a', '1');
        for (const options of [{ from: 2 }, { from: 1, subjects: [`${place.s}.none`] }]) {
          const reader = place.read(options);
          await ready(reader, () => reader.caughtUp);
        }
      });

      test('delivers a stream much larger than its buffer', async () => {
        const data = new Uint8Array(10_000).fill(1);
        await place.log.appendAll(Array.from({ length: 1_000 }, () => ({ subject: `${place.s}.a`, data })));
        const kept = await take(place.read({ from: 1, bufferBytesMax: 100_000 }), 1_000, {
          messagesMax: 5,
          bytesMax: 1e9,
        });
        assert.deepEqual(
          kept.map(({ seq }) => seq),
          Array.from({ length: 1_000 }, (_, i) => i + 1),
        );
      });

      test('delivers to each of a hundred readers at its own place', async () => {
        await place.log.appendAll(Array.from({ length: 300 }, (_, i) => message(`${place.s}.${i % 3}`, String(i + 1))));
        const places = Array.from({ length: 100 }, (_, i) => i + 1);
        const taken = await Promise.all(places.map(from => take(place.read({ from }), 301 - from)));
        for (const [i, messages] of taken.entries()) {
          assert.equal(messages[0]!.seq, i + 1);
          assert.equal(messages.length, 300 - i);
        }
      });

      test('goes on past messages that were deleted in the middle', async () => {
        for (const subject of ['keep', 'a', 'a', 'a', 'b', 'a']) await place.append(subject, subject);
        await place.log.trim({ stream: place.stream, subject: `${place.s}.a`, before: 6 });
        assert.deepEqual(texts(await take(place.read({ from: 2 }), 2)), ['b', 'a']);
      });

      test('delivers nothing any more after it was stopped', async () => {
        const reader = place.read({ from: 1 });
        await ready(reader, () => reader.caughtUp);
        await reader.stop();
        let woken = 0;
        reader.onReady = () => woken++;
        const other = place.read({ from: 1 });
        await place.append('a', '1');
        await take(other, 1);
        assert.equal(woken, 0);
        assert.deepEqual(reader.take({ messagesMax: 1, bytesMax: 1 }), []);
      });
    });

    describe('read, when the stream is not what it was', () => {
      const purge = (before: number) => place.log.trim({ stream: place.stream, subject: '>', before });
      const fill = async () => {
        for (const data of ['1', '2', '3', '4', '5']) await place.append(data === '5' ? 'b' : 'a', data);
      };

      test('ends with STREAM_MISSING when there is no such stream', async () => {
        await place.log.deleteStream(place.stream);
        assert.ok(isMillraceError(await endOf(place.read({ from: 1 })), 'STREAM_MISSING'));
      });

      test('ends when the stream is deleted, or made anew, while it is read', async () => {
        await fill();
        const reader = place.read({ from: 1 });
        await take(reader, 5);
        await place.make({});
        const error = await endOf(reader);
        assert.ok(isMillraceError(error, 'STREAM_MISSING') || isMillraceError(error, 'STREAM_CHANGED'), String(error));
      });

      test('ends with STREAM_CHANGED when the stream ends before our position', async () => {
        await fill();
        assert.ok(isMillraceError(await endOf(place.read({ from: 7 })), 'STREAM_CHANGED'));
        assert.ok(isMillraceError(await endOf(place.read({ from: 9, subjects: [`${place.s}.a`] })), 'STREAM_CHANGED'));
      });

      test('ends with STREAM_CHANGED when messages that were never read are gone from the front', async () => {
        await fill();
        await purge(4);
        assert.ok(isMillraceError(await endOf(place.read({ from: 3 })), 'STREAM_CHANGED'));
        assert.ok(
          isMillraceError(
            await endOf(place.read({ from: 3, subjects: [`${place.s}.b`], gaps: 'refuse' })),
            'STREAM_CHANGED',
          ),
        );
      });

      test('goes on when all that is gone was read', async () => {
        await fill();
        await purge(4);
        assert.deepEqual(texts(await take(place.read({ from: 4 }), 2)), ['4', '5']);
        await purge(6);
        const reader = place.read({ from: 6 });
        await ready(reader, () => reader.caughtUp);
        await place.append('a', '6');
        assert.deepEqual(texts(await take(reader, 1)), ['6']);
      });

      test('goes on where gaps are how the stream is kept', async () => {
        await fill();
        await purge(4);
        assert.deepEqual(texts(await take(place.read({ from: 2, gaps: 'allow' }), 2)), ['4', '5']);
        assert.deepEqual(texts(await take(place.read({ from: 2, subjects: [`${place.s}.a`] }), 1)), ['4']);
        assert.deepEqual(texts(await take(place.read({ from: 1 }), 2)), ['4', '5']);
      });

      test('goes on in a stream that keeps the last values of each subject', async () => {
        await place.make({ maxMessagesPerSubject: 1 });
        for (const data of ['1', '2', '3', '4']) await place.append('key', data);
        assert.deepEqual(texts(await take(place.read({ from: 2 }), 1)), ['4']);
      });
    });
  });
}
