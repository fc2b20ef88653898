/**
 * Pipelines with mistakes, each as authors make them. `types.test.ts` holds the compiler to an error in the line after each
 * `says`, with that text in it, and to none anywhere else.
 */
import { avg, count, pipeline, session, sum, tumbling, versions } from 'millrace';
import { z } from 'zod';

interface Order {
  readonly kind: 'order';
  readonly id: string;
  readonly shop: 'north' | 'south';
  readonly amount: number;
  readonly at: string;
  readonly note?: string;
  readonly buyer: { readonly name: string; readonly age: number | null };
}

interface Refund {
  readonly kind: 'refund';
  readonly order: string;
  readonly number: number;
}

export const sources = pipeline('sources', ({ from, table }) => {
  // says: Type '"when"' is not assignable to type '"a
  from<Order>('a', { time: 'when' });
  // says: Type '"when"' is not assignable to type '"id" |
  from('a', { schema: z.object({ id: z.string() }), time: 'when' });
  // says: Type '{ id: string; }' is missing the following properties from type 'Order'
  from<Order>('a', { schema: z.object({ id: z.string() }) });
  // says: Type '"update"' is not assignable to type 'ChangeWord'
  from<Order>('a', { change: order => (order.id === '' ? 'update' : 'insert') });
  // says: Property 'op' does not exist on type 'Order'
  from<Order>('a', { change: order => order.op });
  // says: Type '"never"' is not assignable to type '"first" | "new"
  from<Order>('a', { start: 'never' });
  // says: 'order' is of type 'unknown'
  from('a').map(order => order.id);
  // says: say what the records are: from<Order>(subject), or from(subject, { schema })
  from('a').keyBy('id');
  const sites = table('sites', { schema: z.object({ city: z.string() }) });
  const shops = from<Order>('a').keyBy('shop');
  // says: Property 'town' does not exist on type '{ city: string; }'
  shops.join(sites, (_, site) => site.town);
  // says: Type 'string' is not assignable to type 'number'
  versions(z.object({ price: z.number() })).from(z.object({ cost: z.string() }), old => ({ price: old.cost }));
  // says: Property 'price' is missing in type
  versions(z.object({ price: z.number() })).from(z.object({ cost: z.string() }), old => ({ ...old }));
});

export const keys = pipeline('keys', ({ from }) => {
  const orders = from<Order>('orders');
  const events = from<Order | Refund>('events');
  // says: '"shopp"' is not assignable to parameter of type '"a
  orders.keyBy('shopp');
  // says: '"buyer"' is not assignable to parameter of type '"a
  orders.keyBy('buyer');
  // says: '"buyer.name"' is not assignable to parameter of type '"a
  orders.keyBy('buyer.name');
  // says: Type '{ readonly name: string; readonly age: number | null; }' is not assignable to type
  orders.keyBy(order => order.buyer);
  // says: '"amuont"' is not assignable to parameter of type '"a
  orders.keyBy('shop', 'amuont');
  // says: '"amount"' is not assignable to parameter of type '"kind" |
  events.keyBy('amount');
  // says: Type 'CallKeyByFirst' has no call signatures
  orders.join(orders.keyBy('id'), { within: '1h' }, (left: Order) => left);
  // says: Type 'CallKeyByFirst' has no call signatures
  orders.window(tumbling('1h'));
  // says: Type 'CallKeyByFirst' has no call signatures
  orders.process({});
});

export const joins = pipeline('joins', ({ from, table }) => {
  const orders = from<Order>('orders').keyBy('id');
  const refunds = from<Refund>('refunds');
  // says: Type 'number' is not assignable to type 'string'
  orders.join(refunds.keyBy('number'), { within: '1h' }, (order: Order) => order);
  // says: Type 'number' is not assignable to type 'string'
  orders.semiJoin(refunds.keyBy('number'), { within: '1h' });
  // says: Type 'number' is not assignable to type 'string'
  orders.merge(refunds.keyBy('number'));
  // says: is missing in type 'Stream<Refund>' but required in type 'KeyedOf<
  orders.join(refunds, { within: '1h' }, (order: Order) => order);
  // says: Property 'within' is missing in type '{}' but required in type 'JoinOptions'
  orders.join(refunds.keyBy('order'), {}, (order: Order) => order);
  // says: 'refund' is possibly 'null'
  orders.leftJoin(refunds.keyBy('order'), { within: '1h' }, (_, refund) => refund.number);
  // says: 'order' is possibly 'null'
  orders.rightJoin(refunds.keyBy('order'), { within: '1h' }, order => order.amount);
  // says: is missing in type 'Table<string, { city: string; }>' but required in type 'KeyedOf<
  orders.join(table<{ city: string }>('sites'), { within: '1h' }, (order: Order) => order);
});

export const windows = pipeline('windows', ({ from }) => {
  const orders = from<Order>('orders');
  const hourly = orders.keyBy('shop').window(tumbling('1h'));
  // says: Type 'CallAggregateFirst' has no call signatures
  hourly.to('hourly.{shop}');
  // says: Type 'CallAggregateFirst' has no call signatures
  hourly.map(row => row);
  // says: Property 'amuont' does not exist on type 'Order'
  hourly.aggregate({ total: sum(order => order.amuont) });
  // says: Type 'string' is not assignable to type 'number'
  hourly.aggregate({ mean: avg(order => order.id) });
  // says: is not assignable to type 'AggregateSpec<Order
  hourly.aggregate({ orders: count });
  // says: Property 'total' does not exist on type
  hourly.aggregate({ orders: count() }).map(row => row.total);
  // says: the records have no text or number 'amount' to put into the subject
  hourly.aggregate({ orders: count() }).to('hourly.{amount}');
  // says: Property 'id' is missing in type '{ within: string; }' but required in type 'DedupeOptions<Order>'
  orders.dedupe({ within: '1d' });
  // says: Property 'eventId' does not exist on type 'Order'
  orders.dedupe({ id: order => order.eventId, within: '1d' });
  const visits = orders
    .keyBy(order => order.amount)
    .window(session('1h'))
    .aggregate({ n: count() });
  // says: Property 'shop' does not exist on type '{ key: number; start: number; end: number; n: number; }'
  visits.map(row => row.shop);
});

export const branches = pipeline('branches', ({ from }) => {
  const events = from<Order | Refund>('events');
  const isOrder = (event: Order | Refund): event is Order => event.kind === 'order';
  const isRefund = (event: Order | Refund): event is Refund => event.kind === 'refund';
  // says: Property 'large' does not exist on type 'Branches<
  events.branch({ orders: isOrder }).large.to('x');
  // says: Property 'amount' does not exist on type 'Refund'
  events.branch({ orders: isOrder }).rest.map(event => event.amount);
  // says: Property 'kind' does not exist on type 'never'
  events.branch({ orders: isOrder, refunds: isRefund }).rest.map(event => event.kind);
  // says: no record can take this branch: its predicate asks for what is none of the stream
  events.branch({ large: (event): event is Order & { readonly kind: 'refund' } => event.kind === 'order' });
  // says: Property 'id' does not exist on type 'never'
  events.filter((event): event is never => event.kind === 'order').map(event => event.id);
});

export const subjects = pipeline('subjects', ({ from }) => {
  const orders = from<Order>('orders');
  // says: the records have no text or number 'shopp' to put into the subject
  orders.to('out.{shopp}');
  // says: the records have no text or number 'buyer' to put into the subject
  orders.to('out.{buyer}');
  // says: the records have no text or number 'buyer.nick' to put into the subject
  orders.to('out.{shop}.{buyer.nick}');
  // says: Type '"sometimes"' is not assignable to type 'SinkMode | undefined'
  orders.to('out.{shop}', { mode: 'sometimes' });
});
