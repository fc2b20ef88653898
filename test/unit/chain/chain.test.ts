import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { Chain, type ChainOptions, isSameWrite } from '../../../lib/chain/chain.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker, type MemoryLog } from '../../../lib/memory/log.ts';
import { EXPECT_HEADER } from '../../../lib/port/headers.ts';
import type { Append, NewMessage, StoredMessage } from '../../../lib/port/log.ts';

const stream = 'C';
const subject = 'c.0';
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));
const text = (data: Uint8Array | undefined): string | undefined => data && Buffer.from(data).toString();

/** What happens to a try before, instead of or after it reaches the broker. */
type Twist = (message: NewMessage, really: () => Promise<Append>) => Promise<Append>;
const unsure: Append = { kind: 'unsure', cause: new Error('no answer') };
const passes: Twist = (_, really) => really();
const lostAck: Twist = async (_, really) => {
  await really();
  return unsure;
};
const notLanded: Twist = async () => unsure;

/** A world of one chain on a broker without faults, whose tries are twisted one by one as the script says. */
async function makeWorld(script: Twist[] = [], options: Pick<ChainOptions, 'mayBeginAnew'> = {}) {
  const clock = new SimClock();
  const broker = new MemoryBroker({ clock });
  const log = broker.client('writer');
  await log.ensureStream({ name: stream, subjects: ['c.>'] });
  const tries: NewMessage[] = [];
  const really = log.append.bind(log);
  const twisted: MemoryLog = Object.create(log, {
    append: {
      value: (message: NewMessage) => {
        tries.push(message);
        return (script.shift() ?? passes)(message, () => really(message));
      },
    },
    last: { value: log.last.bind(log), writable: true },
  });
  const retries: unknown[] = [];
  const onRetry = (retry: unknown) => void retries.push(retry);
  const chain = new Chain({ log: twisted, clock, stream, subject, onRetry, ...options });
  const kept = (): (string | undefined)[] => {
    const messages: (string | undefined)[] = [];
    const { firstSeq, lastSeq } = broker.stream(stream)!;
    for (let seq = firstSeq; seq <= lastSeq; seq++) messages.push(text(broker.stream(stream)!.at(seq)?.data));
    return messages;
  };
  return { clock, broker, log, twisted, chain, tries, retries, kept };
}

describe('the chain', () => {
  test('starts after the last message there is, and goes on from its own (*last word*)', async () => {
    const { chain, log, kept } = await makeWorld();
    await log.append({ subject, data: bytes('old') });
    assert.equal(text((await chain.open())?.data), 'old');
    assert.equal(chain.seq, 1);
    assert.deepEqual(await chain.append(bytes('one')), { kind: 'landed', seq: 2 });
    assert.deepEqual(await chain.append(bytes('two'), { name: 'value' }), { kind: 'landed', seq: 3 });
    assert.deepEqual(kept(), ['old', 'one', 'two']);
  });

  test('opens an empty chain as null and expects nothing before its first message', async () => {
    const { chain, tries } = await makeWorld();
    assert.equal(await chain.open(), null);
    await chain.append(bytes('one'));
    assert.equal(tries[0]!.expect, 0);
  });

  test('sends the identical message again until it lands, and it lands once (*one successor*)', async () => {
    for (const script of [
      [notLanded, notLanded, passes],
      [lostAck, passes],
      [notLanded, lostAck, notLanded, passes],
    ]) {
      const { chain, clock, tries, kept, retries } = await makeWorld([...script]);
      await chain.open();
      const outcome = await clock.runThrough(chain.append(bytes('one'), { name: 'value' }));
      assert.deepEqual(outcome, { kind: 'landed', seq: 1 });
      assert.deepEqual(kept(), ['one']);
      assert.equal(new Set(tries).size, 1);
      assert.equal(tries.length, script.length);
      assert.equal(retries.length, script.length - 1);
      assert.deepEqual(await chain.append(bytes('two')), { kind: 'landed', seq: 2 });
    }
  });

  test('waits longer after each try, up to a second', async () => {
    const { chain, clock } = await makeWorld(Array.from({ length: 9 }, () => notLanded));
    await chain.open();
    await clock.runThrough(chain.append(bytes('one')));
    assert.equal(clock.monotonic(), 20 + 40 + 80 + 160 + 320 + 640 + 1_000 * 3);
  });

  test('is beaten by another’s message and stays where it was until it adopts it (*one writer*)', async () => {
    const { chain, log, kept } = await makeWorld();
    await chain.open();
    await log.append({ subject, data: bytes('other') });
    for (const data of ['one', 'two']) {
      const outcome = await chain.append(bytes(data));
      assert.ok(outcome.kind === 'moved');
      assert.equal(text(outcome.tail.data), 'other');
      assert.equal(chain.seq, 0);
    }
    chain.adopt((await log.last({ stream, subject }))!);
    assert.deepEqual(await chain.append(bytes('one')), { kind: 'landed', seq: 2 });
    assert.deepEqual(kept(), ['other', 'one']);
  });

  test('does not take another’s message for its own when only the bytes are the same', async () => {
    const { chain, log } = await makeWorld([
      // Two others come first, the second with our bytes: it does not follow our predecessor.
      async (_, really) => {
        await log.append({ subject, data: bytes('other'), expect: 0 });
        await log.append({ subject, data: bytes('one'), expect: 1 });
        return really();
      },
    ]);
    await chain.open();
    assert.equal((await chain.append(bytes('one'))).kind, 'moved');
  });

  test('does not take another’s message for its own when only a header differs', async () => {
    const { chain, log } = await makeWorld();
    await chain.open();
    await log.append({ subject, data: bytes('one'), headers: { row: '1' }, expect: 0 });
    assert.equal((await chain.append(bytes('one'), { row: '2' })).kind, 'moved');
  });

  test('takes the same content after the same predecessor for its own, whoever wrote it', async () => {
    const { chain, log, kept } = await makeWorld();
    await chain.open();
    await log.append({ subject, data: bytes('one'), headers: { error: 'a\nb ' }, expect: 0 });
    assert.deepEqual(await chain.append(bytes('one'), { error: 'a\nb ' }), { kind: 'landed', seq: 1 });
    assert.deepEqual(kept(), ['one']);
  });

  test('so two claims without a nonce are both told that they won, and with one only the first', async () => {
    for (const nonces of [
      ['', ''],
      ['a', 'b'],
    ]) {
      const { chain, log, clock } = await makeWorld();
      const rival = new Chain({ log, clock, stream, subject });
      await chain.open();
      await rival.open();
      const first = await chain.append(bytes(`epoch 1 ${nonces[0]}`));
      const second = await rival.append(bytes(`epoch 1 ${nonces[1]}`));
      assert.deepEqual([first.kind, second.kind], ['landed', nonces[0] === nonces[1] ? 'landed' : 'moved']);
    }
  });

  test('says moved when its message landed unheard and another’s followed', async () => {
    const { chain, log, clock } = await makeWorld([
      async (_, really) => {
        await really();
        await log.append({ subject, data: bytes('other'), expect: 1 });
        return unsure;
      },
    ]);
    await chain.open();
    const outcome = await clock.runThrough(chain.append(bytes('one')));
    assert.ok(outcome.kind === 'moved');
    assert.equal(text(outcome.tail.data), 'other');
  });

  test('never concludes from a stale reading that it was beaten or that messages are gone', async () => {
    const { chain, twisted, clock, kept } = await makeWorld([passes, lostAck]);
    await chain.open();
    await chain.append(bytes('one'));
    const fresh = twisted.last;
    let stale = 3;
    twisted.last = async options => (stale-- > 0 ? null : fresh(options));
    assert.deepEqual(await clock.runThrough(chain.append(bytes('two'))), { kind: 'landed', seq: 2 });
    assert.deepEqual(kept(), ['one', 'two']);
  });

  test('is broken when it is shorter than remembered, and must be opened anew', async () => {
    const { chain, log, clock } = await makeWorld();
    await chain.open();
    await chain.append(bytes('one'));
    await chain.append(bytes('two'));
    await log.trim({ stream, subject, before: 9 });
    await assert.rejects(clock.runThrough(chain.append(bytes('three'))), error =>
      isMillraceError(error, 'CHAIN_BROKEN'),
    );
    await assert.rejects(chain.append(bytes('three')), error => isMillraceError(error, 'INVARIANT'));
    assert.equal(await chain.open(), null);
    assert.equal((await chain.append(bytes('three'))).kind, 'landed');
  });

  test('begins anew, if that is allowed, when its last message has expired, however often a stale one was read before', async () => {
    const asked: boolean[] = [];
    const mayBeginAnew = async ({ inDoubt }: { inDoubt: boolean }) => void asked.push(inDoubt);
    const { chain, log, twisted, clock, kept } = await makeWorld([], { mayBeginAnew });
    await chain.open();
    for (const data of ['one', 'two', 'three']) await chain.append(bytes(data));
    const stale = await log.get({ stream, seq: 1 });
    await log.trim({ stream, subject, before: 9 });
    let readings = 0;
    const really = twisted.last;
    twisted.last = async about => (++readings < 5 ? stale : await really(about));
    assert.deepEqual(await clock.runThrough(chain.append(bytes('four'))), { kind: 'landed', seq: 4 });
    assert.equal(readings, 5);
    assert.deepEqual(kept(), ['four']);
    assert.deepEqual(asked, [false]);
  });

  test('says whether a try of the message had no answer when it asks to begin anew, and takes no for an answer', async () => {
    const asked: boolean[] = [];
    const mayBeginAnew = async ({ inDoubt }: { inDoubt: boolean }) => {
      asked.push(inDoubt);
      throw new MillraceError('CHAIN_BROKEN', 'no');
    };
    const { chain, log, clock, kept } = await makeWorld([passes, notLanded], { mayBeginAnew });
    await chain.open();
    await chain.append(bytes('one'));
    await log.trim({ stream, subject, before: 9 });
    await assert.rejects(clock.runThrough(chain.append(bytes('two'))), error => isMillraceError(error, 'CHAIN_BROKEN'));
    assert.deepEqual(asked, [true]);
    assert.deepEqual(kept(), []);
  });

  test('is opened at the tail it should have at least, however often an older one was read before', async () => {
    const { chain, log, twisted, clock } = await makeWorld();
    for (const data of ['one', 'two']) await log.append({ subject, data: bytes(data) });
    const stale = await log.get({ stream, seq: 1 });
    let readings = 0;
    const really = twisted.last;
    twisted.last = async about => (++readings < 4 ? stale : await really(about));
    assert.equal((await clock.runThrough(chain.open(2)))?.seq, 2);
    assert.equal((await clock.runThrough(chain.open(3)))?.seq, 2);
  });

  test('keeps its place when a try is refused for good, and loses it when an earlier one is in doubt', async () => {
    const refuses: Twist = async () => {
      throw new MillraceError('MESSAGE_TOO_LARGE', 'no');
    };
    const sure = await makeWorld([refuses]);
    await sure.chain.open();
    await assert.rejects(sure.chain.append(bytes('one')), error => isMillraceError(error, 'MESSAGE_TOO_LARGE'));
    assert.equal((await sure.chain.append(bytes('two'))).kind, 'landed');

    const doubtful = await makeWorld([notLanded, refuses]);
    await doubtful.chain.open();
    await assert.rejects(doubtful.clock.runThrough(doubtful.chain.append(bytes('one'))));
    await assert.rejects(doubtful.chain.append(bytes('two')), error => isMillraceError(error, 'INVARIANT'));
  });

  test('is stopped in the middle of a wait, an answer or an opening, and never appends again', async () => {
    const unavailable = (error: unknown) => isMillraceError(error, 'BROKER_UNAVAILABLE');
    const silence: Twist = () => new Promise(() => undefined);
    for (const script of [[notLanded], [silence]]) {
      const { chain, clock, kept } = await makeWorld([...script]);
      await chain.open();
      const append = chain.append(bytes('one'));
      clock.after(5, () => chain.stop());
      await assert.rejects(clock.runThrough(append), unavailable);
      await assert.rejects(chain.append(bytes('one')), unavailable);
      await assert.rejects(chain.open(), unavailable);
      assert.deepEqual(kept(), []);
    }
    const { chain, broker, clock } = await makeWorld();
    broker.online = false;
    clock.after(2_000, () => chain.stop());
    await assert.rejects(clock.runThrough(chain.open()), unavailable);
  });

  test('opens and appends once the broker is back', async () => {
    const { chain, broker, clock, kept } = await makeWorld();
    broker.online = false;
    clock.after(10_000, () => {
      broker.online = true;
    });
    await clock.runThrough(chain.open());
    broker.online = false;
    clock.after(10_000, () => {
      broker.online = true;
    });
    assert.equal((await clock.runThrough(chain.append(bytes('one')))).kind, 'landed');
    assert.deepEqual(kept(), ['one']);
  });

  test('does one thing at a time (*one append at a time*)', async () => {
    const invariant = (error: unknown) => isMillraceError(error, 'INVARIANT');
    const { chain, clock, kept } = await makeWorld([notLanded]);
    await assert.rejects(chain.append(bytes('one')), invariant);
    await chain.open();
    const first = chain.append(bytes('one'));
    await assert.rejects(chain.append(bytes('two')), invariant);
    assert.throws(() => chain.adopt(null), invariant);
    await assert.rejects(chain.open(), invariant);
    assert.equal((await clock.runThrough(first)).kind, 'landed');
    assert.deepEqual(kept(), ['one']);
  });
});

describe('the same write', () => {
  const message = { subject, data: bytes('data'), headers: { a: '1' }, expect: 4 };
  const stored = (changes: Partial<StoredMessage>): StoredMessage => {
    const headers = { a: '1', [EXPECT_HEADER]: '4', 'Added-By-The-Broker': 'x' };
    return { subject, seq: 5, timeMs: 0, data: bytes('data'), headers, ...changes };
  };

  test('has the same bytes, predecessor and headers; what the broker adds does not matter', () => {
    assert.equal(isSameWrite(message, stored({})), true);
    assert.equal(isSameWrite(message, stored({ data: bytes('date') })), false);
    assert.equal(isSameWrite(message, stored({ data: bytes('data ') })), false);
    assert.equal(isSameWrite(message, stored({ headers: { a: '1', [EXPECT_HEADER]: '3' } })), false);
    assert.equal(isSameWrite(message, stored({ headers: { a: '2', [EXPECT_HEADER]: '4' } })), false);
    assert.equal(isSameWrite(message, stored({ headers: { [EXPECT_HEADER]: '4' } })), false);
    assert.equal(isSameWrite(message, stored({ headers: null })), false);
  });
});
