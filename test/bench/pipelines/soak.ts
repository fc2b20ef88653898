/** The soak's pipeline: all that state can be made of, and all of it expires. Devices come, are read for a minute, and go. */
import { count, ndjson, pipeline, sum, tumbling } from 'millrace';

interface Reading {
  readonly id: string;
  readonly device: string;
  readonly value: number;
  /** Event time, ms since 1970. */
  readonly at: number;
}

interface Opening {
  readonly device: string;
  readonly site: string;
  readonly at: number;
}

export default pipeline('soak', ({ from }) => {
  const options = { format: ndjson(), time: 'at', maxOutOfOrder: '5s' } as const;
  const openings = from<Opening>('soak.opening', options).keyBy('device');
  const readings = from<Reading>('soak.reading', options)
    .dedupe({ id: reading => reading.id, within: '20s' })
    .keyBy('device');
  readings
    .window(tumbling('10s'))
    .aggregate({ count: count(), total: sum(reading => reading.value) })
    .to('soak.totals.{partition}');
  readings.join(openings, { within: '10s' }, ({ id }, { site }) => ({ id, site })).to('soak.sites.{partition}');
});
