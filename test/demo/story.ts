/**
 * What the demo shows beside its counts: the lines of its pipeline that matter, one flight as it was told and as it came
 * out, and one event that is told too late and becomes a letter.
 */
import { readFileSync } from 'node:fs';
import type { NatsConnection } from 'nats';
import type { Told } from './services.ts';

const LATE = 'millrace.flights.late.>';
const POLL_MS = 50;
const LATE_MAX_MS = 20_000;

/** From the join to the last output. */
export function excerpt(): string {
  const lines = readFileSync(new URL('pipeline.ts', import.meta.url), 'utf8').split('\n');
  const from = lines.findIndex(line => line.includes('const flights = scheduled'));
  const to = lines.findIndex((line, i) => i > from && line.startsWith('  },'));
  return ['what runs, from test/demo/pipeline.ts:', ...lines.slice(from, to).map(line => line.slice(2))].join('\n');
}

/** A flight that the old system told of, too: its name and what both services said. */
export function exampleOf(told: readonly Told[]): { readonly flight: string; readonly events: readonly Told[] } | null {
  const old = told.find(({ body, fault }) => fault === 'none' && body.includes('"version":1'));
  if (old === undefined) return null;
  const flight = String((JSON.parse(old.body) as { flight_no: unknown }).flight_no);
  const isOf = ({ body, fault }: Told) => fault !== 'unreadable' && body.includes(`"${flight}"`);
  return { flight, events: told.filter(isOf) };
}

/** A departure of the first day that nobody has heard of before. */
export function lateEvent(told: readonly Told[]): Told {
  const first = told.find(({ body }) => body.includes('"version":2'))!;
  const said = JSON.parse(first.body) as Record<string, unknown>;
  return { ...first, body: JSON.stringify({ ...said, eventId: 'o-late', delayMinutes: 0 }) };
}

/** Publishes it and waits for what becomes of it. Returns what there is to show. */
export async function tellLate(connection: NatsConnection, event: Told): Promise<string> {
  await connection.jetstream().publish(event.subject, event.body);
  const manager = await connection.jetstreamManager();
  const untilMs = performance.now() + LATE_MAX_MS;
  const lines = ['an event that is told when its day is over:', `  in      ${event.subject}  ${event.body}`];
  while (performance.now() < untilMs) {
    for await (const stream of manager.streams.names(LATE)) {
      // Not found for as long as it has not come.
      const letter = await manager.streams.getMessage(stream, { last_by_subj: LATE }).catch(() => null);
      if (letter === null) break;
      const hours = Math.round(Number(letter.header.get('Millrace-Late-By')) / 3_600_000);
      return [...lines, `  letter  ${letter.subject}  ${hours} hours late, kept with its content`].join('\n');
    }
    await new Promise(resolve => setTimeout(resolve, POLL_MS));
  }
  return [...lines, '  nothing has become of it'].join('\n');
}
