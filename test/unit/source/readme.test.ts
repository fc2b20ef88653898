/** The table of wrong input says what the code says: every code of a poisoned record, and every limit by its number. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRORS, type ErrorCode } from '../../../lib/base/errors.ts';
import {
  DECOMPRESSED_BYTES_MAX,
  DECOMPRESSED_PAYLOADS_MAX,
  DECOMPRESSED_RATIO_MAX,
} from '../../../lib/record/encoding.ts';
import { NESTING_READ_MAX, RECORDS_PER_MESSAGE_MAX, VALUES_PER_MESSAGE_MAX } from '../../../lib/record/format.ts';
import { INTEGER_DIGITS_MAX } from '../../../lib/record/integers.ts';
import { KEY_DEPTH_MAX, KEY_LENGTH_MAX } from '../../../lib/record/key.ts';
import { REASON_LENGTH_MAX } from '../../../lib/record/letter.ts';
import { REPLAY_LENGTH_MAX } from '../../../lib/record/replay.ts';
import { VALUE_NESTING_MAX } from '../../../lib/record/rows.ts';
import { SUBJECT_BYTES_MAX, TOKEN_LENGTH_MAX } from '../../../lib/record/template.ts';
import { TRACEPARENT_MAX, TRACESTATE_MAX } from '../../../lib/record/trace.ts';
import { TIME_MAX_MS } from '../../../lib/window/watermark.ts';
import { tableRows, textOf } from '../../tidy/texts.ts';

const README = textOf('lib/source/README.md');

test('each code of a poisoned record has a row, and each row a code that there is', () => {
  const rows = [...tableRows(README, 'what comes in'), ...tableRows(README, 'what it does')];
  const told = new Set(rows.flatMap(cells => Array.from(cells[2]!.matchAll(/`(\w+)`/g), match => match[1]!)));
  for (const code of told) assert.ok(code in ERRORS, code);
  const poison = Object.keys(ERRORS).filter(code => ERRORS[code as ErrorCode].fate === 'poison');
  assert.deepEqual(
    poison.filter(code => !told.has(code)),
    [],
  );
});

test('each limit is told by its name with its number', () => {
  const limits: Readonly<Record<string, string>> = {
    RECORDS_PER_MESSAGE_MAX: RECORDS_PER_MESSAGE_MAX.toLocaleString('en'),
    VALUES_PER_MESSAGE_MAX: VALUES_PER_MESSAGE_MAX.toLocaleString('en'),
    NESTING_READ_MAX: NESTING_READ_MAX.toLocaleString('en'),
    DECOMPRESSED_PAYLOADS_MAX: `${DECOMPRESSED_PAYLOADS_MAX} × \`max_payload\``,
    DECOMPRESSED_RATIO_MAX: `, ${DECOMPRESSED_RATIO_MAX} ×`,
    TRACEPARENT_MAX: `${TRACEPARENT_MAX}`,
    TRACESTATE_MAX: `, ${TRACESTATE_MAX}`,
    REPLAY_LENGTH_MAX: REPLAY_LENGTH_MAX.toLocaleString('en'),
    DECOMPRESSED_BYTES_MAX: `${DECOMPRESSED_BYTES_MAX / 2 ** 20} MiB`,
    INTEGER_DIGITS_MAX: INTEGER_DIGITS_MAX.toLocaleString('en'),
    VALUE_NESTING_MAX: `${VALUE_NESTING_MAX}`,
    KEY_LENGTH_MAX: KEY_LENGTH_MAX.toLocaleString('en'),
    KEY_DEPTH_MAX: `, ${KEY_DEPTH_MAX}`,
    SUBJECT_BYTES_MAX: SUBJECT_BYTES_MAX.toLocaleString('en'),
    TOKEN_LENGTH_MAX: `${TOKEN_LENGTH_MAX}`,
    REASON_LENGTH_MAX: REASON_LENGTH_MAX.toLocaleString('en'),
    TIME_MAX_MS: `${TIME_MAX_MS / 1e15} · 10¹⁵`,
  };
  const rows = tableRows(README, 'limit', 'is');
  for (const [name, number] of Object.entries(limits)) {
    const row = rows.find(cells => cells[0]!.includes(`\`${name}\``));
    assert.ok(row?.[1]?.includes(number), `${name} is ${number}`);
  }
});
