/** Nexmark q0: every bid as it is, but for the fields that nobody asked for. */
import { ndjson, pipeline } from 'millrace';
import { type Bid, toBid } from './events.ts';

/** Rows go out in frames on subjects of each task's own, or one a message on a subject shared by all. */
function build(shape: 'framed' | 'single') {
  return pipeline('q0', ({ from }) => {
    const rows = from<Bid>('nexmark.bid', { format: ndjson(), time: 'dateTime' }).map(toBid);
    if (shape === 'framed') rows.to('bench.q0.{partition}');
    else rows.to('bench.q0.all');
  });
}

export const single = build('single');
export default build('framed');
