/** Nexmark q11: bids per bidder in sessions that end with a pause of more than ten seconds. */
import { count, max, min, ndjson, pipeline, session } from 'millrace';
import type { Bid } from './events.ts';

/** Rows go out in frames on subjects of each task's own, or one a message on a subject shared by all. */
function build(shape: 'framed' | 'single') {
  return pipeline('q11', ({ from }) => {
    const rows = from<Bid>('nexmark.bid', { format: ndjson(), time: 'dateTime' })
      .map(({ bidder, dateTime }) => ({ bidder, dateTime }))
      .keyBy('bidder')
      .window(session('10s'))
      .aggregate({ count: count(), first: min(bid => bid.dateTime), last: max(bid => bid.dateTime) })
      .map(({ bidder, count, first, last }) => ({ bidder, start: first, end: last, count }));
    if (shape === 'framed') rows.to('bench.q11.{partition}');
    else rows.to('bench.q11.all');
  });
}

export const single = build('single');
export default build('framed');
