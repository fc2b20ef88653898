/**
 * Publishes a day of events, as any service would with the plain `nats` client. Run it again: Millrace has seen them all.
 *
 *   npx tsx test/examples/01-onboarding/publish.ts
 */
import { connectToNats } from './broker.ts';
import { day } from './day.ts';

export interface Message {
  readonly subject: string;
  readonly text: string;
}

const connection = await connectToNats();
const jetstream = connection.jetstream();
const messages = day();
// Waiting for each answer keeps the order, and tells us that the stream has it.
for (const { subject, text } of messages) await jetstream.publish(subject, text).catch(() => complain(subject));
console.log(`published ${messages.length} events`);
await connection.close();

function complain(subject: string): never {
  console.error(`no stream keeps ${subject}: is the pipeline, which captures it, deployed?`);
  process.exit(1);
}
