/**
 * Deduplication across services. The shop announces its orders itself, and the old system's bridge announces the same
 * ones again, in its own words and a little later. Each order is taken once, whoever was first to tell.
 */
import { pipeline } from 'millrace';

type ShopOrder = { id: string; total: number; at: string };
type BridgeOrder = { ORDER_NO: string; AMOUNT: string; CREATED: string };

export default pipeline('orders', ({ from }) => {
  const options = { maxOutOfOrder: '5m', capture: true } as const;
  const shop = from<ShopOrder>('shop.order.placed', { time: 'at', ...options });
  const bridge = from<BridgeOrder>('bridge.order', { time: 'CREATED', ...options });
  shop
    .map(({ id, total }) => ({ order: id, total, by: 'shop' }))
    .merge(bridge.map(old => ({ order: old.ORDER_NO, total: Number(old.AMOUNT), by: 'bridge' })))
    .dedupe({ id: order => order.order, within: '1d' })
    .keyBy('order')
    .to('orders.accepted.{partition}');
});
