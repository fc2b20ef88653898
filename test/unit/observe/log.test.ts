import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError } from '../../../lib/base/errors.ts';
import { errorFields, observers } from '../../../lib/observe/events.ts';
import { jsonLog, textLine, textLog } from '../../../lib/observe/log.ts';

describe('logs', () => {
  test('an event is one line of JSON with its level, name and fields', () => {
    const lines: string[] = [];
    const log = jsonLog({ level: 'info', write: line => lines.push(line) });
    log.emit({ event: 'task.restored', level: 'info', stage: 'join-1', partition: 3, reason: null });
    log.emit({ event: 'task.polled', level: 'debug' });
    assert.equal(lines.length, 1);
    assert.ok(lines[0]!.endsWith('}\n'));
    const { time, ...rest } = JSON.parse(lines[0]!) as Record<string, unknown>;
    assert.match(String(time), /^\d{4}-\d\d-\d\dT.*Z$/);
    assert.deepEqual(rest, { level: 'info', event: 'task.restored', stage: 'join-1', partition: 3, reason: null });
  });

  test('a person reads time, level, name, fields, and the message last', () => {
    const event = {
      event: 'pipeline.failed',
      level: 'warn',
      message: 'no answer',
      pipeline: 'p',
      note: 'a "b"',
    } as const;
    const line = textLine({ ...event, topics: ['x', 'y'], none: undefined, retryMs: 90_000 }, 43_200_000);
    const fields = 'pipeline=p note="a \\"b\\"" topics=x,y retry=1m30s';
    assert.equal(line, `12:00:00.000 warn  pipeline.failed ${fields}: no answer`);
  });

  test('events below the level are left out, and several observers hear the same', () => {
    const [a, b]: [string[], string[]] = [[], []];
    const both = observers(
      textLog({ level: 'warn', now: () => 0, write: line => a.push(line) }),
      textLog({ level: 'debug', now: () => 0, write: line => b.push(line) }),
    );
    both.emit({ event: 'x.happened', level: 'info' });
    both.emit({ event: 'y.happened', level: 'error' });
    assert.equal(a.length, 1);
    assert.equal(b.length, 2);
  });

  test('an error is told with its code and the chain of its causes, each once', () => {
    const cause = new Error('socket closed', { cause: new Error('reset by peer') });
    const error = new MillraceError('BROKER_UNAVAILABLE', 'no answer: socket closed', { cause });
    assert.deepEqual(errorFields(error), {
      code: 'BROKER_UNAVAILABLE',
      message: 'no answer: socket closed: reset by peer',
    });
    assert.deepEqual(errorFields('odd'), { code: 'UNEXPECTED', message: 'odd' });
  });
});
