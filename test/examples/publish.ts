/**
 * Publishes the events of an example, as any service would with the plain `nats` client. Events that export `complete`, a
 * time, end with a heartbeat on each subject: a message without content that says, in a header, that up to then its sender
 * has told everything. So what waits for that time need not wait until the clock has come so far.
 *
 *   npx tsx test/examples/publish.ts test/examples/01-onboarding/events.ts
 */
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { headers } from 'nats';
import { connectToNats } from './nats.ts';

export interface Message {
  readonly subject: string;
  readonly data: unknown;
}

export interface Events {
  readonly default: readonly Message[];
  /** Event time, in ISO, up to which they are all that there is. */
  readonly complete?: string;
}

async function publish(file: string): Promise<void> {
  const { default: messages, complete } = (await import(pathToFileURL(resolve(file)).href)) as Events;
  const connection = await connectToNats();
  const jetstream = connection.jetstream();
  // Waiting for each answer keeps the order, and tells us that the stream has it.
  for (const { subject, data } of messages) {
    await jetstream.publish(subject, typeof data === 'string' ? data : JSON.stringify(data)).catch(() => {
      console.error(`no stream keeps ${subject}: is the pipeline, which captures it, deployed?`);
      process.exit(1);
    });
  }
  if (complete !== undefined) {
    const heartbeat = headers();
    heartbeat.set('Millrace-Complete', complete);
    const subjects = new Set(messages.map(({ subject }) => subject));
    for (const subject of subjects) await jetstream.publish(subject, '', { headers: heartbeat });
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
