/** The dedupe query: bids of which every fifth was sent twice, each once. */
import { ndjson, pipeline } from 'millrace';
import { type Bid, toBid } from './events.ts';

/** Rows go out in frames on subjects of each task's own, or one a message on a subject shared by all. */
function build(shape: 'framed' | 'single') {
  return pipeline('qd', ({ from }) => {
    const rows = from<Bid>('nexmark.bid', { format: ndjson(), time: 'dateTime' })
      .map(toBid)
      .dedupe({ id: bid => `${bid.auction} ${bid.bidder} ${bid.price} ${bid.dateTime}`, within: '10s' })
      .keyBy('auction');
    if (shape === 'framed') rows.to('bench.qd.{partition}');
    else rows.to('bench.qd.all');
  });
}

export const single = build('single');
export default build('framed');
