/** Three orders: one told by both, one by the shop twice, one by the bridge alone. */
import type { Message } from '../publish.ts';

export default [
  { subject: 'shop.order.placed', data: { id: 'A-1', total: 20, at: '2026-03-02T08:00:00Z' } },
  { subject: 'shop.order.placed', data: { id: 'A-2', total: 15, at: '2026-03-02T08:01:00Z' } },
  { subject: 'bridge.order', data: { ORDER_NO: 'A-1', AMOUNT: '20.00', CREATED: '2026-03-02 08:00:02' } },
  { subject: 'shop.order.placed', data: { id: 'A-2', total: 15, at: '2026-03-02T08:01:00Z' } },
  { subject: 'bridge.order', data: { ORDER_NO: 'B-9', AMOUNT: '7.50', CREATED: '2026-03-02 08:02:00' } },
] satisfies Message[];
