/**
 * Reads results as any service would: through JetStream, with an ordered consumer of the plain `nats` client. Prints what
 * is there and ends; a service would go on.
 *
 *   npx tsx test/examples/read.ts 'onboarding.unbadged.*'
 */
import { connectToNats } from './nats.ts';

const [subject = 'onboarding.employees.*'] = process.argv.slice(2);
const connection = await connectToNats();
const manager = await connection.jetstreamManager();
const stream = await manager.streams.find(subject).catch(() => {
  console.error(`no stream keeps ${subject}: has a pipeline been deployed?`);
  process.exit(1);
});
const consumer = await connection.jetstream().consumers.get(stream, { filterSubjects: subject });
const { num_pending } = await consumer.info();
for await (const message of num_pending > 0 ? await consumer.consume() : []) {
  // A message is one result, or several of one task, a line each.
  for (const row of message.string().trimEnd().split('\n')) console.log(`${message.subject}  ${row}`);
  if (message.info.pending === 0) break;
}
await connection.close();
