/**
 * FAN_OUT_MAX: one record that makes more than a call may is a dead letter. Nothing of it is sent, and no state has
 * changed: what comes after finds everything as it was before.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pipeline } from '../../../lib/index.ts';
import { FAN_OUT_MAX } from '../../../lib/operator/user-code.ts';
import { codes, Rig as StageRig } from '../task/processor-rig.ts';
import { Rig } from './rig.ts';

interface Row {
  readonly id: string;
  readonly rows: number;
}

function* endless() {
  for (let n = 0; ; n++) yield n;
}

/** In a stage, behind a dedupe. */
function fanned(fan: (row: Row) => Iterable<unknown>) {
  return pipeline('p', ({ from }) => {
    const rows = from<Row>('in.a').keyBy('id');
    rows
      .dedupe({ id: row => row.id, within: '1h' })
      .flatMap(row => fan(row) as unknown[], { name: 'fan' })
      .to('out.{partition}');
  });
}

describe('a flatMap', () => {
  test('makes as many records of one as FAN_OUT_MAX says; one more, and the record is a letter alone', async () => {
    const rig = await StageRig.of(fanned(({ rows }) => new Array(rows).fill(1)));
    rig.feed({ id: 'a', rows: FAN_OUT_MAX });
    assert.equal((await rig.run()).rows.length, FAN_OUT_MAX);
    rig.feed({ id: 'b', rows: 2 });
    rig.feed({ id: 'c', rows: FAN_OUT_MAX + 1 });
    rig.feed({ id: 'd', rows: 3 });
    const { rows, letters } = await rig.run();
    assert.equal(rows.length, 5);
    assert.deepEqual(codes(letters), ['LIMIT_REACHED']);
    assert.equal(letters[0]!.headers['Millrace-Operator'], 'fan');
    assert.match(letters[0]!.headers['Millrace-Message']!, /more than FAN_OUT_MAX \(100000\) records/);
    assert.equal(rig.processor.dead, 1);
  });

  test('is not led on by a generator without an end', async () => {
    const rig = await StageRig.of(fanned(() => endless()));
    rig.feed({ id: 'a', rows: 0 });
    const { rows, letters } = await rig.run();
    assert.deepEqual([rows.length, codes(letters)], [0, ['LIMIT_REACHED']]);
  });
});

describe('a process', () => {
  test('that emits too much for one record sends nothing of it, and keeps neither its state nor its timers', async () => {
    const made = pipeline('p', ({ from }) => {
      from<Row>('in.a')
        .keyBy('id')
        .process<string[], unknown>({
          name: 'own',
          onRecord(row, context) {
            context.state = [...(context.state ?? []), `${row.rows}`];
            context.setTimer(`${row.rows}`, 2_000);
            for (let n = 0; n < row.rows; n++) context.emit(context.state);
          },
          onTimer: (name, context) => context.emit(name),
        })
        .to('out.{partition}');
    });
    const rig = await StageRig.of(made);
    rig.feed({ id: 'k', rows: 1 });
    rig.feed({ id: 'k', rows: FAN_OUT_MAX + 1 });
    rig.feed({ id: 'k', rows: 2 });
    const { rows, letters } = await rig.run();
    assert.deepEqual(rows, ['["1"]', '["1","2"]', '["1","2"]']);
    assert.deepEqual(codes(letters), ['LIMIT_REACHED']);
    assert.deepEqual((await rig.run(5_000)).rows.sort(), ['"1"', '"2"']);
  });
});

describe('a join', () => {
  test('of a record with too many others sends nothing of it and does not keep it', () => {
    const combine = (left: unknown, right: unknown) => [left, right];
    const rig = new Rig({ kind: 'join', join: 'left', beforeMs: 500, afterMs: 500, graceMs: 0, combine });
    for (let n = 0; n <= FAN_OUT_MAX; n++) rig.receive('k', n, 1_000, 1);
    rig.receive('k', 'too many', 1_000, 0);
    rig.receive('k', 'none', 3_000, 0);
    rig.receive('other', 'none', 1_000, 0);
    // Whoever was kept would be met by this one.
    rig.receive('k', 'one more', 1_000, 1);
    rig.advance(10_000);
    const told = rig.poisons.map(({ value, cause }) => [value, (cause as { code: string }).code]);
    assert.deepEqual(told, [['too many', 'LIMIT_REACHED']]);
    assert.deepEqual(rig.values(), [
      ['none', null],
      ['none', null],
    ]);
  });
});
