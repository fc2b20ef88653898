/**
 * Enrichment from a KV bucket: each ticket meets the row that its customer has at that moment. The bucket is read to its
 * end before the first ticket is taken, so none misses a row that was there.
 */
import { pipeline } from 'millrace';

type Ticket = { ticket: string; customer: string; text: string; at: string };
type Customer = { name: string; plan: 'free' | 'gold' };

export default pipeline('tickets', ({ from, table }) => {
  const customers = table<Customer>('customers');
  const tickets = from<Ticket>('support.ticket.opened', { time: 'at', capture: true });
  tickets
    .keyBy('customer')
    .leftJoin(customers, (ticket, customer) => ({
      ticket: ticket.ticket,
      customer: customer?.name ?? ticket.customer,
      urgent: customer?.plan === 'gold',
    }))
    .to('support.queue.{partition}');
});
