/** Nexmark q2: bids on every 123rd auction. */
import { ndjson, pipeline } from 'millrace';
import type { Bid } from './events.ts';

/** Rows go out in frames on subjects of each task's own, or one a message on a subject shared by all. */
function build(shape: 'framed' | 'single') {
  return pipeline('q2', ({ from }) => {
    const rows = from<Bid>('nexmark.bid', { format: ndjson(), time: 'dateTime' })
      .filter(bid => bid.auction % 123 === 0)
      .map(({ auction, price, dateTime }) => ({ auction, price, dateTime }));
    if (shape === 'framed') rows.to('bench.q2.{partition}');
    else rows.to('bench.q2.all');
  });
}

export const single = build('single');
export default build('framed');
