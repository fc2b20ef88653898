/** The bench's input as it lies in the broker: the same events, whatever their shape. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect, type NatsConnection } from 'nats';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import { lastSequenceOf, readAll } from '../rig/subscriber.ts';
import { answerOf } from './answers.ts';
import { clockMs, clockOffsetMs } from './clock.ts';
import { auctionsDue, loadInput, makeInputStreams, type Shape, STREAMS, SUBJECTS } from './input.ts';
import { sendLive } from './live-input.ts';
import { type NexmarkEvent, nexmark } from './nexmark.ts';
import type { SenderTask } from './sender.ts';

const EVENTS = 5_000;
let server: NatsServer;
let connection: NatsConnection;

before(async () => {
  server = await startServer();
  connection = await connect({ servers: server.url });
});

after(async () => {
  await connection.close();
  await server.stop();
});

async function emptyStreams(): Promise<void> {
  const manager = await connection.jetstreamManager();
  for (const stream of Object.values(STREAMS)) await manager.streams.delete(stream).catch(() => false);
  await makeInputStreams(connection);
}

async function inputIn(shape: Shape, query: 'q0' | 'qd' | 'qj'): Promise<{ events: NexmarkEvent[]; messages: number }> {
  await emptyStreams();
  const { eventsRead, lastMs } = await loadInput(connection, { query, shape, events: EVENTS });
  const events: NexmarkEvent[] = [];
  let messages = 0;
  for (const kind of ['bid', 'auction'] as const) {
    messages += await lastSequenceOf(connection, STREAMS[kind]);
    await readAll(connection, {
      stream: STREAMS[kind],
      subject: SUBJECTS[kind],
      arrived: ({ row }) => events.push({ kind, event: JSON.parse(row) } as NexmarkEvent),
    });
  }
  assert.equal(events.length, eventsRead);
  assert.equal(Math.max(...events.map(({ event }) => event.dateTime)), lastMs);
  return { events, messages };
}

describe("the bench's input", () => {
  test('gives the same answer from the broker as from the generator, in frames or one by one', async () => {
    for (const shape of ['framed', 'single'] as const) {
      const { events, messages } = await inputIn(shape, 'qj');
      assert.deepEqual(answerOf('qj', events), answerOf('qj', nexmark({ events: EVENTS })));
      assert.equal(messages, shape === 'single' ? 4_900 : 23 + 2);
    }
  });

  test('holds no more than the query reads', async () => {
    const { events } = await inputIn('framed', 'q0');
    assert.equal(events.length, 4_600);
  });

  test('repeats every fifth bid for the dedupe query, and the answer does not', async () => {
    const { events } = await inputIn('framed', 'qd');
    assert.equal(events.length, 5_520);
    assert.deepEqual(answerOf('qd', events), answerOf('qd', nexmark({ events: EVENTS })));
  });
});

describe('live input', () => {
  const task = { query: 'q0', shape: 'single', eventsPerSecond: 500, seconds: 1 } as const;

  test('has the moment at which it is due as event time, by the clock of whoever asks for it', async () => {
    await emptyStreams();
    const askedMs = clockMs();
    let fromMs = 0;
    await sendLive({ ...task, url: server.url }, begunMs => {
      fromMs = begunMs;
    });
    assert.ok(fromMs >= askedMs && fromMs < clockMs());
    const times: number[] = [];
    await readAll(connection, {
      stream: STREAMS.bid,
      subject: SUBJECTS.bid,
      arrived: ({ row }) => times.push(JSON.parse(row).dateTime),
    });
    assert.equal(times.length, 460);
    // Two milliseconds from event to event; the first of fifty is a person, the next three are auctions.
    assert.deepEqual(times.slice(0, 3), [fromMs + 8, fromMs + 10, fromMs + 12]);
    assert.ok(times.every((time, i) => time > (times[i - 1] ?? fromMs)));
  });

  test('has its auctions with the tick for which they are due', async () => {
    await emptyStreams();
    let fromMs = 0;
    const joined = { ...task, query: 'qj', shape: 'framed' } as const;
    await sendLive({ ...joined, url: server.url }, begunMs => {
      fromMs = begunMs;
    });
    const due = new Map<number, number>();
    await readAll(connection, {
      stream: STREAMS.auction,
      subject: SUBJECTS.auction,
      arrived: ({ row }) => {
        const { id, dateTime } = JSON.parse(row) as { id: number; dateTime: number };
        due.set(id, dateTime - fromMs);
      },
    });
    assert.equal(due.size, 30);
    assert.deepEqual(due, auctionsDue(joined, 'framed'));
  });

  test('that the broker does not store is an error that says so', async () => {
    const manager = await connection.jetstreamManager();
    await manager.streams.delete(STREAMS.bid);
    const sending = sendLive({ ...task, url: server.url }, () => {});
    await assert.rejects(sending, /the sender ended with code 1: [\s\S]*no stream keeps the subject/);
  });

  test('ends with whoever asked for it', async () => {
    await emptyStreams();
    const sender = fileURLToPath(new URL('./sender.ts', import.meta.url));
    const endless: SenderTask = { ...task, url: server.url, seconds: 3_600, clockOffsetMs: clockOffsetMs() };
    const child = fork(sender, [JSON.stringify(endless)], { execArgv: ['--import', 'tsx'] });
    await once(child, 'message');
    child.disconnect();
    const [code] = await once(child, 'exit');
    assert.equal(code, 1);
  });
});
