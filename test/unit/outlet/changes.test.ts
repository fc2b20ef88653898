/** What a row does that is no insert: it goes from the exit through the journal into the headers, and is free where it is not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Random } from '../../../lib/base/random.ts';
import { AFTER, BEFORE, type Change, DELETE, INSERT } from '../../../lib/change/change.ts';
import { BatchSize } from '../../../lib/journal/batch-size.ts';
import { fromParts, type OutRows, toParts } from '../../../lib/journal/outbox.ts';
import { newCursor } from '../../../lib/operator/run.ts';
import type { Addressing } from '../../../lib/outlet/addressing.ts';
import { ChainOutlet, rowsForm } from '../../../lib/outlet/nats/chain-outlet.ts';
import { LooseOutlet } from '../../../lib/outlet/nats/loose-outlet.ts';
import { HEADER_CHANGE, type NatsItem } from '../../../lib/outlet/nats/rows-item.ts';
import { SharedStream } from '../../../lib/outlet/nats/shared-stream.ts';
import type { Outlet } from '../../../lib/outlet/outlet.ts';
import { SinkExit } from '../../../lib/task/outgoing.ts';
import { makeBroker, natsItem, numbered, pastOf, rowsOf, type SinkChanges, sender } from './rig.ts';

const CHANGES = [INSERT, BEFORE, AFTER, DELETE];

/** The header of each message of two commits: one of inserts, one of a row of each change. */
async function headersOf(sink: SinkChanges): Promise<(string | undefined)[]> {
  const { log, clock, kept } = await makeBroker({ atomic: true });
  const random = new Random(1);
  const told = { past: pastOf(), onSent: () => {}, onFailed: (error: unknown) => assert.fail(String(error)) };
  const make = (): Outlet<NatsItem> => {
    if (sink.mode === 'shared') {
      return new SharedStream({ stream: 'out', log, clock, random }).outlet({ sender, marker: 'm.a', ...told });
    }
    if (sink.mode === 'at-least-once') return new LooseOutlet({ log, stream: 'out', sender, ...told });
    const form = rowsForm({ sender, messageBytesMax: 1_000 });
    const place = { stream: 'out', subject: 'out.0', expires: true };
    return new ChainOutlet<NatsItem>({ log, clock, random, form, ...place, ...told });
  };
  const outlet = make();
  const subject = sink.mode === 'owned' ? [] : 'out.x';
  outlet.push(natsItem(1, rowsOf(numbered(1, 2), subject, sink), sink));
  await clock.run(clock.monotonic() + 1_000);
  outlet.push(natsItem(2, { ...rowsOf(numbered(2, 4), subject, sink), changes: Uint8Array.from(CHANGES) }, sink));
  await clock.run(clock.monotonic() + 1_000);
  return kept().map(({ headers }) => headers?.[HEADER_CHANGE]);
}

describe('the header of changes', () => {
  for (const mode of ['owned', 'shared', 'at-least-once'] as const) {
    test(`is a word on a message of one row, and none on an insert: ${mode}`, async () => {
      const words = [undefined, undefined, undefined, 'before', 'after', 'delete'];
      assert.deepEqual(await headersOf({ mode, frame: 'none' }), words);
    });
  }

  for (const mode of ['owned', 'shared'] as const) {
    test(`has a letter for each row of a message of several, and is absent where all are inserts: ${mode}`, async () => {
      assert.deepEqual(await headersOf({ mode, frame: 'ndjson' }), [undefined, 'ibad']);
    });
  }
});

/** Rows of an exit, there and back through a commit. */
function exited(keeps: Addressing['keeps'], changes: readonly Change[]): OutRows {
  const exit = new SinkExit({
    sink: { name: 'sink', kind: 'table', format: 'json' },
    addressing: { stream: null, target: 'orders', keeps, addressOf: key => key },
    cursor: newCursor(),
    size: new BatchSize(10_000),
    rowBytesMax: () => 1_000,
    refuse: ({ cause }) => assert.fail(String(cause)),
  });
  const take = (of: readonly Change[]) => {
    for (const [i, change] of of.entries()) exit.receive(i % 2 === 0 ? 'k' : null, { i }, 1_000 + i, change);
    return exit.block.take();
  };
  // A second batch remembers nothing of the first.
  take([DELETE, DELETE, DELETE]);
  const parts: unknown = JSON.parse(JSON.stringify(toParts({ frames: [], rows: [take(changes)] })));
  return fromParts(parts).rows[0]!;
}

describe('a sink’s rows', () => {
  const listed = (rows: OutRows) => (rows.changes === null ? null : Object.values(rows.changes));

  test('say what they do only where one of them is no insert', () => {
    const keeps = { keys: false, times: false };
    assert.equal(exited(keeps, [INSERT, INSERT]).changes, null);
    assert.deepEqual(listed(exited(keeps, [INSERT, AFTER, INSERT])), [INSERT, AFTER, INSERT]);
  });

  test('have keys and event times where the kind has asked for them, and else take no room for it', () => {
    const kept = exited({ keys: true, times: true }, [INSERT, INSERT, INSERT]);
    assert.deepEqual(
      [kept.keys, kept.timesMs],
      [
        ['k', null, 'k'],
        [1_000, 1_001, 1_002],
      ],
    );
    const plain = exited({ keys: false, times: false }, [INSERT]);
    assert.deepEqual([plain.keys, plain.timesMs], [null, null]);
    assert.equal((toParts({ frames: [], rows: [plain] })[1] as unknown[][])[0]!.length, 9);
  });
});
