/**
 * What the services of the demo say: every flight as events of two services that know nothing of each other, in the
 * order in which they were sent. Owns the events' shapes as they travel, their faults and their disorder.
 *
 *   planning    `planning.flight.scheduled`: hours before departure, event time = scheduled departure
 *   operations  `operations.flight.departed`: at the moment of departure, event time = the scheduled departure that it
 *               ends. The delays are real, so the disorder is: what left six hours late comes six hours out of order.
 *               Two versions live side by side: 1 has other field names, the delay as text and a clock that
 *               knows only every fifth minute; 2 is today's.
 *   both        a heartbeat every ten minutes: an event with nothing but a time, so that windows close when traffic ends
 *
 * Faults, all decided by the flight's row alone: 2 % of flights and those more than six hours late never leave;
 * one of 997 leaves without ever having been planned; 5 % of the events are sent twice; one of 10,000 cannot be read.
 */
import { chance } from '../rig/chance.ts';
import type { Flight } from './flights.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const HEARTBEAT_MS = 10 * MINUTE_MS;
const LEAD_MIN_MS = 2 * HOUR_MS;
const LEAD_MAX_MS = 8 * HOUR_MS;
const COPY_AFTER_MAX_MS = 20 * MINUTE_MS;
/** Outside of this the flight counts as cancelled; the few departures that are hours early are faults of the data. */
const DELAY_MIN_MINUTES = -90;
const DELAY_MAX_MINUTES = 360;
const UNREADABLE_ONE_OF = 10_000;

/**
 * How far out of order a service's events may be. Over all 3,000,000 flights the most is 7 h 59 min for planning (its
 * heartbeats say now, its plans up to 8 h ahead) and 7 h 03 min for operations, so that nothing is late.
 */
export const PLANNING_DISORDER_MAX_MS = 9 * HOUR_MS;
export const OPERATIONS_DISORDER_MAX_MS = 8 * HOUR_MS;

/** The services' clocks for one departure differ by less than this. */
export const CLOCKS_DIFFER_MAX_MS = 5 * MINUTE_MS;

/** One message as a service sends it. */
export interface Told {
  readonly subject: string;
  /** JSON, except where it is unreadable on purpose. */
  readonly body: string;
  /** Simulated moment of sending, ms since 1970. The list is sorted by it. */
  readonly sentMs: number;
  /** Event time in ms, or null when nobody can read it. */
  readonly timeMs: number | null;
  readonly fault: 'none' | 'copy' | 'unreadable';
}

const SCHEDULED = 'planning.flight.scheduled';
const DEPARTED = 'operations.flight.departed';
/** The subjects that the services' own streams keep. */
export const PLANNING = 'planning.>';
export const OPERATIONS = 'operations.>';

/** Everything both services say about these flights, in the order of sending. */
export function tellFlights(flights: readonly Flight[]): Told[] {
  const told: Told[] = [];
  for (const flight of flights) {
    if (flight.row % 997 !== 5) tell(told, scheduled(flight), flight.row * 2);
    const departure = departed(flight);
    if (departure) tell(told, departure, flight.row * 2 + 1);
  }
  const sentFirst = told.reduce((least, event) => Math.min(least, event.sentMs), Number.POSITIVE_INFINITY);
  const timeLast = told.reduce((most, event) => Math.max(most, event.timeMs ?? 0), 0);
  tellHeartbeats(told, sentFirst, timeLast);
  return told.sort((left, right) => left.sentMs - right.sentMs);
}

/**
 * The largest disorder per service: how far an event's time lay behind the latest one that its service had sent before.
 */
export function disorderOf(told: readonly Told[]): { planningMs: number; operationsMs: number } {
  const planning = { latestMs: 0, mostMs: 0 };
  const operations = { latestMs: 0, mostMs: 0 };
  for (const { subject, timeMs } of told) {
    if (timeMs === null) continue;
    const service = subject.startsWith('planning.') ? planning : operations;
    service.latestMs = Math.max(service.latestMs, timeMs);
    service.mostMs = Math.max(service.mostMs, service.latestMs - timeMs);
  }
  return { planningMs: planning.mostMs, operationsMs: operations.mostMs };
}

function scheduled(flight: Flight): Told {
  const lead = LEAD_MIN_MS + chance(flight.row, 1) * (LEAD_MAX_MS - LEAD_MIN_MS);
  const body = JSON.stringify({
    type: 'scheduled',
    eventId: `p-${flight.row}`,
    flight: flight.id,
    origin: flight.origin,
    destination: flight.destination,
    departsAt: new Date(flight.departsMs).toISOString(),
  });
  const sentMs = Math.floor(flight.departsMs - lead);
  return { subject: SCHEDULED, body, sentMs, timeMs: flight.departsMs, fault: 'none' };
}

/** Null: this flight never leaves. */
function departed(flight: Flight): Told | null {
  const { delayMinutes } = flight;
  if (delayMinutes < DELAY_MIN_MINUTES || delayMinutes > DELAY_MAX_MINUTES || chance(flight.row, 2) < 0.02) return null;
  const sentMs = flight.departsMs + delayMinutes * MINUTE_MS;
  if (chance(flight.row, 3) < 0.4) {
    const timeMs = flight.departsMs - (flight.departsMs % CLOCKS_DIFFER_MAX_MS);
    const body = JSON.stringify({
      type: 'departed',
      version: 1,
      msg_id: `o-${flight.row}`,
      flight_no: flight.id,
      sched: new Date(timeMs).toISOString().slice(0, 16).replace('T', ' '),
      delay_min: String(delayMinutes),
    });
    return { subject: DEPARTED, body, sentMs, timeMs, fault: 'none' };
  }
  const body = JSON.stringify({
    type: 'departed',
    version: 2,
    eventId: `o-${flight.row}`,
    flight: flight.id,
    departsAt: new Date(flight.departsMs).toISOString(),
    delayMinutes,
  });
  return { subject: DEPARTED, body, sentMs, timeMs: flight.departsMs, fault: 'none' };
}

/** Adds the event and what goes wrong with it. */
function tell(told: Told[], event: Told, seed: number): void {
  told.push(event);
  if (chance(seed, 4) < 0.05) {
    const laterMs = Math.ceil(chance(seed, 5) * COPY_AFTER_MAX_MS);
    told.push({ ...event, sentMs: event.sentMs + laterMs, fault: 'copy' });
  }
  if (seed % UNREADABLE_ONE_OF === 100) told.push(unreadable(event, Math.floor(seed / UNREADABLE_ONE_OF)));
}

/** A broken copy: cut off, without its flight, with a delay that is no number, or no JSON at all. */
function unreadable(event: Told, nth: number): Told {
  const bodies = [
    event.body.slice(0, 40),
    '{"type":"departed","version":2,"eventId":"broken"}',
    '{"type":"departed","version":1,"msg_id":"broken","flight_no":"X","sched":"2001-01-01 00:00","delay_min":"late"}',
    'OPS OFFLINE',
  ];
  return { ...event, body: bodies[nth % bodies.length]!, timeMs: null, fault: 'unreadable' };
}

/** Until well after everything that could still wait for an event has closed. */
function tellHeartbeats(told: Told[], fromMs: number, timeLastMs: number): void {
  const disorderMs = Math.max(PLANNING_DISORDER_MAX_MS, OPERATIONS_DISORDER_MAX_MS);
  const untilMs = timeLastMs + disorderMs + 3 * HOUR_MS;
  for (let timeMs = Math.ceil(fromMs / HEARTBEAT_MS) * HEARTBEAT_MS; timeMs <= untilMs; timeMs += HEARTBEAT_MS) {
    const body = JSON.stringify({ type: 'heartbeat', at: new Date(timeMs).toISOString() });
    told.push({ subject: 'planning.heartbeat', body, sentMs: timeMs, timeMs, fault: 'none' });
    told.push({ subject: 'operations.heartbeat', body, sentMs: timeMs, timeMs, fault: 'none' });
  }
}
