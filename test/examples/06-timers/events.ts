/** One order is shipped in time, one is forgotten. The last event, a day later, lets event time pass all timers. */
import type { Message } from '../publish.ts';

const deliveries = (kind: 'placed' | 'shipped', order: string, at: string): Message => {
  return { subject: 'shop.delivery', data: { kind, order, at } };
};

export default [
  deliveries('placed', 'A-1', '2026-03-02T08:00:00Z'),
  deliveries('placed', 'A-2', '2026-03-02T08:05:00Z'),
  deliveries('shipped', 'A-1', '2026-03-02T08:50:00Z'),
  deliveries('shipped', 'A-0', '2026-03-03T08:00:00Z'),
];
