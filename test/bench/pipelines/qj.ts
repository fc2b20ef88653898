/** The join query: bids with their auction, at most ten seconds apart. */
import { ndjson, pipeline } from 'millrace';
import { type Auction, type Bid, toBid } from './events.ts';

/** Rows go out in frames on subjects of each task's own, or one a message on a subject shared by all. */
function build(shape: 'framed' | 'single') {
  return pipeline('qj', ({ from }) => {
    const bids = from<Bid>('nexmark.bid', { format: ndjson(), time: 'dateTime' }).map(toBid).keyBy('auction');
    const auctions = from<Auction>('nexmark.auction', { format: ndjson(), time: 'dateTime' })
      .map(({ id, seller, category }) => ({ id, seller, category }))
      .keyBy('id');
    const rows = bids.join(auctions, { within: '10s' }, (bid, { seller, category }) => ({ seller, category, ...bid }));
    if (shape === 'framed') rows.to('bench.qj.{partition}');
    else rows.to('bench.qj.all');
  });
}

export const single = build('single');
export default build('framed');
