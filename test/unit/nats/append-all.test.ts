import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { appendAll } from '../../../lib/nats/append-all.ts';
import type { NoAnswer, Waiter } from '../../../lib/nats/inbox.ts';
import type { Append } from '../../../lib/port/log.ts';

const yes = Buffer.from('landed');
const no = Buffer.from('in doubt');
const verdicts = new Map<Uint8Array, Append>([
  [yes, { kind: 'landed', seq: 1 }],
  [no, { kind: 'unsure', cause: new Error('busy') }],
]);
const lost: NoAnswer = { kind: 'disconnected', cause: new Error('lost') };

/** A run whose answers the test gives; `sent` are the messages in the order in which they went out. */
function begin(count: number, options: { bytes?: number; checkStream?: (subject: string) => Promise<void> } = {}) {
  const sent: number[] = [];
  let waiter!: Waiter;
  /** What happens to a message the moment it is sent. */
  let onSend: ((index: number) => void) | null = null;
  const done = appendAll({
    messages: Array.from({ length: count }, (_, i) => ({ subject: `s.${i}`, data: yes })),
    send: (index, asks) => {
      waiter = asks;
      sent.push(index);
      onSend?.(index);
      return options.bytes ?? 1;
    },
    judge: (_, answer) => verdicts.get(answer) ?? null,
    checkStream: options.checkStream ?? (async () => undefined),
  });
  return {
    sent,
    done,
    answer: (index: number, data = yes) => waiter.answer(index, data),
    noAnswer: (index: number, why: NoAnswer = lost) => waiter.noAnswer(index, why),
    atSend: (listener: (index: number) => void) => {
      onSend = listener;
    },
  };
}

/** Until the run, after its pause, has sent something again. */
async function sends(run: { sent: number[] }, count: number): Promise<void> {
  while (run.sent.length < count) await new Promise(resolve => setTimeout(resolve, 5));
}

describe('many appends', () => {
  test('keep 4,000 unanswered and no more, and send the next for each answer', () => {
    const run = begin(5_000);
    assert.equal(run.sent.length, 4_000);
    run.answer(0);
    run.answer(1);
    assert.deepEqual(run.sent.slice(-2), [4_000, 4_001]);
  });

  test('keep 16 MiB unanswered and no more', () => {
    const run = begin(100, { bytes: 1024 * 1024 });
    assert.equal(run.sent.length, 16);
  });

  test('send what is in doubt again, in order, after all answers and before the rest', async () => {
    const run = begin(4_002);
    run.answer(2, no);
    for (let i = 3; i < 4_000; i++) run.answer(i);
    run.noAnswer(1);
    assert.equal(run.sent.length, 4_000, 'nothing goes out while something is in doubt');
    run.answer(0);
    await sends(run, 4_004);
    assert.deepEqual(run.sent.slice(4_000), [1, 2, 4_000, 4_001]);
    for (const i of [1, 2, 4_000, 4_001]) run.answer(i);
    await run.done;
  });

  test('end only when every one has landed, some after several tries', async () => {
    const run = begin(3);
    run.answer(0);
    run.answer(1);
    for (let tries = 4; tries < 7; tries++) {
      run.answer(2, no);
      await sends(run, tries);
    }
    run.answer(2);
    await run.done;
    assert.deepEqual(run.sent, [0, 1, 2, 2, 2, 2]);
  });

  test('stop sending the moment one cannot be sent', async () => {
    const run = begin(3);
    run.atSend(index => index === 1 && run.sent.length < 6 && run.noAnswer(1));
    for (const i of [0, 1, 2]) run.noAnswer(i);
    await sends(run, 5);
    assert.deepEqual(run.sent, [0, 1, 2, 0, 1], 'number 2 waits until number 1 is through');
    run.answer(0);
    await sends(run, 7);
    assert.deepEqual(run.sent.slice(5), [1, 2]);
    run.answer(1);
    run.answer(2);
    await run.done;
  });

  test('fail when the server refuses, or no stream keeps the subject', async () => {
    const refused = begin(2);
    refused.noAnswer(0, { kind: 'refused', cause: new Error('not permitted') });
    refused.answer(1);
    await assert.rejects(refused.done, /not permitted/);

    const missing = begin(2, {
      checkStream: async subject => {
        throw new Error(`no stream for ${subject}`);
      },
    });
    missing.noAnswer(0, { kind: 'no-responders', cause: new Error('nobody') });
    missing.answer(1);
    await assert.rejects(missing.done, /no stream for s.0/);
  });
});
