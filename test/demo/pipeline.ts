/**
 * The demo's pipeline: what a nightly job would do, while it happens. Two services' events are read in all their
 * versions, freed of copies, joined into one row per flight, completed with the airport's city, and summed up per
 * airport and hour. `answer.ts` says the same as a computation over tables.
 */
import { avg, count, max, pipeline, tumbling, versions } from 'millrace';
import * as z from 'zod';
import { OPERATIONS, OPERATIONS_DISORDER_MAX_MS, PLANNING, PLANNING_DISORDER_MAX_MS } from './services.ts';

const Heartbeat = z.object({ type: z.literal('heartbeat'), at: z.iso.datetime() });

const Scheduled = z.object({
  type: z.literal('scheduled'),
  eventId: z.string(),
  flight: z.string(),
  origin: z.string(),
  destination: z.string(),
  departsAt: z.iso.datetime(),
});

const Departed = z.object({
  type: z.literal('departed'),
  version: z.literal(2),
  eventId: z.string(),
  flight: z.string(),
  departsAt: z.iso.datetime(),
  delayMinutes: z.number(),
  /** When the service sent it, ms since 1970; only to measure how long the answer takes. */
  sentAt: z.number().optional(),
});

/** What the old system still says: other names, local time without a zone, a number as text. */
const DepartedOld = z.object({
  type: z.literal('departed'),
  version: z.literal(1),
  msg_id: z.string(),
  flight_no: z.string(),
  sched: z.string(),
  delay_min: z.string().regex(/^-?\d+$/),
  sentAt: z.number().optional(),
});

const Airport = z.object({ name: z.string(), city: z.string(), state: z.string() });

export default pipeline(
  'flights',
  ({ from, table }) => {
    const scheduled = from(PLANNING, {
      schema: z.discriminatedUnion('type', [Scheduled, Heartbeat]),
      time: event => (event.type === 'heartbeat' ? event.at : event.departsAt),
      maxOutOfOrder: PLANNING_DISORDER_MAX_MS,
    })
      .filter(event => event.type === 'scheduled')
      .dedupe({ id: event => event.eventId, within: '1d' });

    const departed = from(OPERATIONS, {
      schema: versions(z.discriminatedUnion('type', [Departed, Heartbeat])).from(DepartedOld, old => ({
        type: 'departed' as const,
        version: 2 as const,
        eventId: old.msg_id,
        flight: old.flight_no,
        departsAt: `${old.sched.replace(' ', 'T')}:00Z`,
        delayMinutes: Number(old.delay_min),
        sentAt: old.sentAt,
      })),
      time: event => (event.type === 'heartbeat' ? event.at : event.departsAt),
      maxOutOfOrder: OPERATIONS_DISORDER_MAX_MS,
    })
      .filter(event => event.type === 'departed')
      .dedupe({ id: event => event.eventId, within: '1d' });

    const flights = scheduled
      .keyBy('flight')
      .leftJoin(departed.keyBy('flight'), { within: { before: '10m', after: '10m' } }, (plan, departure) => ({
        flight: plan.flight,
        origin: plan.origin,
        destination: plan.destination,
        departsAt: plan.departsAt,
        delay: departure?.delayMinutes ?? null,
        sentAt: departure?.sentAt ?? null,
      }))
      .keyBy('origin')
      .join(table('airports', { schema: Airport }), (flight, airport) => ({ city: airport.city, ...flight }));

    flights.to('flights.departures.{partition}');
    flights.filter(flight => flight.delay === null).to('flights.cancelled.{origin}');
    flights
      .filter(flight => flight.delay !== null)
      .map(flight => ({ ...flight, delay: flight.delay ?? 0 }))
      .window(tumbling('1h'))
      .aggregate({ flights: count(), delayMean: avg(flight => flight.delay), delayMax: max(flight => flight.delay) })
      .to('flights.delays.{partition}');
  },
  { partitions: 8 },
);
