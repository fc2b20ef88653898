/** Events with an id, each let through once a day: state that grows with every new id. */
import { ndjson, pipeline } from 'millrace';

interface Keyed {
  readonly id: string;
  /** Event time, ms since 1970. */
  readonly at: number;
}

export default pipeline('keys', ({ from }) => {
  from<Keyed>('keys.event', { format: ndjson(), time: 'at' })
    .dedupe({ id: event => event.id, within: '1d' })
    .to('keys.seen.{partition}');
});
