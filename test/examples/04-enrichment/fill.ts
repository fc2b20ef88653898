/**
 * Makes the bucket and puts two customers into it, with the plain `nats` client.
 *
 *   npx tsx test/examples/04-enrichment/fill.ts
 */
import { connectToNats } from '../nats.ts';

const connection = await connectToNats();
const customers = await connection.jetstream().views.kv('customers');
await customers.put('c1', JSON.stringify({ name: 'Ada Lovelace', plan: 'gold' }));
await customers.put('c2', JSON.stringify({ name: 'Alan Turing', plan: 'free' }));
console.log('put 2 customers');
await connection.close();
