/** Nexmark q5: bids per auction in windows of ten seconds, one every two. */
import { count, hopping, ndjson, pipeline } from 'millrace';
import type { Bid } from './events.ts';

/** Rows go out in frames on subjects of each task's own, or one a message on a subject shared by all. */
function build(shape: 'framed' | 'single') {
  return pipeline('q5', ({ from }) => {
    const rows = from<Bid>('nexmark.bid', { format: ndjson(), time: 'dateTime' })
      .map(({ auction }) => ({ auction }))
      .keyBy('auction')
      .window(hopping({ size: '10s', advance: '2s' }))
      .aggregate({ count: count() });
    if (shape === 'framed') rows.to('bench.q5.{partition}');
    else rows.to('bench.q5.all');
  });
}

export const single = build('single');
export default build('framed');
