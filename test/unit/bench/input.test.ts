/** The bench's input as it lies in the broker: the same events, whatever their shape. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { connect, type NatsConnection } from 'nats';
import { type NatsServer, startServer } from '../../../lib/nats/server.ts';
import { answerOf } from '../../bench/answers.ts';
import { loadInput, makeInputStreams, type Shape, STREAMS, SUBJECTS, sendLive } from '../../bench/input.ts';
import { type NexmarkEvent, nexmark } from '../../bench/nexmark.ts';
import { lastSequenceOf, readAll } from '../../rig/subscriber.ts';

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

async function inputIn(shape: Shape, query: 'q0' | 'qd' | 'qj'): Promise<{ events: NexmarkEvent[]; messages: number }> {
  const manager = await connection.jetstreamManager();
  for (const stream of Object.values(STREAMS)) await manager.streams.delete(stream).catch(() => false);
  await makeInputStreams(connection);
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

  test('is sent live with the moment at which it is due as event time', async () => {
    const before = Date.now();
    await sendLive(connection, { query: 'q0', shape: 'single', eventsPerSecond: 500, seconds: 1 });
    const times: number[] = [];
    await readAll(connection, {
      stream: STREAMS.bid,
      subject: SUBJECTS.bid,
      arrived: ({ row }) => times.push(JSON.parse(row).dateTime),
    });
    const live = times.filter(time => time >= before);
    assert.equal(live.length, 460);
    assert.ok(live.every(time => time <= Date.now()));
  });
});
