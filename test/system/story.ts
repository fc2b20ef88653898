/**
 * The pipeline that the system tests give to workers: the simulator's, with a table and one more shared sink. Its events
 * and its batch answer are in `rounds.ts`.
 *
 *   in.orders ─ dedupe ┐
 *                      ├─ left join by order ─ by city, join table cities ─┬─► paid.{partition}    owned, framed
 *   in.payments ───────┘                                                   ├─► unpaid.{city}       shared
 *                                                                          └─ tumbling sum ─► sums.{city}  shared
 *   in.orders ───────────────────────────────────────────────────────────────► audit.{partition}   reads its source itself
 */
import { count, pipeline, sum, tumbling } from 'millrace';
import type { Order, Payment } from '../sim/story.ts';

const DISORDER_MS = 800;
const WINDOW_MS = 1_500;

export default pipeline(
  'story',
  ({ from, table }) => {
    const options = { time: 'at', maxOutOfOrder: DISORDER_MS } as const;
    const orders = from<Order>('in.orders', { name: 'orders', ...options });
    const payments = from<Payment>('in.payments', { name: 'payments', ...options });
    const rows = orders
      .dedupe({ id: order => order.id, within: '30s' })
      .keyBy('order')
      .leftJoin(payments.keyBy('order'), { within: { before: 400, after: 1_200 } }, (order, payment) => ({
        id: order.id,
        city: order.city,
        amount: order.amount,
        no: payment?.no ?? null,
      }))
      .keyBy('city')
      .join(table<{ country: string }>('cities'), (row, { country }) => ({ ...row, country }));
    rows.to('paid.{partition}');
    rows.filter(row => row.no === null).to('unpaid.{city}');
    rows
      .window(tumbling(WINDOW_MS))
      .aggregate({ rows: count(), amount: sum(row => row.amount) })
      .to('sums.{city}');
    orders.to('audit.{partition}');
  },
  { partitions: 3 },
);
