/**
 * Publishes the events of an example, as any service would with the plain `nats` client.
 *
 *   npx tsx test/examples/publish.ts test/examples/01-onboarding/events.ts
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { connectToNats } from './nats.ts';

export interface Message {
  readonly subject: string;
  readonly data: unknown;
}

async function publish(file: string): Promise<void> {
  const { default: messages } = (await import(pathToFileURL(resolve(file)).href)) as { default: readonly Message[] };
  const connection = await connectToNats();
  const jetstream = connection.jetstream();
  // Waiting for each answer keeps the order, and tells us that the stream has it.
  for (const { subject, data } of messages) {
    await jetstream.publish(subject, typeof data === 'string' ? data : JSON.stringify(data)).catch(() => {
      console.error(`no stream keeps ${subject}: is the pipeline, which captures it, deployed?`);
      process.exit(1);
    });
  }
  console.log(`published ${messages.length} events`);
  await connection.close();
}

const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error('say which events, e.g. test/examples/01-onboarding/events.ts');
  process.exit(1);
}
await publish(file);
