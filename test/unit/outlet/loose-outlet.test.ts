/** The way out to a stream that may not be touched: at least once, and once where the broker drops repeats by their id. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DELETE } from '../../../lib/change/change.ts';
import { LooseOutlet } from '../../../lib/outlet/nats/loose-outlet.ts';
import type { Log } from '../../../lib/port/log.ts';
import { makeBroker, numbered, rowsItem, sender, withCall } from './rig.ts';

const loose = { mode: 'at-least-once', frame: 'none' } as const;

test('every row has an id of task, life, sink, commit and row, so a repeat after a crash is dropped by the broker', async () => {
  const { log, clock, kept, rows } = await makeBroker();
  const sent: number[] = [];
  const make = (by: Log) =>
    new LooseOutlet({
      log: by,
      stream: 'out',
      sender,
      onSent: item => sent.push(item.commit),
      onFailed: error => assert.fail(String(error)),
    });
  // The former owner's rows land; it dies before it knows.
  const dying = withCall(log, 'appendAll', really => async messages => {
    await really(messages);
    await new Promise(() => {});
  });
  make(dying).push(rowsItem(1, 3, 'out.x', loose));
  await clock.run(1_000);
  assert.deepEqual(sent, []);
  const next = make(log);
  next.push(rowsItem(1, 3, 'out.x', loose));
  next.push(rowsItem(2, 2, 'out.y', loose));
  await clock.run(2_000);
  assert.deepEqual(rows(), [...numbered(1, 3), ...numbered(2, 2)]);
  const ids = kept().map(({ headers }) => String(headers?.['Nats-Msg-Id']));
  assert.deepEqual(
    ids.map(id => id.replace(/-[0-9a-f]+\./, ' ')),
    ['p/s/0/l/sink/1 0', 'p/s/0/l/sink/1 1', 'p/s/0/l/sink/1 2', 'p/s/0/l/sink/2 0', 'p/s/0/l/sink/2 1'],
  );
  assert.deepEqual(sent, [1, 2]);
  assert.equal(next.backlogBytes, 0);
});

test('rows that do something else are others, though they read the same', async () => {
  const { log, clock, rows } = await makeBroker();
  const make = () =>
    new LooseOutlet({ log, stream: 'out', sender, onSent: () => {}, onFailed: error => assert.fail(String(error)) });
  const item = rowsItem(1, 1, 'out.x', loose);
  make().push(item);
  await clock.run(1_000);
  // A journal that was put back makes another commit of that number.
  make().push({ ...item, rows: { ...item.rows, changes: new Uint8Array([DELETE]) } });
  await clock.run(2_000);
  assert.deepEqual(rows(), ['"1.0"', '"1.0"']);
});

test('what is pushed in the moment in which the last that waited is in goes out without a further push', async () => {
  const { log, clock, rows } = await makeBroker();
  const out: LooseOutlet = new LooseOutlet({
    log,
    stream: 'out',
    sender,
    onSent: ({ commit }) =>
      void Promise.resolve().then(() => (commit < 3 ? out.push(rowsItem(commit + 1, 1, 'out.x', loose)) : null)),
    onFailed: error => assert.fail(String(error)),
  });
  out.push(rowsItem(1, 1, 'out.x', loose));
  await clock.run(1_000);
  assert.deepEqual(rows(), ['"1.0"', '"2.0"', '"3.0"']);
});
