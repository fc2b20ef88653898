/** What letters of a stage get from the messages that their records came in. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Log, StoredMessage } from '../../../lib/port/log.ts';
import { ndjson } from '../../../lib/record/json.ts';
import type { Letter } from '../../../lib/record/letter.ts';
import { originOf } from '../../../lib/record/origin.ts';
import type { SourceSpec } from '../../../lib/source/spec.ts';
import { Originals } from '../../../lib/task/original.ts';

/** A stream of such messages, and how often one of them was fetched and decoded. */
function stream(...texts: string[]) {
  const counts = { got: 0, decoded: 0 };
  const decoder = ndjson();
  const source = {
    stream: 'IN',
    attach: null,
    validate: null,
    decoder: {
      ...decoder,
      decode: (...given: Parameters<typeof decoder.decode>) => {
        counts.decoded++;
        decoder.decode(...given);
      },
    },
  } as unknown as SourceSpec;
  const log = {
    async get({ seq }: { seq: number }): Promise<StoredMessage | null> {
      counts.got++;
      const text = texts[seq - 1];
      return text === undefined ? null : { subject: 'in', seq, timeMs: 0, headers: null, data: Buffer.from(text) };
    },
  } as unknown as Log;
  return { counts, source, log };
}

const letter = (seq: number, n: number): Letter => ({
  operator: 'p',
  code: 'USER_CODE',
  message: 'no',
  bytes: Buffer.from(`{"n":${n}}`),
  origin: originOf(0, seq),
  index: 0,
  subject: '',
});

test('a message of many records is read once for the letters of all of them', async () => {
  const { counts, source, log } = stream('{"n":0}\n{"n":1}\n{"n":2}', '{ "n": 3 }');
  const originals = new Originals();
  const seen: string[] = [];
  for (const [seq, n] of [
    [1, 0],
    [1, 1],
    [1, 2],
    [2, 3],
    [2, 3],
    [3, 4],
  ] as const) {
    const { bytes, subject, content } = await originals.fetch(letter(seq, n), source, log);
    seen.push(`${Buffer.from(bytes)} ${subject} ${content}`);
    // Between batches: what is known of many records is kept.
    if (n === 1) originals.forget();
  }
  const whole = '{ "n": 3 } in message';
  assert.deepEqual(seen, [
    '{"n":0} in decoded',
    '{"n":1} in decoded',
    '{"n":2} in decoded',
    whole,
    whole,
    '{"n":4}  undefined',
  ]);
  assert.deepEqual(counts, { got: 3, decoded: 2 });
});
