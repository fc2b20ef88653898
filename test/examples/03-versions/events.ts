/** One event of each version, and one of none. */
import type { Message } from '../publish.ts';

export default [
  { subject: 'crm.customer.changed', data: { customer_id: 7, full_name: 'Grace Brewster Hopper' } },
  { subject: 'crm.customer.changed', data: { v: 2, id: '8', firstName: 'Alan', lastName: 'Turing' } },
  { subject: 'crm.customer.changed', data: { v: 3, id: '9', name: { first: 'Ada', last: 'Lovelace' } } },
  { subject: 'crm.customer.changed', data: { v: 4, id: '10', names: ['Edsger', 'Dijkstra'] } },
] satisfies Message[];
