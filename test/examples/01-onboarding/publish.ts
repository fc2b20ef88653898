/**
 * Publishes a day of events, as any service would with the plain `nats` client. Run it again: Millrace has seen them all.
 *
 *   npx tsx test/examples/01-onboarding/publish.ts
 */
import { connect } from 'nats';
import { day } from './day.ts';

export interface Message {
  readonly subject: string;
  readonly text: string;
}

const connection = await connect({ servers: process.env.NATS_URL ?? 'nats://127.0.0.1:4222' });
const jetstream = connection.jetstream();
const messages = day();
// Waiting for each answer keeps the order, and tells us that the stream has it.
for (const { subject, text } of messages) await jetstream.publish(subject, text);
console.log(`published ${messages.length} events`);
await connection.close();
