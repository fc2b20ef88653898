/** Letters beyond the limits go, the oldest first, and nothing else: markers stay, and what stays is whole. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { LetterKeeper } from '../../../lib/engine/letter-keeper.ts';
import { pipeline } from '../../../lib/index.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker, type MemoryLog } from '../../../lib/memory/log.ts';
import type { Event } from '../../../lib/observe/events.ts';
import { packLetters } from '../../../lib/record/letter-group.ts';
import { goneSubject, lettersStream, lettersSubjects } from '../../../lib/record/names.ts';
import { mistakesOf, planned } from '../topology/broker.ts';

const STREAM = lettersStream('p');
const DAY_MS = 24 * 3_600_000;

let clock: SimClock;
let broker: MemoryBroker;
let log: MemoryLog;
let events: Event[];

const subjects = () => {
  const stream = broker.stream(STREAM)!;
  return Array.from({ length: stream.lastSeq }, (_, i) => stream.at(i + 1)).flatMap(message => message?.subject ?? []);
};

async function put(subject: string, data: Uint8Array, headers: Record<string, string> = {}): Promise<void> {
  await clock.runThrough(log.append({ subject, data, headers }));
}

async function keeping(limits: { maxBytes: number; maxAgeMs: number }, forMs: number): Promise<void> {
  const failed: unknown[] = [];
  const observer = { emit: (event: Event) => void events.push(event) };
  const keeper = new LetterKeeper({ pipeline: 'p', limits, log, clock, observer }, error => failed.push(error));
  keeper.start();
  await clock.run(clock.monotonic() + forMs);
  keeper.stop();
  assert.deepEqual(failed, []);
}

beforeEach(async () => {
  clock = new SimClock();
  broker = new MemoryBroker({ clock });
  log = broker.client('worker');
  events = [];
  await clock.runThrough(log.ensureStream({ name: STREAM, subjects: lettersSubjects('p'), atomic: true }));
});

describe('letters', () => {
  test('beyond so many bytes go, the oldest first, with what says of them which are gone; markers stay', async () => {
    const group = packLetters([1, 2, 3].map(i => ({ headers: { i: String(i) }, bytes: Buffer.alloc(1_000) })));
    await put('millrace.p.dead.a', group.bytes, { ...group.headers });
    await put('_mr.p.l.1.t-a-0', Buffer.from('1.1'));
    await put(goneSubject('p', 1), Buffer.from([1]));
    await put('millrace.p.late.b', Buffer.alloc(2_000));
    await put('millrace.p.dead.a', Buffer.alloc(2_000));
    await keeping({ maxBytes: 5_000, maxAgeMs: DAY_MS }, 20_000);
    assert.deepEqual(subjects(), ['_mr.p.l.1.t-a-0', 'millrace.p.late.b', 'millrace.p.dead.a']);
    assert.deepEqual(
      events.map(({ event, letters }) => [event, letters]),
      [['letters.dropped', 3]],
    );
  });

  test('that are too old go, and those that become it, too', async () => {
    await put('millrace.p.dead.a', Buffer.from('old'));
    await clock.run(clock.monotonic() + DAY_MS / 2);
    await put('millrace.p.dead.a', Buffer.from('new'));
    await keeping({ maxBytes: 1 << 20, maxAgeMs: DAY_MS }, DAY_MS / 2 - 60_000);
    assert.equal(subjects().length, 2);
    await keeping({ maxBytes: 1 << 20, maxAgeMs: DAY_MS }, 120_000);
    assert.equal(subjects().length, 1);
    await keeping({ maxBytes: 1 << 20, maxAgeMs: DAY_MS }, DAY_MS);
    assert.deepEqual(subjects(), []);
    assert.equal(events.length, 2);
  });
});

describe('the limits', () => {
  const plan = async (letters?: { maxBytes?: number; maxAge?: string }) =>
    planned(pipeline('p', ({ from }) => from('in.a').to('out.{partition}'), letters === undefined ? {} : { letters }));

  test('are in the plan, have defaults, and change nothing that state is read by', async () => {
    const [usual, other] = [await plan(), await plan({ maxBytes: 1 << 21, maxAge: '1h' })];
    assert.deepEqual(usual.letters, { maxBytes: 1 << 30, maxAgeMs: 30 * DAY_MS });
    assert.deepEqual(other.letters, { maxBytes: 1 << 21, maxAgeMs: 3_600_000 });
    assert.equal(other.fingerprint, usual.fingerprint);
  });

  test('that make no sense are mistakes', async () => {
    const said = async (letters: object) =>
      (await mistakesOf(pipeline('p', ({ from }) => from('in.a').to('out.{partition}'), { letters } as object))).map(
        text => text.message,
      );
    assert.match((await said({ maxBytes: 10 })).join(), /letters\.maxBytes is 10: take a whole number of bytes/);
    assert.match((await said({ maxAge: '1s' })).join(), /letters\.maxAge is too short/);
    assert.match((await said({ maxAge: 'soon' })).join(), /letters\.maxAge/);
    assert.match((await said({ maxByte: 1 })).join(), /letters has no option 'maxByte'; did you mean maxBytes/);
  });
});
