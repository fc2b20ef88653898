/**
 * What the compiler accepts and refuses. The proof is `tsc`: each `@ts-expect-error` is an error if nothing is wrong
 * there. At run time the pipelines are only described.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  avg,
  count,
  hopping,
  type KeyedStream,
  max,
  pipeline,
  type Stream,
  session,
  sum,
  tumbling,
  versions,
} from 'millrace';
import { z } from 'zod';

/** Holds only if both types are the same. */
type Same<A, B> = (<X>() => X extends A ? 1 : 2) extends <X>() => X extends B ? 1 : 2 ? true : false;
function same<A, B>(holds: Same<A, B>): void {
  assert.equal(holds, true);
}

/** Only compiled: what is refused may also fail. */
function refused(_code: () => void): void {}

type ValueOf<S> = S extends Stream<infer T> ? T : S extends KeyedStream<unknown, infer T, unknown> ? T : never;
type KeyOf<S> = S extends KeyedStream<infer K, unknown, unknown> ? K : never;

interface Order {
  readonly id: string;
  readonly shop: 'north' | 'south';
  readonly amount: number;
  readonly at: string;
  readonly buyer: { readonly name: string; readonly age: number | null };
  readonly lines: readonly { readonly sku: string }[];
  readonly note?: string;
}

interface Payment {
  readonly order: string;
  readonly shop: string;
  readonly cents: number;
  readonly number: number;
}

const Site = z.object({ city: z.string() });

describe('what sources carry', () => {
  test('is what the schema gives, or the versions lead to, or the author says', () => {
    pipeline('types', ({ from, table }) => {
      const V1 = z.object({ at: z.number(), price: z.string() });
      const V2 = z.object({ at: z.number(), price: z.number() });
      const evolved = from('a', {
        schema: versions(V2).from(V1, old => ({ at: old.at, price: Number(old.price) })),
        time: e => e.at,
      });
      same<ValueOf<typeof evolved>, { at: number; price: number }>(true);
      const plain = from('b', { schema: z.object({ at: z.string() }), time: 'at', maxOutOfOrder: '30s' });
      same<ValueOf<typeof plain>, { at: string }>(true);
      const untyped = from('c');
      same<ValueOf<typeof untyped>, unknown>(true);
      const told = from<Order>('d', { time: order => order.at });
      same<ValueOf<typeof told>, Order>(true);
      table('sites', { schema: Site });

      refused(() => {
        // @ts-expect-error there is no field 'when'
        from<Order>('e', { time: 'when' });
        // @ts-expect-error 'lines' is no time
        from<Order>('e', { time: 'lines' });
        // @ts-expect-error there is no field 'when'
        from('e', { schema: V2, time: e => e.when });
        // @ts-expect-error an old version must be brought to all of the latest
        versions(V2).from(V1, old => ({ at: old.at }));
      });
    });
  });
});

describe('streams without a key', () => {
  test('carry what functions return', () => {
    pipeline('types', ({ from }) => {
      const orders = from<Order>('orders');
      const amounts = orders.map(order => order.amount);
      same<ValueOf<typeof amounts>, number>(true);
      const skus = orders.flatMap(order => order.lines);
      same<ValueOf<typeof skus>, { readonly sku: string }>(true);
      const noted = orders.filter((order): order is Order & { note: string } => order.note !== undefined);
      same<ValueOf<typeof noted>, Order & { note: string }>(true);
      const site = from('sites').evolve(Site);
      same<ValueOf<typeof site>, { city: string }>(true);
      const both = orders.merge(from<Payment>('payments'));
      same<ValueOf<typeof both>, Order | Payment>(true);
      const { order, rest } = both.branch({ order: (event): event is Order => 'amount' in event });
      same<ValueOf<typeof order>, Order>(true);
      same<ValueOf<typeof rest>, Payment>(true);
      const { large, rest: small } = orders.branch({ large: order => order.amount > 100 });
      same<ValueOf<typeof large>, Order>(true);
      same<ValueOf<typeof small>, Order>(true);

      refused(() => {
        // @ts-expect-error there is no field 'amuont'
        orders.map(order => order.amuont);
        // @ts-expect-error a stream without a key cannot be joined
        orders.join(orders.keyBy('id'), { within: '1h' }, left => left);
        // @ts-expect-error a stream without a key has no windows
        orders.window(tumbling('1h'));
        // @ts-expect-error an id is needed
        orders.dedupe({ within: '1h' });
        // @ts-expect-error there is no such branch
        orders.branch({ big: order => order.amount > 100 }).small;
      });
    });
  });
});

describe('keys', () => {
  test('are a field, several, or what a function returns', () => {
    pipeline('types', ({ from }) => {
      const orders = from<Order>('orders');
      same<KeyOf<ReturnType<typeof byShop>>, string>(true);
      function byShop() {
        return orders.keyBy('shop');
      }
      const pair = orders.keyBy('shop', 'amount');
      same<KeyOf<typeof pair>, readonly [string, number]>(true);
      const named = orders.keyBy('shop', 'amount', { name: 'pairs' });
      same<KeyOf<typeof named>, readonly [string, number]>(true);
      const hour = orders.keyBy(order => order.amount, { name: 'amounts' });
      same<KeyOf<typeof hour>, number>(true);
      const tuple = orders.keyBy(order => [order.shop, order.buyer.age]);
      same<KeyOf<typeof tuple>, readonly [string, number]>(true);
      same<ValueOf<typeof pair>, Order>(true);

      refused(() => {
        // @ts-expect-error there is no field 'shopp'
        orders.keyBy('shopp');
        // @ts-expect-error an object cannot be a key
        orders.keyBy('buyer');
        // @ts-expect-error an object cannot be a key
        orders.keyBy(order => order.buyer);
        // @ts-expect-error the second one is no field
        orders.keyBy('shop', 'amuont');
      });
    });
  });

  test('must be of one type on both sides of a join, whatever their values', () => {
    pipeline('types', ({ from, table }) => {
      const orders = from<Order>('orders');
      const payments = from<Payment>('payments');
      const sites = table('sites', { schema: Site });
      const paid = orders
        .keyBy('id')
        .leftJoin(payments.keyBy('order'), { within: { after: '2h' } }, (order, payment) => ({
          id: order.id,
          cents: payment?.cents ?? null,
        }));
      same<ValueOf<typeof paid>, { id: string; cents: number | null }>(true);
      orders
        .keyBy('shop')
        .join(payments.keyBy('shop'), { within: '1h' }, (order, payment) => payment.cents + order.amount);
      const placed = orders.keyBy('shop').join(sites, (order, site) => ({ ...order, city: site.city }));
      same<ValueOf<typeof placed>['city'], string>(true);
      orders.keyBy('shop').semiJoin(payments.keyBy('shop'), { within: '1h' });
      orders.keyBy('shop').outerJoin(payments.keyBy('shop'), { within: '1h' }, (order, payment) => order ?? payment);

      refused(() => {
        // @ts-expect-error text and number are never the same key
        orders.keyBy('id').join(payments.keyBy('number'), { within: '1h' }, left => left);
        // @ts-expect-error one text and two texts are never the same key
        orders.keyBy('id').semiJoin(payments.keyBy('order', 'shop'), { within: '1h' });
        // @ts-expect-error the keys of a bucket are texts
        orders.keyBy('amount').join(sites, left => left);
        // @ts-expect-error the partner may be missing
        orders.keyBy('id').leftJoin(payments.keyBy('order'), { within: '1h' }, (_order, payment) => payment.cents);
        // @ts-expect-error the other side has no key
        orders.keyBy('id').join(payments, { within: '1h' }, left => left);
        // @ts-expect-error a join of streams needs to know how far apart
        orders.keyBy('id').join(payments.keyBy('order'), {}, left => left);
        // @ts-expect-error a table is joined without a time
        orders.keyBy('id').join(sites, { within: '1h' }, left => left);
        // @ts-expect-error merged streams share their key
        orders.keyBy('id').merge(payments.keyBy('number'));
      });
    });
  });
});

describe('windows', () => {
  test('give rows of the key, the window and the results', () => {
    pipeline('types', ({ from }) => {
      const orders = from<Order>('orders');
      const hourly = orders
        .keyBy('shop')
        .window(tumbling('1h'), { grace: '1m' })
        .aggregate({ orders: count(), amount: sum(order => order.amount), mean: avg(order => order.amount) });
      type Hourly = {
        shop: 'north' | 'south';
        start: number;
        end: number;
        orders: number;
        amount: number;
        mean: number;
      };
      same<ValueOf<typeof hourly>, Hourly>(true);
      const pairs = orders
        .keyBy('shop', 'id')
        .window(hopping({ size: '1h', advance: '10m' }), { emit: 'updates' })
        .aggregate({ most: max(order => order.amount) });
      type Pairs = { shop: 'north' | 'south'; id: string; start: number; end: number; most: number; final: boolean };
      same<ValueOf<typeof pairs>, Pairs>(true);
      const visits = orders
        .keyBy(order => order.buyer.name)
        .window(session('30m'))
        .aggregate({ n: count() });
      same<ValueOf<typeof visits>, { key: string; start: number; end: number; n: number }>(true);

      const windows = orders.keyBy('shop').window(tumbling('1h'));
      refused(() => {
        // @ts-expect-error there is no field 'amuont'
        windows.aggregate({ amount: sum(order => order.amuont) });
        // @ts-expect-error a text cannot be summed
        windows.aggregate({ amount: sum(order => order.id) });
        // @ts-expect-error rows have what was computed, and no more
        hourly.map(row => row.total);
      });
    });
  });
});

describe('subjects', () => {
  test('are made of fields that the records have', () => {
    pipeline('types', ({ from }) => {
      const orders = from<Order>('orders');
      orders.to('out.{shop}');
      orders.to('out.{shop}.{buyer.name}.{buyer.age}');
      orders.to('out.{partition}');
      orders.keyBy('id').to('out.{key}', { mode: 'shared' });
      orders.to(`out.${String(Math.PI)}`);
      from('anything').to('out.{whatever}');

      refused(() => {
        // @ts-expect-error the records have no text or number 'shopp' to put into the subject
        orders.to('out.{shopp}');
        // @ts-expect-error the records have no text or number 'buyer' to put into the subject
        orders.to('out.{buyer}');
        // @ts-expect-error the records have no text or number 'buyer.nick' to put into the subject
        orders.to('out.{shop}.{buyer.nick}');
        // @ts-expect-error there is no such mode
        orders.to('out.{shop}', { mode: 'sometimes' });
      });
    });
  });
});

describe('process', () => {
  test('has state, output and key of the types that were said', () => {
    pipeline('types', ({ from }) => {
      const seen = from<Order>('orders')
        .keyBy('shop')
        .process<{ count: number }, { shop: string; count: number }>({
          onRecord(_order, context) {
            const count = (context.state?.count ?? 0) + 1;
            context.state = { count };
            context.emit({ shop: context.key, count });
            // @ts-expect-error the output was said to have a count
            context.emit({ shop: context.key });
          },
        });
      same<ValueOf<typeof seen>, { shop: string; count: number }>(true);
    });
  });
});
