/**
 * A downstream service in the plain `nats` client: a durable consumer, so the broker remembers what has been handled.
 * Handles what is there and ends; run again, it handles what has come since. A service would go on with `consume`.
 *
 *   npx tsx test/examples/08-subscriber/subscribe.ts
 */
import { AckPolicy } from 'nats';
import { connectToNats } from '../nats.ts';

interface Alarm {
  readonly sensor: string;
  readonly celsius: number;
}

const connection = await connectToNats();
const manager = await connection.jetstreamManager();
const stream = await manager.streams.find('plant.alarm.*');
await manager.consumers.add(stream, { durable_name: 'sirens', ack_policy: AckPolicy.Explicit });
const consumer = await connection.jetstream().consumers.get(stream, 'sirens');
for await (const message of await consumer.fetch({ max_messages: 100, expires: 1_000 })) {
  // Results of one task and commit share a message, a line each: a frame of NDJSON.
  for (const line of message.string().trimEnd().split('\n')) {
    const alarm = JSON.parse(line) as Alarm;
    console.log(`${alarm.sensor} has ${alarm.celsius} °C`);
  }
  await message.ackAck();
}
await connection.close();
