/**
 * The contract of the log port, run against every implementation: what each sentence of `port/log.ts` promises. What
 * goes wrong on a real broker only (restarts, lost connections) is tested beside it.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { isMillraceError } from '../../lib/base/errors.ts';
import { EXPECT_HEADER } from '../../lib/port/headers.ts';
import { PLAIN_CONFIG } from '../../lib/port/stream-config.ts';
import { bytes, type LogRig, message, Place, take, text, texts } from './log-rig.ts';

export function logContract(name: string, makeRig: () => Promise<LogRig>): void {
  describe(`the log port: ${name}`, () => {
    let place: Place;
    before(async () => {
      place = new Place(await makeRig());
    });
    after(() => place.remove());
    beforeEach(() => place.next());

    describe('append', () => {
      test('numbers messages from 1, one by one, whatever their subject', async () => {
        assert.equal(await place.append('a', '1'), 1);
        assert.equal(await place.append('b', '2'), 2);
        assert.equal(await place.append('a', '3'), 3);
      });

      test('lands after the expected sequence of its subject, and after nothing when 0 is expected', async () => {
        const first = await place.append('a', '1', 0);
        await place.append('b', 'between');
        const second = await place.append('a', '2', first);
        assert.ok(second > first + 1);
      });

      test('is refused as moved when another message is last, or none, and then nothing is kept', async () => {
        const first = await place.append('a', '1', 0);
        for (const expect of [0, first + 1]) {
          assert.deepEqual(await place.log.append(message(`${place.s}.a`, 'no', expect)), { kind: 'moved' });
        }
        assert.deepEqual(await place.log.append(message(`${place.s}.b`, 'no', first)), { kind: 'moved' });
        assert.equal((await place.log.info(place.stream))?.messages, 1);
      });

      test('of many at once on one place lets exactly one land', async () => {
        const tries = Array.from({ length: 20 }, (_, i) => place.log.append(message(`${place.s}.a`, String(i), 0)));
        const outcomes = await Promise.all(tries);
        assert.equal(outcomes.filter(({ kind }) => kind === 'landed').length, 1);
        assert.equal((await place.log.info(place.stream))?.messages, 1);
      });

      test('keeps bytes and headers as they were given, and the expected sequence as a header', async () => {
        const data = Uint8Array.from({ length: 256 }, (_, i) => i);
        const headers = { lower: 'v', UPPER: 'Grüße, 世界', empty: '', 'with-colon': 'a: b' };
        await place.log.append({ subject: `${place.s}.a`, data, headers, expect: 0 });
        const kept = await place.log.last({ stream: place.stream, subject: `${place.s}.a` });
        assert.deepEqual(new Uint8Array(kept!.data), data);
        assert.deepEqual({ ...kept!.headers }, { ...headers, [EXPECT_HEADER]: '0' });
      });

      test('makes one line of a header value that has several', async () => {
        const headers = { error: ' Error: no\r\n  at line 1\n' };
        await place.log.append({ subject: `${place.s}.a`, data: bytes('x'), headers });
        assert.equal(
          (await place.log.last({ stream: place.stream, subject: `${place.s}.a` }))!.headers!.error,
          'Error: no   at line 1',
        );
      });

      test('keeps what the data was when it was called', async () => {
        const data = bytes('before');
        const appended = place.log.append({ subject: `${place.s}.a`, data });
        await appended;
        data.fill(0);
        assert.equal(text(await place.log.last({ stream: place.stream, subject: `${place.s}.a` })), 'before');
      });

      test('takes an empty message, and one as large as the broker takes', async () => {
        await place.append('a', '');
        assert.equal((await place.log.last({ stream: place.stream, subject: `${place.s}.a` }))!.data.length, 0);
        const large = new Uint8Array(place.log.messageBytesMax - 1_000).fill(7);
        const outcome = await place.log.append({ subject: `${place.s}.a`, data: large });
        assert.equal(outcome.kind, 'landed');
        assert.equal(
          (await place.log.last({ stream: place.stream, subject: `${place.s}.a` }))!.data.length,
          large.length,
        );
      });

      test('throws for a message that is too large', async () => {
        const data = new Uint8Array(place.log.messageBytesMax + 1);
        await assert.rejects(place.log.append({ subject: `${place.s}.a`, data }), error =>
          isMillraceError(error, 'MESSAGE_TOO_LARGE'),
        );
      });

      test('throws for a subject that no stream keeps', async () => {
        await assert.rejects(place.log.append(message('nowhere.at.all', 'x')), error =>
          isMillraceError(error, 'STREAM_MISSING'),
        );
      });

      test('leaves in doubt what a full stream has no room for, and lands when there is room again', async () => {
        await place.make({ maxBytes: 10_000, discard: 'new' });
        const half = 'x'.repeat(4_000);
        await place.append('a', half);
        const second = await place.append('a', half);
        assert.equal((await place.log.append(message(`${place.s}.a`, half))).kind, 'unsure');
        await place.log.trim({ stream: place.stream, subject: `${place.s}.a`, before: second });
        await place.append('a', half);
      });
    });

    describe('appendBatch', () => {
      beforeEach(() => place.make({ atomic: true }));

      test('lands all, next to one another and in order, and answers with the last one’s sequence', async () => {
        await place.append('a', '0');
        const batch = ['1', '2', '3'].map((data, i) => message(`${place.s}.${'aba'[i]}`, data));
        assert.deepEqual(await place.log.appendBatch(batch), { kind: 'landed', seq: 4 });
        assert.deepEqual(texts(await take(place.read({ from: 1 }), 4)), ['0', '1', '2', '3']);
      });

      test('lands none when one fence does not hold, wherever in the batch that is', async () => {
        const marker = await place.append('marker', '1', 0);
        for (const expect of [0, marker - 1, marker + 1]) {
          const rows = [message(`${place.s}.a`, 'row'), message(`${place.s}.b`, 'row')];
          const fence = message(`${place.s}.marker`, '2', expect);
          assert.deepEqual(await place.log.appendBatch([...rows, fence]), { kind: 'moved' });
          assert.deepEqual(await place.log.appendBatch([fence, ...rows]), { kind: 'moved' });
        }
        assert.equal((await place.log.info(place.stream))?.messages, 1);
      });

      test('lands when all fences hold, several of them', async () => {
        const one = await place.append('m1', '1', 0);
        const outcome = await place.log.appendBatch([
          message(`${place.s}.a`, 'row'),
          message(`${place.s}.m1`, '2', one),
          message(`${place.s}.m2`, '1', 0),
        ]);
        assert.equal(outcome.kind, 'landed');
        assert.equal(text(await place.log.last({ stream: place.stream, subject: `${place.s}.m1` })), '2');
        assert.equal(text(await place.log.last({ stream: place.stream, subject: `${place.s}.m2` })), '1');
      });

      test('of the same batch twice lets only the first land, by its fence', async () => {
        const batch = [message(`${place.s}.a`, 'row'), message(`${place.s}.marker`, '1', 0)];
        const outcomes = await Promise.all([place.log.appendBatch(batch), place.log.appendBatch(batch)]);
        assert.deepEqual(outcomes.map(({ kind }) => kind).sort(), ['landed', 'moved']);
        assert.equal((await place.log.info(place.stream))?.messages, 2);
      });

      test('takes a single message, and a thousand', async () => {
        assert.deepEqual(await place.log.appendBatch([message(`${place.s}.a`, '0', 0)]), { kind: 'landed', seq: 1 });
        const many = Array.from({ length: 1_000 }, (_, i) => message(`${place.s}.b`, String(i)));
        assert.deepEqual(await place.log.appendBatch(many), { kind: 'landed', seq: 1_001 });
      });

      test('throws for more than a thousand, for none, and for a fence behind its subject’s first message', async () => {
        const many = Array.from({ length: 1_001 }, () => message(`${place.s}.b`, 'x'));
        const late = [message(`${place.s}.a`, '1'), message(`${place.s}.a`, '2', 0)];
        for (const batch of [many, [], late]) {
          await assert.rejects(place.log.appendBatch(batch), error => isMillraceError(error, 'INVARIANT'));
        }
        assert.equal((await place.log.info(place.stream))?.messages, 0);
      });

      test('throws for a stream that does not allow it, and for none', async () => {
        await place.make({ atomic: false });
        const batch = [message(`${place.s}.a`, '1'), message(`${place.s}.b`, '2')];
        await assert.rejects(place.log.appendBatch(batch), error => isMillraceError(error, 'BROKER_REFUSED'));
        assert.equal((await place.log.info(place.stream))?.messages, 0);
        const nowhere = [message('nowhere.a', '1'), message('nowhere.b', '2')];
        await assert.rejects(place.log.appendBatch(nowhere), error => isMillraceError(error, 'STREAM_MISSING'));
      });
    });

    describe('appendAll', () => {
      test('lands every message, in order', async () => {
        const all = Array.from({ length: 10_000 }, (_, i) => message(`${place.s}.${i % 7}`, String(i)));
        await place.log.appendAll(all);
        const kept = await take(place.read({ from: 1 }), all.length);
        assert.deepEqual(
          texts(kept),
          all.map(({ data }) => Buffer.from(data).toString()),
        );
      });

      test('of nothing is done at once', () => place.log.appendAll([]));

      test('lands a message id once within the broker’s window', async () => {
        const headers = { 'Nats-Msg-Id': 'one' };
        await place.log.appendAll([1, 2, 3].map(() => ({ subject: `${place.s}.a`, data: bytes('x'), headers })));
        await place.log.appendAll([{ subject: `${place.s}.a`, data: bytes('x'), headers }]);
        assert.equal((await place.log.info(place.stream))?.messages, 1);
      });

      test('throws for a subject that no stream keeps, and for a message that is too large', async () => {
        const nowhere = [message(`${place.s}.a`, '1'), message('nowhere.at.all', '2')];
        await assert.rejects(place.log.appendAll(nowhere), error => isMillraceError(error, 'STREAM_MISSING'));
        const large = [
          message(`${place.s}.a`, '1'),
          { subject: `${place.s}.a`, data: new Uint8Array(place.log.messageBytesMax + 1) },
        ];
        await assert.rejects(place.log.appendAll(large), error => isMillraceError(error, 'MESSAGE_TOO_LARGE'));
      });
    });

    describe('last and get', () => {
      test('show the last message of a subject, and any message by its sequence', async () => {
        await place.append('a', '1');
        await place.append('b', '2');
        const seq = await place.append('a', '3');
        const last = await place.log.last({ stream: place.stream, subject: `${place.s}.a` });
        assert.equal(last!.seq, seq);
        assert.equal(last!.subject, `${place.s}.a`);
        assert.equal(last!.headers, null);
        assert.equal(text(last), '3');
        const second = await place.log.get({ stream: place.stream, seq: 2 });
        assert.deepEqual([second!.seq, second!.subject, text(second)], [2, `${place.s}.b`, '2']);
      });

      test('show the time at which the broker took it, in ms', async () => {
        const earlier = Date.now();
        await place.append('a', '1');
        const { timeMs } = (await place.log.last({ stream: place.stream, subject: `${place.s}.a` }))!;
        assert.ok(Number.isSafeInteger(Math.floor(timeMs)));
        assert.ok(timeMs >= earlier - 1 && timeMs <= Date.now() + 1);
        const [delivered] = await take(place.read({ from: 1 }), 1);
        assert.equal(Math.floor(delivered!.timeMs), Math.floor(timeMs));
      });

      test('are null when there is none, or it is gone', async () => {
        assert.equal(await place.log.last({ stream: place.stream, subject: `${place.s}.a` }), null);
        assert.equal(await place.log.get({ stream: place.stream, seq: 0 }), null);
        assert.equal(await place.log.get({ stream: place.stream, seq: 1 }), null);
        await place.append('a', '1');
        await place.append('b', '2');
        await place.log.trim({ stream: place.stream, subject: `${place.s}.a`, before: 2 });
        assert.equal(await place.log.last({ stream: place.stream, subject: `${place.s}.a` }), null);
        assert.equal(await place.log.get({ stream: place.stream, seq: 1 }), null);
        assert.equal(text(await place.log.get({ stream: place.stream, seq: 2 })), '2');
      });

      test('throw for a stream that does not exist', async () => {
        const missing = (error: unknown) => isMillraceError(error, 'STREAM_MISSING');
        await assert.rejects(place.log.last({ stream: 'NONE', subject: 'a' }), missing);
        await assert.rejects(place.log.get({ stream: 'NONE', seq: 1 }), missing);
        await assert.rejects(place.log.trim({ stream: 'NONE', subject: 'a', before: 9 }), missing);
      });
    });

    describe('remove', () => {
      test('deletes one message wherever it is, once, and nothing else', async () => {
        for (const data of ['1', '2', '3', '4']) await place.append(data === '2' ? 'b' : 'a', data);
        assert.equal(await place.log.remove({ stream: place.stream, seq: 3 }), true);
        assert.equal(await place.log.remove({ stream: place.stream, seq: 3 }), false);
        assert.equal(await place.log.remove({ stream: place.stream, seq: 1 }), true);
        assert.equal(await place.log.remove({ stream: place.stream, seq: 0 }), false);
        assert.equal(await place.log.remove({ stream: place.stream, seq: 99 }), false);
        assert.equal(await place.log.get({ stream: place.stream, seq: 3 }), null);
        const kept = await take(place.read({ from: 1, gaps: 'allow' }), 2);
        assert.deepEqual(texts(kept), ['2', '4']);
        assert.equal((await place.log.info(place.stream))?.messages, 2);
        assert.equal(await place.append('a', '5'), 5);
      });

      test('shows in the count of a subject, with wildcards or without', async () => {
        for (const subject of ['a.x', 'a.y', 'a.x', 'b.x']) await place.append(subject, '1');
        const count = (subject: string) => place.log.count({ stream: place.stream, subject: `${place.s}.${subject}` });
        assert.deepEqual(await Promise.all([count('a.*'), count('a.x'), count('>'), count('c')]), [3, 2, 4, 0]);
        await place.log.remove({ stream: place.stream, seq: 3 });
        assert.deepEqual(await Promise.all([count('a.*'), count('a.x'), count('>')]), [2, 1, 3]);
      });

      test('leaves the fences of other subjects standing, and throws for a stream that does not exist', async () => {
        const fenced = await place.append('chain', '1', 0);
        const other = await place.append('a', '2');
        await place.log.remove({ stream: place.stream, seq: other });
        await place.append('chain', '3', fenced);
        const missing = (error: unknown) => isMillraceError(error, 'STREAM_MISSING');
        await assert.rejects(place.log.remove({ stream: 'NONE', seq: 1 }), missing);
      });
    });

    describe('trim', () => {
      test('deletes what is below the sequence, of that subject only', async () => {
        for (const data of ['1', '2', '3', '4', '5', '6'])
          await place.append(Number(data) % 2 === 1 ? 'odd' : 'even', data);
        await place.log.trim({ stream: place.stream, subject: `${place.s}.odd`, before: 5 });
        const kept = await take(place.read({ from: 1 }), 4);
        assert.deepEqual(texts(kept), ['2', '4', '5', '6']);
      });

      test('deletes nothing when nothing is below, least of all the whole subject', async () => {
        await place.append('a', '1', 0);
        await place.log.trim({ stream: place.stream, subject: `${place.s}.a`, before: 0 });
        await place.log.trim({ stream: place.stream, subject: `${place.s}.a`, before: 1 });
        assert.equal((await place.log.info(place.stream))?.messages, 1);
      });

      test('leaves the fence standing as long as the last message stays', async () => {
        await place.append('a', '1', 0);
        const last = await place.append('a', '2', 1);
        await place.log.trim({ stream: place.stream, subject: `${place.s}.a`, before: last });
        assert.equal((await place.log.append(message(`${place.s}.a`, 'no', 0))).kind, 'moved');
        await place.append('a', '3', last);
      });
    });

    describe('streams', () => {
      test('are found by a subject that they keep, literal or with wildcards', async () => {
        for (const subject of [`${place.s}.a`, `${place.s}.a.b.c`, `${place.s}.*`, `${place.s}.>`]) {
          assert.deepEqual(await place.log.streamsOf(subject), [place.stream]);
        }
        assert.deepEqual(await place.log.streamsOf('nowhere.at.all'), []);
        assert.deepEqual(await place.log.streamsOf('nowhere.>'), []);
      });

      test('tell their settings and extent', async () => {
        await place.make({ atomic: true });
        const empty = (await place.log.info(place.stream))!;
        assert.deepEqual(
          { ...empty, created: '' },
          {
            name: place.stream,
            subjects: [`${place.s}.>`],
            config: { ...PLAIN_CONFIG, allowAtomic: true, duplicateWindowMs: 120_000 },
            created: '',
            firstSeq: 1,
            lastSeq: 0,
            messages: 0,
            bytes: 0,
          },
        );
        for (const data of ['1', '2', '3']) await place.append('a', data);
        await place.log.trim({ stream: place.stream, subject: `${place.s}.a`, before: 3 });
        const { firstSeq, lastSeq, messages, bytes } = (await place.log.info(place.stream))!;
        assert.deepEqual({ firstSeq, lastSeq, messages }, { firstSeq: 3, lastSeq: 3, messages: 1 });
        assert.ok(bytes > 0);
        assert.equal(await place.log.info('NONE'), null);
      });

      test('are made when there is none of the name, and never altered', async () => {
        const other = { name: `${place.stream}X`, subjects: [`${place.s}x.>`] };
        assert.equal(await place.log.ensureStream(other), true);
        const before = await place.log.info(other.name);
        assert.equal(await place.log.ensureStream({ ...other, subjects: [`${place.s}y.>`], atomic: true }), false);
        assert.deepEqual(await place.log.info(other.name), before);
      });

      test('may not overlap in their subjects', async () => {
        const overlapping = place.log.ensureStream({ name: `${place.stream}X`, subjects: [`${place.s}.a`] });
        await assert.rejects(overlapping, error => isMillraceError(error, 'BROKER_REFUSED'));
      });

      test('start anew when made again: another birth, sequences from 1', async () => {
        await place.append('a', '1');
        const before = await place.log.info(place.stream);
        await place.make({});
        const again = await place.log.info(place.stream);
        assert.notEqual(again!.created, before!.created);
        assert.equal(await place.append('a', '1', 0), 1);
      });

      test('may be deleted when there are none', () => place.log.deleteStream('NONE'));
    });
  });
}
