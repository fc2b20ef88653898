/**
 * Timers: an order that is not shipped in an hour is called after, every half an hour, and given up after the third
 * time. `process` is code of your own, with a state and named timers for each key, in event time.
 */
import { pipeline } from 'millrace';

type Event = { kind: 'placed' | 'shipped'; order: string; at: string };
type Reminder = { order: string; reminders: number; givenUp: boolean };

const MINUTE_MS = 60_000;

export default pipeline('deliveries', ({ from }) => {
  from<Event>('shop.delivery', { time: 'at', maxOutOfOrder: '1m', capture: true })
    .keyBy('order')
    .process<number, Reminder>({
      onRecord(event, context) {
        if (event.kind === 'placed') {
          context.state = 0;
          context.setTimer('remind', Date.parse(event.at) + 60 * MINUTE_MS);
        } else {
          context.state = undefined;
          context.clearTimer('remind');
        }
      },
      onTimer(_name, context, timeMs) {
        const reminders = (context.state ?? 0) + 1;
        const givenUp = reminders === 3;
        context.emit({ order: context.key, reminders, givenUp });
        context.state = givenUp ? undefined : reminders;
        if (!givenUp) context.setTimer('remind', timeMs + 30 * MINUTE_MS);
      },
    })
    .to('shop.reminders.{partition}');
});
