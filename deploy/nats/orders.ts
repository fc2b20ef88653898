/** What the configurations here are for: orders, each once. */
import { pipeline } from 'millrace';

interface Order {
  readonly id: string;
}

export default pipeline('orders', ({ from }) => {
  from<Order>('shop.order', { streams: ['ORDERS'] })
    .keyBy('id')
    .dedupe({ id: order => order.id, within: '1d' })
    .to('shop.unique.{id}');
});
