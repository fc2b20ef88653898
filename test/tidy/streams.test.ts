/** The table of stream settings that operators read is the one by which streams are judged: rows, verdicts and advice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STREAM_ROLES, type StreamRole } from '../../lib/topology/stream-effects.ts';
import { STREAM_SETTINGS } from '../../lib/topology/stream-settings.ts';
import { tableRows, textOf } from './texts.ts';

const text = textOf('deploy/STREAMS.md');
const roles = Object.keys(STREAM_ROLES) as StreamRole[];

test('each setting stands in the documents with its verdict for each role', () => {
  assert.deepEqual(
    tableRows(text, 'setting', ...Object.values(STREAM_ROLES)),
    STREAM_SETTINGS.map(({ name, effects }) => [
      `\`${name}\``,
      ...roles.map(role => effects.find(({ on }) => on.includes(role))?.verdict ?? 'works'),
    ]),
  );
});

test('each smaller promise and each refusal stands there with what it means and what to do', () => {
  assert.deepEqual(
    tableRows(text, 'setting', 'for', 'verdict', 'what it means', 'what to do'),
    STREAM_SETTINGS.flatMap(({ name, effects }) =>
      effects.map(({ on, verdict, means, todo }) => [
        `\`${name}\``,
        on.map(role => STREAM_ROLES[role]).join('; '),
        verdict,
        means,
        todo,
      ]),
    ),
  );
});

test('no role of a setting has two verdicts', () => {
  for (const { name, effects } of STREAM_SETTINGS) {
    const on = effects.flatMap(effect => effect.on);
    assert.equal(new Set(on).size, on.length, name);
  }
});
