/** Letters over a stream in memory: which are listed, what a replay publishes, what is deleted and what is never touched. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { MemoryBroker, type MemoryLog } from '../../../lib/memory/log.ts';
import type { Event } from '../../../lib/observe/events.ts';
import type { StoredMessage } from '../../../lib/port/log.ts';
import type { Registry } from '../../../lib/port/registry.ts';
import { packLetters } from '../../../lib/record/letter-group.ts';
import { lettersStream, lettersSubjects } from '../../../lib/record/names.ts';
import { HEADER_SEAL, Seal } from '../../../lib/record/seal.ts';
import { LetterBox } from '../../../lib/service/letters.ts';
import type { LetterFilter } from '../../../lib/service/views.ts';
import { deployed } from './deployed.ts';

const STREAM = lettersStream('p');
const PAGE = { pageSize: 100, pageToken: null, content: false };
const SEAL = new Seal(Buffer.alloc(32, 7));
const REPLAY = { toSubject: null, dryRun: false, keep: false };

let broker: MemoryBroker;
let log: MemoryLog;
let box: LetterBox;
let events: Event[];

function meaning(filter: Partial<LetterFilter> = {}): LetterFilter {
  return { pipeline: 'p', kind: null, operator: null, code: null, numbers: [], sinceMs: null, ...filter };
}

async function put(subject: string, text: string | Uint8Array, own: Record<string, string> = {}): Promise<number> {
  const data = Buffer.from(text);
  const headers = { ...own, [HEADER_SEAL]: SEAL.ofLetter(subject, own, data) };
  const outcome = await log.append({ subject, data, headers });
  assert.ok(outcome.kind === 'landed');
  return outcome.seq;
}

function dead(operator: string, text: string, headers: Record<string, string> = {}): Promise<number> {
  const own = { 'Millrace-Error': 'USER_CODE', 'Millrace-Message': 'no price', 'Millrace-Subject': 'orders.eu' };
  return put(`millrace.p.dead.${operator}`, text, { ...own, 'Millrace-Content': 'message', ...headers });
}

function boxOver(registry: Registry): LetterBox {
  const observer = { emit: (event: Event) => void events.push(event) };
  return new LetterBox({ log, clock: systemClock, registry, seal: SEAL, observer });
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
  events = [];
  box = boxOver(registry);
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
      [1000, 3000, 5000, 7000].map(number => [number, 'dead']),
    );
    assert.equal(first.total, 6);
    const second = await box.list(meaning(), { ...PAGE, pageSize: 4, pageToken: first.nextPageToken });
    assert.deepEqual(
      second.items.map(({ number, kind }) => [number, kind]),
      [
        [9000, 'dead'],
        [11_000, 'late'],
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
    assert.deepEqual(await numbers({ operator: 'map-1' }), [1000, 3000, 4000]);
    assert.deepEqual(await numbers({ operator: 'map-1', kind: 'dead' }), [1000, 3000]);
    assert.deepEqual(await numbers({ code: 'RECORD_KEY' }), [3000]);
    assert.deepEqual(await numbers({ numbers: [4000, 2000, 99_000, 2001, 2] }), [2000, 4000]);
    assert.deepEqual(await numbers({ numbers: [4000, 2000], kind: 'late' }), [4000]);
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
    const letter = await box.get('p', 1000);
    assert.deepEqual(
      { ...letter, atMs: 0, headers: null, content: Buffer.from(letter.content!).toString() },
      {
        ...{ number: 1000, kind: 'dead', operator: 'map-1', code: 'USER_CODE', message: 'no price', atMs: 0 },
        ...{ subject: 'orders.eu', index: 0, sizeBytes: 1, truncated: false, content: 'a', headers: null },
      },
    );
    assert.equal(letter.headers!['Millrace-Error'], 'USER_CODE');
    await assert.rejects(box.get('p', 2000), (error: unknown) => isMillraceError(error, 'NOT_FOUND'));
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
    const { 'Millrace-Seal': seal, ...headers } = published!.headers!;
    assert.equal(seal, SEAL.ofReplay('p/1000 p/dedupe-1 p/dedupe-2', Buffer.from('{"a":1}')));
    assert.deepEqual(headers, {
      'Content-Type': 'application/json',
      tenant: 'eu',
      'Millrace-Replay': 'p/1000 p/dedupe-1 p/dedupe-2',
      'Nats-Msg-Id': 'millrace-replay-p-1000-orders.eu',
    });
    assert.deepEqual(texts(kept(STREAM)), ['1.1']);
  });

  test('asked for again while the letters are still there, publishes none a second time', async () => {
    for (const text of ['a', 'b', 'c']) await dead('map-1', text);
    await last(box.replay(meaning({ numbers: [1000, 2000] }), { ...REPLAY, keep: true }));
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
      box = boxOver(registry);
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

/** A message of many letters, as a task sends them. */
function many(count: number, operator = 'map-1'): Promise<number> {
  const common = { 'Millrace-Error': 'USER_CODE', 'Millrace-Subject': 'orders.eu', 'Millrace-Content': 'message' };
  const letters = Array.from({ length: count }, (_, i) => ({
    headers: { ...common, 'Millrace-Message': `no price ${i}`, ...(i === 1 ? { 'Millrace-Passed': 'dedupe-1' } : {}) },
    bytes: Buffer.from(`${i}`),
  }));
  const { headers, bytes } = packLetters(letters);
  return put(`millrace.p.dead.${operator}`, bytes, { ...headers });
}

const listed = async (page = PAGE) => (await box.list(meaning(), page)).items.map(({ number }) => number);
const letterMessages = () => kept(STREAM).filter(({ subject }) => subject.startsWith('millrace.'));

describe('letters that share a message', () => {
  test('are listed, paged and read each by its number', async () => {
    await many(3);
    await dead('map-1', 'alone');
    await many(2);
    assert.deepEqual(await listed(), [1000, 1001, 1002, 2000, 3000, 3001]);
    const first = await box.list(meaning(), { ...PAGE, pageSize: 2 });
    assert.deepEqual([first.total, first.nextPageToken], [6, '1002']);
    assert.deepEqual(
      await listed({ ...PAGE, pageToken: first.nextPageToken as unknown as null }),
      [1002, 2000, 3000, 3001],
    );
    const letter = await box.get('p', 1001);
    assert.deepEqual(
      [letter.message, letter.code, Buffer.from(letter.content!).toString(), letter.headers!['Millrace-Passed']],
      ['no price 1', 'USER_CODE', '1', 'dedupe-1'],
    );
    for (const number of [1003, 2001, 3002]) {
      await assert.rejects(box.get('p', number), (error: unknown) => isMillraceError(error, 'NOT_FOUND'));
    }
  });

  test('are discarded one by one, and with the last goes the message and what said so', async () => {
    await many(3);
    await last(box.discard(meaning({ numbers: [1001] }), { dryRun: false }));
    assert.deepEqual(await listed(), [1000, 1002]);
    assert.equal((await box.list(meaning(), PAGE)).total, 2);
    await assert.rejects(box.get('p', 1001), (error: unknown) => isMillraceError(error, 'NOT_FOUND'));
    await last(box.discard(meaning({ numbers: [1000] }), { dryRun: false }));
    assert.deepEqual(await listed(), [1002]);
    assert.equal(kept(STREAM).length, 2, 'the message and one mark');
    await last(box.discard(meaning({ numbers: [1002] }), { dryRun: false }));
    assert.deepEqual([await listed(), kept(STREAM)], [[], []]);
  });

  test('are replayed each once, with the headers of each', async () => {
    await many(3);
    await last(box.replay(meaning({ numbers: [1001] }), REPLAY));
    const answer = await last(box.replay(meaning(), REPLAY));
    assert.equal(answer.replayed, 2);
    assert.deepEqual(texts(kept('orders')), ['1', '0', '2']);
    assert.equal(kept('orders')[0]!.headers!['Millrace-Replay'], 'p/1001 p/dedupe-1');
    assert.deepEqual(kept(STREAM), []);
  });

  test('of whom two delete some at once, none comes back', async () => {
    await many(40);
    const some = (parity: number) => Array.from({ length: 19 }, (_, i) => 1000 + 2 * i + parity);
    await Promise.all([0, 1].map(parity => last(box.discard(meaning({ numbers: some(parity) }), { dryRun: false }))));
    assert.deepEqual(await listed(), [1038, 1039]);
  });

  test('are each there or gone after whatever step a deletion breaks off, and it can be asked for again', async () => {
    for (let steps = 0; ; steps++) {
      const seq = await many(3);
      const numbers = [seq * 1000, seq * 1000 + 2, seq * 1000 + 1];
      let left = steps;
      const real = { append: log.append, remove: log.remove, trim: log.trim };
      const dies =
        <A extends unknown[], R>(step: (...given: A) => R) =>
        (...given: A): R => {
          if (left-- === 0) throw new Error('killed');
          return step.apply(log, given);
        };
      Object.assign(log, { append: dies(real.append), remove: dies(real.remove), trim: dies(real.trim) });
      let gone = 0;
      const discard = async (number: number) => {
        await last(box.discard(meaning({ numbers: [number] }), { dryRun: false }));
        gone++;
      };
      const died = await (async () => {
        for (const number of numbers) await discard(number);
      })().then(
        () => false,
        error => error.message === 'killed',
      );
      Object.assign(log, real);
      const there = await listed();
      for (const number of numbers.slice(0, gone))
        assert.ok(!there.includes(number), `${number} is gone, step ${steps}`);
      for (const number of numbers.slice(gone + 1))
        assert.ok(there.includes(number), `${number} is there, step ${steps}`);
      await last(box.discard(meaning(), { dryRun: false }));
      assert.deepEqual([await listed(), letterMessages()], [[], []], `step ${steps}`);
      if (died) continue;
      assert.ok(steps >= 5);
      return;
    }
  });
});

describe('what no task has written', () => {
  const forged = (subject: string, headers: Record<string, string>) =>
    log.append({ subject, data: Buffer.from('{}'), headers });
  const DEAD = 'millrace.p.dead.map-1';
  const OWN = { 'Millrace-Error': 'USER_CODE', 'Millrace-Content': 'message' };

  test('is no letter: not listed, not read, not replayed, counted and told once', async () => {
    await dead('map-1', 'a');
    await forged(DEAD, { ...OWN, 'Millrace-Subject': 'orders.eu' });
    const own = { ...OWN, 'Millrace-Subject': 'orders.eu' };
    await forged(DEAD, { ...own, [HEADER_SEAL]: SEAL.ofLetter('millrace.p.dead.map-2', own, Buffer.from('{}')) });
    await forged(DEAD, { ...own, [HEADER_SEAL]: new Seal(Buffer.alloc(32)).ofLetter(DEAD, own, Buffer.from('{}')) });
    const page = await box.list(meaning(), PAGE);
    assert.deepEqual([page.items.map(({ number }) => number), page.forged], [[1000], 3]);
    await box.list(meaning(), PAGE);
    assert.deepEqual(
      events.map(({ event, sequence }) => [event, sequence]),
      [2, 3, 4].map(seq => ['letters.forged', seq]),
    );
    await assert.rejects(box.get('p', 2000), (error: unknown) => isMillraceError(error, 'NOT_FOUND'));
    assert.equal((await last(box.replay(meaning(), REPLAY))).replayed, 1);
    assert.deepEqual(texts(kept('orders')), ['a']);
    assert.equal((await last(box.discard(meaning(), { dryRun: false }))).discarded, 0);
    assert.equal(kept(STREAM).length, 3, 'what is not a letter is left where it is');
  });

  test('changes no letter: one whose headers were altered is none, and a mark of another is no mark', async () => {
    await many(2);
    const message = kept(STREAM)[0]!;
    await log.append({ ...message, headers: { ...message.headers, 'Millrace-Subject': 'others.x' }, subject: DEAD });
    await log.append({ subject: '_mr.p.l.gone.1', data: Buffer.from([255]), headers: {} });
    assert.deepEqual(await listed(), [1000, 1001]);
    await last(box.discard(meaning({ numbers: [1001] }), { dryRun: false }));
    assert.deepEqual(await listed(), [1000]);
  });

  test('may not have a letter published on the broker’s own subjects, or on ours, though a source reads all', async () => {
    box = boxOver(await deployed([{ subject: '>', stream: 'orders' }]));
    for (const subject of [
      '$JS.API.STREAM.DELETE.orders',
      '_mr.p.j.l.s.0',
      'millrace.p.dead.x',
      '_INBOX.x',
      'a b',
      'a.*',
    ]) {
      await dead('map-1', subject, { 'Millrace-Subject': subject });
    }
    await assert.rejects(last(box.replay(meaning(), REPLAY)), /none that a record comes from/);
    assert.deepEqual(kept('orders'), []);
  });
});
