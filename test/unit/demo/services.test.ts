/** The demo's events: the same on every machine, truly disordered, and never more than is promised. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { readAirports, readFlights, splitCsv } from '../../demo/flights.ts';
import {
  disorderOf,
  OPERATIONS_DISORDER_MAX_MS,
  PLANNING_DISORDER_MAX_MS,
  type Told,
  tellFlights,
} from '../../demo/services.ts';

const flights = await readFlights(20_000);
const told = tellFlights(flights);

describe('what the services of the demo tell', () => {
  test('is the same on every machine', () => {
    const hash = createHash('sha256');
    for (const { subject, body, sentMs } of told) hash.update(`${subject} ${sentMs} ${body}\n`);
    assert.equal(hash.digest('hex'), '6b04ffd93d93710dfd44efc3f852076fb54367316b2ffbb531fa16e92583fd55');
  });

  test('is sent in order of its moments, and its event times are out of order by hours', () => {
    for (let i = 1; i < told.length; i++) assert.ok(told[i - 1]!.sentMs <= told[i]!.sentMs);
    const { planningMs, operationsMs } = disorderOf(told);
    assert.ok(planningMs > 5 * 3_600_000 && operationsMs > 5 * 3_600_000);
  });

  test('never is more out of order than the pipeline is told', () => {
    const { planningMs, operationsMs } = disorderOf(told);
    assert.ok(planningMs <= PLANNING_DISORDER_MAX_MS, `${planningMs}`);
    assert.ok(operationsMs <= OPERATIONS_DISORDER_MAX_MS, `${operationsMs}`);
  });

  test('has copies of one event in twenty, each after its first', () => {
    const firsts = told.filter(event => event.fault === 'none' && !event.subject.endsWith('heartbeat'));
    const copies = told.filter(event => event.fault === 'copy');
    assert.ok(Math.abs(copies.length / firsts.length - 0.05) < 0.005);
    const seen = new Set<string>();
    for (const { fault, body } of told) {
      if (fault === 'copy') assert.ok(seen.has(body));
      else seen.add(body);
    }
  });

  test('leaves some flights on the ground and speaks of departures in two versions', () => {
    const of = (event: Told, version: number) => event.fault === 'none' && event.body.includes(`"version":${version}`);
    const first = told.filter(event => of(event, 1)).length;
    const second = told.filter(event => of(event, 2)).length;
    assert.ok(first > 7_000 && second > 11_000);
    assert.ok(first + second < 0.985 * flights.length);
  });

  test('ends with heartbeats that reach beyond every window', () => {
    const last = told[told.length - 1]!;
    assert.ok(last.subject.endsWith('heartbeat'));
    assert.ok(last.timeMs! > flights[flights.length - 1]!.departsMs + PLANNING_DISORDER_MAX_MS + 2 * 3_600_000);
  });
});

describe('the airports', () => {
  test('are known for every origin', () => {
    const known = new Set(readAirports().map(airport => airport.iata));
    assert.deepEqual(
      flights.filter(flight => !known.has(flight.origin)),
      [],
    );
  });

  test('may have commas in their quoted names', () => {
    assert.deepEqual(splitCsv('BTR,"Baton Rouge, Ryan",Baton Rouge,LA'), [
      'BTR',
      'Baton Rouge, Ryan',
      'Baton Rouge',
      'LA',
    ]);
  });
});
