import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { Random } from '../../../lib/base/random.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import type { MemoryFaults } from '../../../lib/memory/faults.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

async function makeWorld(faults: MemoryFaults, seed = 1) {
  const random = new Random(seed);
  const clock = new SimClock({ random });
  const broker = new MemoryBroker({ clock, random });
  const log = broker.client('a');
  await log.ensureStream({ name: 'S', subjects: ['s.>'], atomic: true });
  broker.faults = faults;
  const kept = () => broker.stream('S')!.lastSeq;
  return { clock, broker, log, kept };
}

describe('the broker in memory', () => {
  test('lands what it does not acknowledge', async () => {
    const { clock, log, kept } = await makeWorld({ lostAck: 1 });
    assert.equal((await clock.runThrough(log.append({ subject: 's.a', data: bytes('1') }))).kind, 'unsure');
    assert.equal(kept(), 1);
  });

  test('may keep nothing of what is in doubt', async () => {
    const { clock, log, kept } = await makeWorld({ notLanded: 1 });
    assert.equal((await clock.runThrough(log.append({ subject: 's.a', data: bytes('1') }))).kind, 'unsure');
    await clock.run(100_000);
    assert.equal(kept(), 0);
  });

  test('may land it after the client gave up, even when that was killed, if its fence still holds', async () => {
    const faults = { lateLanding: 1, unsureMs: [1, 2], lateMs: 5_000 } as const;
    const { clock, log, kept, broker } = await makeWorld(faults);
    const outcome = await clock.runThrough(log.append({ subject: 's.a', data: bytes('1'), expect: 0 }));
    assert.deepEqual([outcome.kind, kept()], ['unsure', 0]);
    log.kill();
    await clock.run(10_000);
    assert.equal(kept(), 1);

    const other = broker.client('b');
    await clock.runThrough(other.append({ subject: 's.b', data: bytes('late'), expect: 0 }));
    broker.faults = {};
    assert.equal((await other.append({ subject: 's.b', data: bytes('first'), expect: 0 })).kind, 'landed');
    await clock.run(100_000);
    assert.equal(kept(), 2);
  });

  test('keeps batches whole under every fault', async () => {
    const faults = { delayMs: [0, 20], lostAck: 0.3, notLanded: 0.2, lateLanding: 0.3, lateMs: 500 } as const;
    const { clock, log, broker } = await makeWorld(faults);
    for (let i = 0; i < 100; i++) {
      const rows = [1, 2, 3].map(row => ({ subject: `s.${row}`, data: bytes(`${i}`) }));
      await clock.runThrough(log.appendBatch(rows));
    }
    await clock.run(clock.monotonic() + 10_000);
    const stream = broker.stream('S')!;
    assert.ok(stream.lastSeq > 0 && stream.lastSeq % 3 === 0);
    for (let seq = 1; seq <= stream.lastSeq; seq += 3) {
      const bodies = [0, 1, 2].map(i => Buffer.from(stream.at(seq + i)!.data).toString());
      assert.equal(new Set(bodies).size, 1);
    }
  });

  test('answers nothing to a killed client, and a frozen one only when it is thawed', async () => {
    const { clock, log, broker } = await makeWorld({ delayMs: [1, 2] });
    let answered = 0;
    log.freeze();
    void log.append({ subject: 's.a', data: bytes('1') }).then(() => answered++);
    await clock.run(1_000);
    assert.deepEqual([answered, broker.stream('S')!.lastSeq], [0, 1]);
    log.thaw();
    await clock.run(2_000);
    assert.equal(answered, 1);
    void log.append({ subject: 's.a', data: bytes('1') }).then(() => answered++);
    log.kill();
    await clock.run(10_000);
    assert.equal(answered, 1);
  });

  test('is out of reach while offline and has lost nothing when it is back', async () => {
    const { clock, broker, log, kept } = await makeWorld({});
    await log.append({ subject: 's.a', data: bytes('1') });
    const reader = log.read({ stream: 'S', from: 1 });
    broker.online = false;
    assert.equal((await clock.runThrough(log.append({ subject: 's.a', data: bytes('2') }))).kind, 'unsure');
    const asked = clock.runThrough(log.info('S'));
    await assert.rejects(asked, error => isMillraceError(error, 'BROKER_UNAVAILABLE'));
    assert.deepEqual(reader.take({ messagesMax: 9, bytesMax: 99 }), []);
    broker.online = true;
    await clock.run(clock.monotonic() + 1_000);
    assert.equal(reader.take({ messagesMax: 9, bytesMax: 99 }).length, 1);
    assert.equal(kept(), 1);
  });

  test('tells the same history for the same seed', async () => {
    const faults = { delayMs: [0, 20], lostAck: 0.2, notLanded: 0.2, lateLanding: 0.2 } as const;
    const tell = async (seed: number): Promise<string> => {
      const { clock, broker } = await makeWorld(faults, seed);
      const outcomes: string[] = [];
      const work = ['a', 'b', 'c'].map(async name => {
        const log = broker.client(name);
        for (let i = 0; i < 20; i++) {
          const outcome = await log.append({ subject: 's.a', data: bytes(`${name}${i}`), expect: i });
          outcomes.push(`${clock.monotonic()} ${name} ${outcome.kind}`);
        }
      });
      await clock.runThrough(Promise.all(work));
      return outcomes.join('\n');
    };
    assert.equal(await tell(3), await tell(3));
    assert.notEqual(await tell(3), await tell(4));
  });
});
