/**
 * The demo's real data: US flights of 2001 and the airports they fly between, from the npm package `vega-datasets`.
 * Owns reading the files; what services make of a flight is told in `services.ts`.
 *
 * A row gives the scheduled departure, in local time and read here as if it were UTC, and a delay in minutes.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';

/** 1 January to 30 June 2001. */
export const FLIGHTS_MAX = 3_000_000;

export interface Flight {
  /** Unique, made of the route and the row: `LAS-PHL-0`. */
  readonly id: string;
  readonly origin: string;
  readonly destination: string;
  /** Scheduled departure, ms since 1970. */
  readonly departsMs: number;
  /** Negative: early. */
  readonly delayMinutes: number;
  /** Position in the file; seeds whatever is decided about this flight. */
  readonly row: number;
}

export interface Airport {
  /** IATA code, the key. */
  readonly iata: string;
  readonly name: string;
  readonly city: string;
  readonly state: string;
}

const dataFolder = join(dirname(createRequire(import.meta.url).resolve('vega-datasets')), '..', 'data');

/** The first `count` flights in order of scheduled departure. Throws RangeError beyond `FLIGHTS_MAX`. */
export async function readFlights(count: number): Promise<Flight[]> {
  if (!Number.isInteger(count) || count < 1 || count > FLIGHTS_MAX)
    throw new RangeError(`the number of flights must be 1 to ${FLIGHTS_MAX}, not ${count}`);
  const file = await asyncBufferFromFile(join(dataFolder, 'flights-3m.parquet'));
  const rows = await parquetReadObjects({ file, compressors, rowStart: 0, rowEnd: count });
  return rows.map((cells, row) => {
    const { date, delay, origin, destination } = cells;
    if (!(date instanceof Date) || typeof origin !== 'string' || typeof destination !== 'string')
      throw new Error(`row ${row} of the flights is not as expected`);
    const id = `${origin}-${destination}-${row}`;
    return { id, origin, destination, departsMs: date.getTime(), delayMinutes: Number(delay), row };
  });
}

/** All airports of the file that have a plain IATA code. */
export function readAirports(): Airport[] {
  const lines = readFileSync(join(dataFolder, 'airports.csv'), 'utf8').split('\n').slice(1);
  const airports: Airport[] = [];
  for (const line of lines) {
    const [iata, name, city, state] = splitCsv(line);
    if (!iata || name === undefined || city === undefined || state === undefined) continue;
    if (/^[A-Z]{3}$/.test(iata)) airports.push({ iata, name, city, state });
  }
  return airports;
}

/** Fields of one CSV line; a field in double quotes may hold commas. */
export function splitCsv(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"([^"]*)"|([^,]*))/g)].map(match => match[1] ?? match[2] ?? '');
}
