/** Three tickets, the last one of a customer that nobody knows. */
import type { Message } from '../publish.ts';

export default ['c1', 'c2', 'c3'].map(
  (customer, i): Message => ({
    subject: 'support.ticket.opened',
    data: { ticket: `T-${i}`, customer, text: 'it hums', at: `2026-03-02T08:0${i}:00Z` },
  }),
);
