/** An error that has gone through a structured clone is the same to whoever decides by its code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MillraceError } from '../../../lib/base/errors.ts';
import { errorFields } from '../../../lib/observe/events.ts';
import { heardError, tellError } from '../../../lib/seam/errors.ts';

test('code, fate, text and causes are kept', () => {
  const cause = new MillraceError('STREAM_CHANGED', 'it was purged', { cause: new Error('404') });
  const error = new MillraceError('BROKER_UNAVAILABLE', 'no answer', { cause });
  const heard = heardError(structuredClone(tellError(error)));
  assert.ok(heard instanceof MillraceError);
  assert.deepEqual([heard.code, heard.fate], ['BROKER_UNAVAILABLE', 'retry']);
  assert.deepEqual(errorFields(heard), errorFields(error));
  assert.ok(heard.cause instanceof MillraceError);
});

test('what nobody threw on purpose keeps its text and its stack, whatever it is', () => {
  const error = new TypeError('x is not a function');
  const heard = heardError(structuredClone(tellError(error)));
  assert.ok(!(heard instanceof MillraceError));
  assert.deepEqual([heard.message, heard.stack], [error.message, error.stack]);
  assert.equal(heardError(structuredClone(tellError('a text'))).message, 'a text');
  assert.equal(heardError(structuredClone(tellError(undefined))).message, 'undefined');
});

test('causes that go round in a circle end', () => {
  const error = new Error('round');
  error.cause = error;
  assert.equal(heardError(structuredClone(tellError(error))).message, 'round');
});
