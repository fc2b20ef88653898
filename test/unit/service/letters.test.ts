/** Letters over a stream in memory: which are listed, what a replay publishes, what is deleted and what is never touched. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { MemoryBroker, type MemoryLog } from '../../../lib/memory/log.ts';
import type { StoredMessage } from '../../../lib/port/log.ts';
import { lettersStream, lettersSubjects } from '../../../lib/record/names.ts';
import { LetterBox } from '../../../lib/service/letters.ts';
import type { LetterFilter } from '../../../lib/service/views.ts';
import { deployed } from './deployed.ts';

const STREAM = lettersStream('p');
const PAGE = { pageSize: 100, pageToken: null, content: false };
const REPLAY = { toSubject: null, dryRun: false, keep: false };

let broker: MemoryBroker;
let log: MemoryLog;
let box: LetterBox;

function meaning(filter: Partial<LetterFilter> = {}): LetterFilter {
  return { pipeline: 'p', kind: null, operator: null, code: null, numbers: [], sinceMs: null, ...filter };
}

async function put(subject: string, text: string, headers: Record<string, string> = {}): Promise<number> {
  const outcome = await log.append({ subject, data: Buffer.from(text), headers });
  assert.ok(outcome.kind === 'landed');
  return outcome.seq;
}

function dead(operator: string, text: string, headers: Record<string, string> = {}): Promise<number> {
  const own = { 'Millrace-Error': 'USER_CODE', 'Millrace-Message': 'no price', 'Millrace-Subject': 'orders.eu' };
  return put(`millrace.p.dead.${operator}`, text, { ...own, 'Millrace-Content': 'message', ...headers });
}

async function last<T>(all: AsyncIterable<T>): Promise<T> {
  let value: T | undefined;
  for await (const one of all) value = one;
  return value!;
}

function kept(stream: string): StoredMessage[] {
  const messages: StoredMessage[] = [];
  const { firstSeq, lastSeq } = broker.stream(stream)!;
  for (let seq = firstSeq; seq <= lastSeq; seq++) {
    const message = broker.stream(stream)!.at(seq);
    if (message !== null) messages.push(message);
  }
  return messages;
}

const texts = (messages: readonly StoredMessage[]) => messages.map(({ data }) => Buffer.from(data).toString());

beforeEach(async () => {
  broker = new MemoryBroker({ clock: systemClock });
  log = broker.client('worker');
  await log.ensureStream({ name: STREAM, subjects: lettersSubjects('p'), atomic: true });
  await log.ensureStream({ name: 'orders', subjects: ['orders.>'] });
  const registry = await deployed([
    { subject: 'orders.>', stream: 'orders' },
    { subject: 'states.*', stream: 'states' },
    { subject: '$KV.shops.>', stream: 'KV_shops', kind: 'kv' },
  ]);
  box = new LetterBox({ log, clock: systemClock, registry });
});

describe('list', () => {
  test('gives letters oldest first, page by page, and counts all that are kept, without the markers', async () => {
    for (let i = 0; i < 5; i++) {
      await dead('map-1', `${i}`);
      await put('_mr.p.l.t-join-1-0', `${i}.1`);
    }
    await put('millrace.p.late.join-1', '{}', {
      'Millrace-Late-By': '147015082',
      'Millrace-Time': '2026-01-01T00:00:00.000Z',
    });
    const first = await box.list(meaning(), { ...PAGE, pageSize: 4 });
    assert.deepEqual(
      first.items.map(({ number, kind }) => [number, kind]),
      [1, 3, 5, 7].map(number => [number, 'dead']),
    );
    assert.equal(first.total, 6);
    const second = await box.list(meaning(), { ...PAGE, pageSize: 4, pageToken: first.nextPageToken });
    assert.deepEqual(
      second.items.map(({ number, kind }) => [number, kind]),
      [
        [9, 'dead'],
        [11, 'late'],
      ],
    );
    assert.equal(second.items[1]!.message, '1d16h late; its time is 2026-01-01T00:00:00.000Z');
    assert.equal(second.nextPageToken, null);
  });

  test('gives only what meets every condition', async () => {
    await dead('map-1', 'a');
    await dead('map-2', 'b');
    await dead('map-1', 'c', { 'Millrace-Error': 'RECORD_KEY' });
    await put('millrace.p.late.map-1', 'd');
    const numbers = async (filter: Partial<LetterFilter>) =>
      (await box.list(meaning(filter), PAGE)).items.map(({ number }) => number);
    assert.deepEqual(await numbers({ operator: 'map-1' }), [1, 3, 4]);
    assert.deepEqual(await numbers({ operator: 'map-1', kind: 'dead' }), [1, 3]);
    assert.deepEqual(await numbers({ code: 'RECORD_KEY' }), [3]);
    assert.deepEqual(await numbers({ numbers: [4, 2, 99] }), [2, 4]);
    assert.deepEqual(await numbers({ numbers: [4, 2], kind: 'late' }), [4]);
    assert.deepEqual(await numbers({ sinceMs: Date.now() + 60_000 }), []);
  });

  test('refuses a page token of another kind, and a pipeline that nobody knows', async () => {
    const refused = (code: string) => (error: unknown) => isMillraceError(error) && error.code === code;
    await assert.rejects(box.list(meaning(), { ...PAGE, pageToken: 'x' }), refused('INVALID_ARGUMENT'));
    await assert.rejects(box.list(meaning({ pipeline: 'q' }), PAGE), refused('NOT_FOUND'));
    await assert.rejects(box.list(meaning({ pipeline: 'Q.>' }), PAGE), refused('NOT_FOUND'));
  });

  test('one letter comes with content and headers; a marker is no letter', async () => {
    await dead('map-1', 'a');
    await put('_mr.p.l.t-join-1-0', '1.1');
    const letter = await box.get('p', 1);
    assert.deepEqual(
      { ...letter, atMs: 0, headers: null, content: Buffer.from(letter.content!).toString() },
      {
        ...{ number: 1, kind: 'dead', operator: 'map-1', code: 'USER_CODE', message: 'no price', atMs: 0 },
        ...{ subject: 'orders.eu', index: 0, sizeBytes: 1, truncated: false, content: 'a', headers: null },
      },
    );
    assert.equal(letter.headers!['Millrace-Error'], 'USER_CODE');
    await assert.rejects(box.get('p', 2), (error: unknown) => isMillraceError(error, 'NOT_FOUND'));
  });
});

describe('replay', () => {
  test('publishes contents where they came from with the original headers, then deletes the letters alone', async () => {
    await dead('map-1', '{"a":1}', {
      'Millrace-Header-Content-Type': 'application/json',
      'Millrace-Header-tenant': 'eu',
      'Millrace-Passed': 'dedupe-1 dedupe-2',
    });
    await put('_mr.p.l.t-join-1-0', '1.1');
    const answer = await last(box.replay(meaning(), REPLAY));
    assert.deepEqual(answer, { seen: 1, replayed: 1, skipped: 0, total: 1, reasons: [] });
    const [published] = kept('orders');
    assert.equal(published!.subject, 'orders.eu');
    assert.deepEqual(texts([published!]), ['{"a":1}']);
    assert.deepEqual(
      { ...published!.headers },
      {
        'Content-Type': 'application/json',
        tenant: 'eu',
        'Millrace-Replay': 'p/1 p/dedupe-1 p/dedupe-2',
        'Nats-Msg-Id': 'millrace-replay-p-1-orders.eu',
      },
    );
    assert.deepEqual(texts(kept(STREAM)), ['1.1']);
  });

  test('asked for again while the letters are still there, publishes none a second time', async () => {
    for (const text of ['a', 'b', 'c']) await dead('map-1', text);
    await last(box.replay(meaning({ numbers: [1, 2] }), { ...REPLAY, keep: true }));
    assert.deepEqual(texts(kept('orders')), ['a', 'b']);
    const answer = await last(box.replay(meaning(), REPLAY));
    assert.equal(answer.replayed, 3);
    assert.deepEqual(texts(kept('orders')), ['a', 'b', 'c']);
    assert.deepEqual(kept(STREAM), []);
  });

  test('leaves alone what cannot be replayed and says why, each reason once', async () => {
    await dead('map-1', 'a', { 'Millrace-Truncated': '9' });
    await dead('map-1', 'b', { 'Millrace-Content': 'value' });
    await dead('map-1', 'c', { 'Millrace-Content': 'value' });
    await put('millrace.p.late.join-1', 'd');
    await put('millrace.p.dead.window-1', 'e', { 'Millrace-Error': 'LIMIT_REACHED' });
    await dead('map-1', 'f');
    const answer = await last(box.replay(meaning(), { ...REPLAY, dryRun: true }));
    assert.deepEqual(
      { ...answer, reasons: answer.reasons.length },
      { ...{ seen: 6, replayed: 1 }, skipped: 5, total: 6, reasons: 4 },
    );
    const toNowhere = answer.reasons.filter(reason => reason !== 'its content was cut to what a message holds');
    assert.ok(toNowhere.every(reason => reason.endsWith(': say where to with a subject (--to, to_subject)')));
    await last(box.replay(meaning(), REPLAY));
    assert.equal(kept(STREAM).length, 5);
    await log.ensureStream({ name: 'elsewhere', subjects: ['elsewhere'] });
    const elsewhere = await last(box.replay(meaning(), { ...REPLAY, toSubject: 'elsewhere' }));
    assert.deepEqual([elsewhere.replayed, elsewhere.skipped], [4, 1]);
    assert.deepEqual(texts(kept('elsewhere')), ['b', 'c', 'd', 'e']);
    assert.equal(kept('elsewhere')[0]!.headers!['Content-Type'], 'application/json');
  });

  describe('of what only its last word counts', () => {
    beforeEach(async () => {
      await log.ensureStream({ name: 'KV_shops', subjects: ['$KV.shops.>'], maxMessagesPerSubject: 1 });
      await log.ensureStream({ name: 'states', subjects: ['states.*'], maxMessagesPerSubject: 5 });
    });
    const refuses = (text: RegExp) => (error: unknown) =>
      isMillraceError(error, 'INVALID_ARGUMENT') && text.test(error.message);

    test('goes neither into a bucket nor into a stream that keeps a few messages of a subject: asks for another', async () => {
      await dead('shops', '{"city":"Ulm"}', { 'Millrace-Subject': '$KV.shops.7' });
      await dead('states', '{"on":true}', { 'Millrace-Subject': 'states.lamp' });
      const asked =
        /no letter was replayed:\n- it is a row of a bucket.*--to.*\n- stream states keeps only the last 5.*--to/;
      for (const dryRun of [false, true]) {
        await assert.rejects(last(box.replay(meaning(), { ...REPLAY, dryRun })), refuses(asked));
      }
      assert.deepEqual([kept('KV_shops').length, kept('states').length, kept(STREAM).length], [0, 0, 2]);
      await last(box.replay(meaning(), { ...REPLAY, toSubject: 'orders.mended' }));
      assert.deepEqual(texts(kept('orders')), ['{"city":"Ulm"}', '{"on":true}']);
    });

    test('is judged by the streams that keep the subject now: what is read may be a mirror, or another one have taken over', async () => {
      const registry = await deployed([
        { subject: 'states.*', stream: 'copy' },
        { subject: 'orders.>', stream: 'former' },
        { subject: 'gone.x', stream: 'former' },
      ]);
      box = new LetterBox({ log, clock: systemClock, registry });
      await log.ensureStream({ name: 'copy', subjects: ['unrelated'] });
      await dead('copy', 'old', { 'Millrace-Subject': 'states.lamp' });
      await dead('former', 'old', { 'Millrace-Subject': 'gone.x' });
      const asked =
        /no letter was replayed:\n- stream states keeps only the last 5.*--to.*\n- no stream keeps "gone.x" now.*--to/;
      await assert.rejects(last(box.replay(meaning(), REPLAY)), refuses(asked));
      await dead('former', 'order', { 'Millrace-Subject': 'orders.eu' });
      assert.equal((await last(box.replay(meaning(), REPLAY))).replayed, 1);
      assert.deepEqual([kept('states').length, kept(STREAM).length], [0, 2]);
    });

    test('is left alone where others can be replayed', async () => {
      await dead('shops', 'row', { 'Millrace-Subject': '$KV.shops.7' });
      await dead('map-1', 'order');
      const answer = await last(box.replay(meaning(), REPLAY));
      assert.deepEqual([answer.replayed, answer.skipped, answer.reasons.length], [1, 1, 1]);
      assert.deepEqual(texts(kept('orders')), ['order']);
    });

    test('is not sent there by order either', async () => {
      await dead('map-1', 'order');
      const replay = box.replay(meaning(), { ...REPLAY, toSubject: 'states.lamp' });
      await assert.rejects(last(replay), refuses(/stream states keeps only the last 5/));
      await assert.rejects(last(box.replay(meaning(), { ...REPLAY, toSubject: '$KV.shops.7' })), refuses(/no subject/));
    });
  });

  test('obeys no subject that no source of the pipeline reads, whatever a letter says', async () => {
    await log.ensureStream({ name: 'others', subjects: ['others.>'] });
    await dead('map-1', 'a', { 'Millrace-Subject': 'others.x' });
    await assert.rejects(last(box.replay(meaning(), REPLAY)), /has no source now that reads the subject/);
    assert.deepEqual([kept('others').length, kept(STREAM).length], [0, 1]);
    await last(box.replay(meaning(), { ...REPLAY, toSubject: 'others.x' }));
    assert.deepEqual([kept('others').length, kept(STREAM).length], [1, 0]);
  });

  test('of letters that are written meanwhile, takes none', async () => {
    await dead('map-1', 'a');
    const replay = box.replay(meaning(), REPLAY);
    log.append = (append => async (message: Parameters<typeof append>[0]) => {
      const outcome = await append.call(log, message);
      if (message.subject === 'orders.eu')
        await append.call(log, { ...message, subject: 'millrace.p.dead.map-1', headers: {} });
      return outcome;
    })(log.append);
    assert.equal((await last(replay)).seen, 1);
    assert.equal(kept(STREAM).length, 1);
  });

  test('with a dry run changes nothing, and refuses a subject that cannot be published on', async () => {
    await dead('map-1', 'a');
    assert.equal((await last(box.replay(meaning(), { ...REPLAY, dryRun: true }))).replayed, 1);
    assert.deepEqual([kept('orders').length, kept(STREAM).length], [0, 1]);
    for (const toSubject of [
      'a.*',
      '',
      'a b',
      '_mr.p.l.x',
      'millrace.p.dead.map-1',
      'millrace.q.late.x',
      'nowhere.x',
    ]) {
      await assert.rejects(last(box.replay(meaning(), { ...REPLAY, toSubject })), (error: unknown) =>
        isMillraceError(error, 'INVALID_ARGUMENT'),
      );
    }
  });
});

describe('discard', () => {
  test('deletes what is meant and leaves markers, so that the chains of the markers go on', async () => {
    await dead('map-1', 'a');
    const marker = await put('_mr.p.l.t-join-1-0', '1.1');
    await dead('map-2', 'b');
    await dead('map-1', 'c');
    assert.equal((await last(box.discard(meaning({ operator: 'map-1' }), { dryRun: true }))).discarded, 2);
    assert.equal(kept(STREAM).length, 4);
    const answer = await last(box.discard(meaning({ operator: 'map-1' }), { dryRun: false }));
    assert.deepEqual(answer, { seen: 2, discarded: 2, total: 2 });
    assert.deepEqual(texts(kept(STREAM)), ['1.1', 'b']);
    const batch = [
      { subject: 'millrace.p.dead.map-1', data: Buffer.from('d') },
      { subject: '_mr.p.l.t-join-1-0', data: Buffer.from('2.1'), expect: marker },
    ];
    assert.equal((await log.appendBatch(batch)).kind, 'landed');
  });
});
