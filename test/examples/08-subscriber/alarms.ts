/** Readings in, alarms out: something to subscribe to. */
import { pipeline } from 'millrace';

type Reading = { sensor: string; celsius: number; at: string };

export default pipeline('alarms', ({ from }) => {
  from<Reading>('plant.reading', { time: 'at', capture: true })
    .filter(reading => reading.celsius > 80)
    .keyBy('sensor')
    .to('plant.alarm.{partition}');
});
