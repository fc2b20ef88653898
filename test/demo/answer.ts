/**
 * The batch answer to the demo's pipeline: what a nightly job would compute from the same events as tables. Every
 * record of every output, as text that can be compared. Shares no code with Millrace on purpose.
 */
import type { Airport } from './flights.ts';
import type { Told } from './services.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
/** The join's window, inclusive: a departure may be this much before or after the plan's time. */
const TOLERANCE_MS = 10 * MINUTE_MS;

/** Every record that must come out, once for each time it must, and what must not. */
export interface Answer {
  /** Events of each kind, without copies. */
  readonly events: { readonly plans: number; readonly departures: number; readonly heartbeats: number };
  readonly departures: string[];
  readonly cancelled: string[];
  readonly delays: string[];
  /** Events that nobody can read. */
  readonly deadLetters: number;
  /** Copies that must vanish. */
  readonly duplicates: number;
}

export interface DepartureRow {
  readonly flight: string;
  readonly origin: string;
  readonly city: string;
  readonly destination: string;
  readonly departsAt: string;
  /** Minutes, negative when early; null: it never left. */
  readonly delay: number | null;
}

export interface DelayRow {
  readonly airport: string;
  /** Start of the hour. */
  readonly hourMs: number;
  readonly flights: number;
  readonly delayMean: number;
  readonly delayMax: number;
}

/** The text by which a row is compared; whatever else a record carries is left out. */
export function departureText(row: DepartureRow): string {
  return [row.flight, row.origin, row.city, row.destination, row.departsAt, row.delay ?? 'never'].join(' | ');
}

export function delayText(row: DelayRow): string {
  return [row.airport, row.hourMs, row.flights, row.delayMean, row.delayMax].join(' | ');
}

interface Plan {
  readonly id: string;
  readonly flight: string;
  readonly origin: string;
  readonly destination: string;
  readonly departsAt: string;
  readonly timeMs: number;
}

interface Departure {
  readonly id: string;
  readonly flight: string;
  readonly delay: number;
  readonly timeMs: number;
}

export function answerOf(told: readonly Told[], airports: readonly Airport[]): Answer {
  const plans: Plan[] = [];
  const departures: Departure[] = [];
  let deadLetters = 0;
  let heartbeats = 0;
  for (const { subject, body } of told) {
    const isHeartbeat = subject.endsWith('.heartbeat');
    const fact = isHeartbeat ? null : factOf(body);
    if (isHeartbeat) heartbeats++;
    else if (fact === null) deadLetters++;
    else if ('delay' in fact) departures.push(fact);
    else plans.push(fact);
  }
  const plansOnce = withoutCopies(plans);
  const departuresOnce = withoutCopies(departures);
  const rows = joinRows({ plans: plansOnce, departures: departuresOnce, airports });
  const cancelled = rows.filter(({ row }) => row.delay === null);
  return {
    events: { plans: plansOnce.length, departures: departuresOnce.length, heartbeats },
    departures: rows.map(({ row }) => departureText(row)),
    cancelled: cancelled.map(({ row }) => departureText(row)),
    delays: delaysOf(rows).map(delayText),
    deadLetters,
    duplicates: plans.length + departures.length - plansOnce.length - departuresOnce.length,
  };
}

/** What a body says, whichever version it is of; null when it cannot be read. */
function factOf(body: string): Plan | Departure | null {
  let said: Record<string, unknown>;
  try {
    said = JSON.parse(body);
  } catch {
    return null;
  }
  const { type, version } = said;
  if (type === 'departed' && version === 1) {
    const delay = Number(said.delay_min);
    if (Number.isNaN(delay)) return null;
    const timeMs = Date.parse(`${String(said.sched).replace(' ', 'T')}:00Z`);
    return { id: String(said.msg_id), flight: String(said.flight_no), delay, timeMs };
  }
  const { eventId, flight, departsAt } = said;
  if (typeof eventId !== 'string' || typeof flight !== 'string' || typeof departsAt !== 'string') return null;
  const timeMs = Date.parse(departsAt);
  if (type === 'departed') return { id: eventId, flight, delay: Number(said.delayMinutes), timeMs };
  const { origin, destination } = said;
  if (typeof origin !== 'string' || typeof destination !== 'string') return null;
  return { id: eventId, flight, origin, destination, departsAt, timeMs };
}

/** The first of each id within a day. */
function withoutCopies<T extends { readonly id: string; readonly timeMs: number }>(facts: readonly T[]): T[] {
  const accepted = new Map<string, number[]>();
  return facts.filter(({ id, timeMs }) => {
    const times = accepted.get(id) ?? [];
    if (times.some(time => Math.abs(time - timeMs) <= DAY_MS)) return false;
    accepted.set(id, [...times, timeMs]);
    return true;
  });
}

/** Every plan with its departures, or alone where there is none; then with the city of its origin. */
function joinRows(tables: {
  plans: readonly Plan[];
  departures: readonly Departure[];
  airports: readonly Airport[];
}): { row: DepartureRow; timeMs: number }[] {
  const cities = new Map(tables.airports.map(airport => [airport.iata, airport.city]));
  const departuresOf = new Map<string, Departure[]>();
  for (const departure of tables.departures) {
    const same = departuresOf.get(departure.flight);
    if (same) same.push(departure);
    else departuresOf.set(departure.flight, [departure]);
  }
  const rows: { row: DepartureRow; timeMs: number }[] = [];
  for (const { flight, origin, destination, departsAt, timeMs } of tables.plans) {
    const city = cities.get(origin);
    if (city === undefined) continue;
    const row = { flight, origin, city, destination, departsAt };
    const matches = (departuresOf.get(flight) ?? []).filter(
      departure => Math.abs(departure.timeMs - timeMs) <= TOLERANCE_MS,
    );
    if (matches.length === 0) rows.push({ row: { ...row, delay: null }, timeMs });
    for (const match of matches)
      rows.push({ row: { ...row, delay: match.delay }, timeMs: Math.max(timeMs, match.timeMs) });
  }
  return rows;
}

/** Flights that left, how late on average and at worst, per airport and hour. */
function delaysOf(rows: readonly { row: DepartureRow; timeMs: number }[]): DelayRow[] {
  const groups = new Map<string, { airport: string; hourMs: number; delays: number[] }>();
  for (const { row, timeMs } of rows) {
    if (row.delay === null) continue;
    const hourMs = Math.floor(timeMs / HOUR_MS) * HOUR_MS;
    const name = `${row.origin} ${hourMs}`;
    const group = groups.get(name);
    if (group) group.delays.push(row.delay);
    else groups.set(name, { airport: row.origin, hourMs, delays: [row.delay] });
  }
  return [...groups.values()].map(({ airport, hourMs, delays }) => ({
    airport,
    hourMs,
    flights: delays.length,
    delayMean: delays.reduce((sum, delay) => sum + delay, 0) / delays.length,
    delayMax: Math.max(...delays),
  }));
}
