/**
 * The pipeline of the chaos program: one of everything that matters for delivery, with the settings that users get. Times
 * are the present. What it must give is in `answer.ts`; its events are in `load.ts`.
 *
 *   in.orders ─ dedupe by order ─┬─► unique.{city}                               shared
 *                                ├─ left join by order ─ by city, table cities ─┬─► paid.{partition}   owned, framed
 *   in.payments ─────────────────┘                                              ├─► unpaid.{city}      shared
 *                                                                               └─ tumbling ─► sums.{city}   shared
 *   in.orders ──────────────────────────────────────────────────────────────────► audit.{partition}   reads its source itself
 */
import { count, pipeline, sum, tumbling } from 'millrace';

interface Order {
  id: string;
  order: string;
  city: string;
  amount: number;
  at: number;
  beat?: boolean;
}

interface Payment {
  order: string;
  no: number;
  at: number;
  beat?: boolean;
}

/** A deploy of a changed pipeline writes another number here (`deploy.ts`): other code in every reader and stage. */
const EDITION = 0;

export default pipeline(
  'story',
  ({ from, table }) => {
    const options = { time: 'at', maxOutOfOrder: '1s' } as const;
    const isReal = (event: { beat?: boolean }) => event.beat !== true && EDITION >= 0;
    const orders = from<Order>('in.orders', { name: 'orders', ...options }).filter(isReal);
    const payments = from<Payment>('in.payments', { name: 'payments', ...options }).filter(isReal);
    const unique = orders.keyBy('order').dedupe({ id: order => order.id, within: '30s' });
    unique.to('unique.{city}', { name: 'unique' });
    const rows = unique
      .leftJoin(payments.keyBy('order'), { within: { before: 400, after: 1_200 } }, (order, payment) => ({
        id: order.id,
        city: order.city,
        amount: order.amount,
        no: payment?.no ?? null,
      }))
      .keyBy('city')
      .join(table<{ country: string }>('cities'), (row, { country }) => ({ ...row, country }));
    rows.to('paid.{partition}', { name: 'paid' });
    rows.filter(row => row.no === null).to('unpaid.{city}', { name: 'unpaid' });
    rows
      .window(tumbling(2_000))
      .aggregate({ rows: count(), amount: sum(row => row.amount) })
      .to('sums.{city}', { name: 'sums' });
    orders.to('audit.{partition}', { name: 'audit' });
  },
  { partitions: 4 },
);
