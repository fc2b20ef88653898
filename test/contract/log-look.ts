/** The contract of a reader's looks: what a broker says of a stream's end, and of what is missing. See `log.ts`. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { isMillraceError } from '../../lib/base/errors.ts';
import type { LogReader } from '../../lib/port/log.ts';
import { type LogRig, lookOf, Place, ready, take, texts } from './log-rig.ts';

const LARGE = 'x'.repeat(10_000);

export function lookContract(name: string, makeRig: () => Promise<LogRig>): void {
  describe(`looks of the log port's readers: ${name}`, () => {
    let place: Place;
    before(async () => {
      place = new Place(await makeRig());
    });
    after(() => place.remove());
    beforeEach(() => place.next());

    const purge = (before: number) => place.log.trim({ stream: place.stream, subject: '>', before });

    test('say where the stream ended, on the clock that messages are stamped with', async () => {
      for (const data of ['1', '2', '3']) await place.append('a', data);
      const reader = place.read({ from: 1 });
      const [, , third] = await take(reader, 3);
      const look = await lookOf(reader);
      assert.equal(look.lastSeq, 3);
      assert.ok(look.clockMs >= third!.timeMs, `${look.clockMs} < ${third!.timeMs}`);
      await place.append('a', '4');
      const [fourth] = await take(reader, 1);
      assert.ok(look.clockMs <= fourth!.timeMs, `${look.clockMs} > ${fourth!.timeMs}`);
    });

    test('say nothing while there is something that was not taken', async () => {
      for (const data of ['1', '2', '3']) await place.append('a', data);
      for (const options of [{}, { subjects: [`${place.s}.a`] }]) {
        const reader = place.read({ from: 1, ...options });
        await ready(reader, () => reader.nextTimeMs !== null);
        assert.equal(await reader.look(), null);
        await take(reader, 2);
        assert.equal(await reader.look(), null);
        await take(reader, 1);
        assert.equal((await lookOf(reader)).lastSeq, 3);
      }
    });

    test('of a stream that is empty, and of one whose last messages were deleted, tell its last sequence', async () => {
      const reader = place.read({ from: 1 });
      assert.equal((await lookOf(reader)).lastSeq, 0);
      for (const data of ['1', '2', '3']) await place.append('a', data);
      await take(reader, 3);
      const late = place.read({ from: 2 });
      await place.log.remove({ stream: place.stream, seq: 3 });
      assert.deepEqual(texts(await take(place.read({ from: 1 }), 2)), ['1', '2']);
      const fresh = place.read({ from: 3 });
      assert.equal((await lookOf(fresh)).lastSeq, 3);
      assert.equal((await lookOf(reader)).lastSeq, 3);
      await take(late, 1);
      await place.append('a', '4');
      assert.deepEqual(texts(await take(fresh, 1)), ['4'], 'what comes after it is no gap');
    });

    test('go past messages of other subjects, and the reader goes on after them', async () => {
      await place.append('a', '1');
      const reader = place.read({ from: 1, subjects: [`${place.s}.a`], gaps: 'refuse' });
      await take(reader, 1);
      for (let i = 0; i < 5; i++) await place.append('other', 'x');
      assert.equal((await lookOf(reader)).lastSeq, 6);
      await purge(6);
      assert.equal((await lookOf(reader)).lastSeq, 6, 'what is gone was not ours: we had looked');
      await place.append('a', '2');
      assert.deepEqual(texts(await take(reader, 1)), ['2']);
    });

    const endByLooks = async (reader: LogReader) => {
      for (let tries = 0; reader.error === null && tries < 100; tries++) {
        await reader.look();
        await new Promise(resolve => setTimeout(resolve, 10));
      }
      return reader.error;
    };

    for (const [kind, subjects] of [
      ['all', undefined],
      ['one subject', ['a']],
    ] as const) {
      test(`end a reader of ${kind} with STREAM_CHANGED when unread messages are gone while it reads`, async () => {
        const filter = subjects === undefined ? {} : { subjects: subjects.map(subject => `${place.s}.${subject}`) };
        for (let i = 0; i < 40; i++) await place.append('a', LARGE);
        // Its buffer is full with the first of them.
        const reader = place.read({ from: 1, gaps: 'refuse', bufferBytesMax: 1_000, ...filter });
        const limits = { messagesMax: 1, bytesMax: 1 };
        await ready(reader, () => reader.take(limits).length === 1);
        assert.equal(await reader.look(), null);
        await purge(41);
        await place.append('b', 'x');
        assert.ok(isMillraceError(await endByLooks(reader), 'STREAM_CHANGED'), String(reader.error));
      });
    }

    test('go on where gaps are how the stream is kept', async () => {
      for (const data of ['1', '2', '3', '4']) await place.append('a', data);
      const reader = place.read({ from: 1, gaps: 'allow' });
      await take(reader, 4);
      await place.append('b', '5');
      await take(reader, 1);
      await purge(6);
      for (let i = 0; i < 3; i++) assert.equal((await lookOf(reader)).lastSeq, 5);
      assert.equal(reader.error, null);
    });

    test('say nothing, and do no harm, after the reader was stopped', async () => {
      const reader = place.read({ from: 1 });
      await ready(reader, () => reader.caughtUp);
      await reader.stop();
      assert.equal(await reader.look(), null);
      assert.equal(reader.error, null);
    });
  });
}
