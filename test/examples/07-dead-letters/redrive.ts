/**
 * Publishes dead letters again where they came from, with the plain `nats` client: their content is what the service had
 * sent, and a header says on which subject. Each is deleted when it is out, so a second run repeats nothing. Messages that
 * many letters share are left to `millrace letters replay`.
 *
 *   npx tsx test/examples/07-dead-letters/redrive.ts payments
 */
import { connectToNats } from '../nats.ts';

const [pipeline = 'payments'] = process.argv.slice(2);
const connection = await connectToNats();
const jetstream = connection.jetstream();
const manager = await connection.jetstreamManager();
const stream = `MR_${pipeline}_letters`;
const consumer = await jetstream.consumers.get(stream, { filterSubjects: `millrace.${pipeline}.dead.>` });
const { num_pending } = await consumer.info();
let redriven = 0;
for await (const letter of num_pending > 0 ? await consumer.consume() : []) {
  const subject = letter.headers?.get('Millrace-Subject') ?? '';
  if (subject !== '' && !letter.headers?.has('Millrace-Letters')) {
    await jetstream.publish(subject, letter.data);
    await manager.streams.deleteMessage(stream, letter.seq);
    redriven++;
  }
  if (letter.info.pending === 0) break;
}
console.log(`published ${redriven} dead letters again`);
await connection.close();
