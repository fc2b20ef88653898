/** The demo's batch answer, on tables small enough to work out by hand. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { answerOf } from '../../demo/answer.ts';
import type { Told } from '../../demo/services.ts';

const airports = [{ iata: 'LAS', name: 'McCarran', city: 'Las Vegas', state: 'NV' }];

function told(subject: string, body: unknown): Told {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return { subject, body: text, sentMs: 0, timeMs: 0, fault: 'none' };
}

function plan(flight: string, departsAt: string, origin = 'LAS'): Told {
  const event = { type: 'scheduled', eventId: `p-${flight}`, flight, origin, destination: 'PHL', departsAt };
  return told('planning.flight.scheduled', event);
}

function left(flight: string, departsAt: string, delayMinutes: number): Told {
  const event = { type: 'departed', version: 2, eventId: `o-${flight}`, flight, departsAt, delayMinutes };
  return told('operations.flight.departed', event);
}

function leftOld(flight: string, sched: string, delay: string): Told {
  const event = { type: 'departed', version: 1, msg_id: `o-${flight}`, flight_no: flight, sched, delay_min: delay };
  return told('operations.flight.departed', event);
}

describe('the batch answer of the demo', () => {
  test('joins a plan with its departure, whichever version told it and in whichever order they came', () => {
    const answer = answerOf(
      [
        left('B', '2001-01-01T10:20:00.000Z', 30),
        plan('A', '2001-01-01T10:03:00.000Z'),
        plan('B', '2001-01-01T10:20:00.000Z'),
        leftOld('A', '2001-01-01 10:00', '-7'),
      ],
      airports,
    );
    assert.deepEqual(answer.departures, [
      'A | LAS | Las Vegas | PHL | 2001-01-01T10:03:00.000Z | -7',
      'B | LAS | Las Vegas | PHL | 2001-01-01T10:20:00.000Z | 30',
    ]);
    assert.deepEqual(answer.delays, [`LAS | ${Date.UTC(2001, 0, 1, 10)} | 2 | 11.5 | 30`]);
    assert.deepEqual(answer.cancelled, []);
    assert.deepEqual(answer.events, { plans: 2, departures: 2, heartbeats: 0 });
  });

  test('keeps a plan without a departure as cancelled, and leaves it out of the delays', () => {
    const answer = answerOf([plan('A', '2001-01-01T10:03:00.000Z')], airports);
    assert.deepEqual(answer.departures, ['A | LAS | Las Vegas | PHL | 2001-01-01T10:03:00.000Z | never']);
    assert.deepEqual(answer.cancelled, answer.departures);
    assert.deepEqual(answer.delays, []);
  });

  test('matches up to ten minutes apart and not a millisecond more', () => {
    const answer = answerOf(
      [
        plan('A', '2001-01-01T10:00:00.000Z'),
        left('A', '2001-01-01T10:10:00.000Z', 1),
        plan('B', '2001-01-01T10:00:00.000Z'),
        left('B', '2001-01-01T09:49:59.999Z', 1),
      ],
      airports,
    );
    assert.deepEqual(
      answer.departures.map(row => row.split(' | ').at(-1)),
      ['1', 'never'],
    );
  });

  test('counts copies, what cannot be read, and drops what has no plan or no airport', () => {
    const twice = plan('A', '2001-01-01T10:00:00.000Z');
    const answer = answerOf(
      [
        twice,
        twice,
        plan('C', '2001-01-01T10:00:00.000Z', 'XXX'),
        left('D', '2001-01-01T10:00:00.000Z', 1),
        leftOld('A', '2001-01-01 10:00', 'late'),
        told('operations.flight.departed', '{"type":'),
        told('planning.heartbeat', { type: 'heartbeat', at: '2001-01-01T10:00:00.000Z' }),
      ],
      airports,
    );
    assert.equal(answer.duplicates, 1);
    assert.equal(answer.deadLetters, 2);
    assert.equal(answer.departures.length, 1);
  });
});
