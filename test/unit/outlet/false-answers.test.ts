/**
 * Answers that look like the stream's own and are not: what only permissions can keep from coming, and how much a fence
 * makes of it. Rows that are there are there once, and those that are not are missed at the next message.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { ChainOutlet, rowsForm } from '../../../lib/outlet/nats/chain-outlet.ts';
import type { NatsItem } from '../../../lib/outlet/nats/rows-item.ts';
import { SharedStream } from '../../../lib/outlet/nats/shared-stream.ts';
import type { Append, Log } from '../../../lib/port/log.ts';
import { bytesOf, makeBroker, numbered, pastOf, rowsItem, sender, withCalls } from './rig.ts';

const MODES = ['owned', 'shared'] as const;

async function makeWorld(mode: (typeof MODES)[number]) {
  const world = await makeBroker({ atomic: true });
  const { clock, random, log } = world;
  /** Answers the next append in the stream's place; null: it is the stream that answers. */
  let forge: ((really: () => Promise<Append>) => Promise<Append>) | null = null;
  const by = (really: () => Promise<Append>): Promise<Append> => {
    const forged = forge;
    forge = null;
    return forged === null ? really() : forged(really);
  };
  const watched: Log = withCalls(log, {
    append: message => by(() => log.append(message)),
    appendBatch: messages => by(() => log.appendBatch(messages)),
  });
  const errors: unknown[] = [];
  const told = { past: pastOf(), onSent: () => {}, onFailed: (error: unknown) => errors.push(error) };
  const outlet =
    mode === 'shared'
      ? new SharedStream({ stream: 'out', log: watched, clock, random }).outlet({ sender, marker: 'm.a', ...told })
      : new ChainOutlet<NatsItem>({
          ...{ log: watched, clock, random, stream: 'out', subject: 'out.0', expires: true, ...told },
          form: rowsForm({ sender, messageBytesMax: 1_000 }),
        });
  const send = async (commit: number, answer: typeof forge = null) => {
    forge = answer;
    outlet.push(rowsItem(commit, 2, 'out.0', { mode }));
    await clock.run(clock.monotonic() + 20_000);
  };
  return { ...world, send, errors };
}

const isBroken = (errors: readonly unknown[]) => errors.length === 1 && isMillraceError(errors[0], 'CHAIN_BROKEN');
const landed = (seq: number): Append => ({ kind: 'landed', seq });

for (const mode of MODES) {
  describe(`an ${mode === 'owned' ? 'owned subject' : 'output stream that is shared'}, by a false answer`, () => {
    test('with another sequence for rows that are in, gets them once, or ends', async () => {
      for (const beyond of [-1, 5]) {
        const { send, rows, errors, log } = await makeWorld(mode);
        await send(1);
        // What is not beyond the fence is no answer (`nats/acks.ts`).
        await log.append({ subject: 'm.other', data: bytesOf('') });
        await send(2, async really => {
          const outcome = await really();
          assert.ok(outcome.kind === 'landed');
          return landed(outcome.seq + beyond);
        });
        await send(3);
        const sent = [...numbered(1, 2), ...numbered(2, 2)];
        if (errors.length > 0) assert.ok(isBroken(errors), String(errors));
        assert.deepEqual(rows(), errors.length > 0 ? sent : [...sent, ...numbered(3, 2)]);
      }
    });

    test('for rows that are not in, ends at the next message: they are missed', async () => {
      const { send, rows, errors } = await makeWorld(mode);
      await send(1);
      await send(2, async () => landed(50));
      assert.deepEqual(errors, []);
      await send(3);
      assert.ok(isBroken(errors), String(errors));
      assert.deepEqual(rows(), numbered(1, 2));
    });

    test('that it was beaten, or refused for now, sends what is in no second time', async () => {
      const { send, rows, errors } = await makeWorld(mode);
      await send(1);
      for (const [i, answer] of [{ kind: 'moved' } as const, { kind: 'unsure', cause: null } as const].entries()) {
        await send(2 + 2 * i, async really => {
          await really();
          return answer;
        });
        await send(3 + 2 * i, async () => answer);
      }
      assert.deepEqual(errors, []);
      assert.deepEqual(
        rows(),
        [1, 2, 3, 4, 5].flatMap(commit => numbered(commit, 2)),
      );
    });
  });
}

test('rows too large for a shared stream wait there until it takes them, and no task ends for that', async () => {
  const { send, rows, errors } = await makeWorld('shared');
  let refusals = 0;
  await send(1, async () => {
    refusals++;
    throw new MillraceError('MESSAGE_TOO_LARGE', 'raise max_msg_size');
  });
  await send(2);
  assert.deepEqual([rows(), errors, refusals], [[...numbered(1, 2), ...numbered(2, 2)], [], 1]);
});
