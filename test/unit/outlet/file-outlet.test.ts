/** The way out to a file: what is in it is what counts, wherever it ends and whoever has written to it. */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { Random } from '../../../lib/base/random.ts';
import { AFTER, BEFORE, DELETE, INSERT } from '../../../lib/change/change.ts';
import type { OutRows } from '../../../lib/journal/outbox.ts';
import type { Tail } from '../../../lib/journal/tails.ts';
import { fileOutlets } from '../../../lib/outlet/file/kind.ts';
import { encodeClaim, encodeRows, readRecord, readRows } from '../../../lib/outlet/file/record.ts';
import { folderFiles, type RowsFile } from '../../../lib/outlet/file/rows-file.ts';
import { itemOf } from '../../../lib/outlet/outlet.ts';
import { numbered, pastOf, rowsOf } from './rig.ts';

const random = new Random(5);
let root = '';
let count = 0;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'millrace-file-'));
});
after(() => rm(root, { recursive: true }));

/** A file, and owners of it one after the other. */
function makeWorld() {
  const open = folderFiles(root);
  const name = `${++count}.txt`;
  const way = fileOutlets({ open, random })().way({ sink: 's', target: name });
  const using = async <T>(use: (file: RowsFile) => Promise<T>): Promise<T> => {
    const file = await open(name);
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  };
  /** Sends the commits, and resolves when they are in. */
  const send = async (
    commits: readonly (readonly [commit: number, rows: OutRows])[],
    options: { inheritedTo?: number; remembered?: Tail } = {},
  ): Promise<Tail[]> => {
    const { inheritedTo = 0, remembered = null } = options;
    const tails: Tail[] = [];
    await new Promise<void>((resolve, reject) => {
      const outlet = way.outlet({
        past: pastOf({ inheritedTo }),
        remembered,
        onSent: (_, tail) => {
          tails.push(tail!);
          if (tails.length < commits.length) return;
          outlet.stop();
          resolve();
        },
        onFailed: reject,
      });
      for (const [commit, rows] of commits) outlet.push(itemOf(commit, rows, way));
    });
    return tails;
  };
  const bytes = () => readFile(join(root, name));
  const blocks = () =>
    using(async file => {
      const found = [];
      for await (const block of readRows(file)) found.push(block);
      return found;
    });
  const rows = async () => (await blocks()).flatMap(block => Buffer.from(block.rows).toString().trim().split('\n'));
  return { way, send, using, bytes, blocks, rows };
}

const plain = (commit: number, rows = 2) => [commit, rowsOf(numbered(commit, rows))] as const;

describe('a file of rows', () => {
  test('that ends in the middle of a record is gone on with behind it, wherever that is', async () => {
    const whole = makeWorld();
    await whole.send([plain(1)]);
    const before = (await whole.bytes()).length;
    await whole.send([plain(2)], { inheritedTo: 1 });
    const bytes = await whole.bytes();
    for (let length = before; length <= bytes.length; length++) {
      const { using, send, rows } = makeWorld();
      await using(file => file.append(bytes.subarray(0, length)));
      await send([plain(2), plain(3)], { inheritedTo: 2 });
      await send([plain(4)], { inheritedTo: 3 });
      assert.deepEqual(
        await rows(),
        [1, 2, 3, 4].flatMap(commit => numbered(commit, 2)),
        `cut at ${length}`,
      );
    }
  });

  test('is read back with what its rows do, however many there are', async () => {
    const { send, blocks } = makeWorld();
    const changes = Uint8Array.from({ length: 300 }, (_, i) => [INSERT, BEFORE, AFTER, DELETE][i % 4]!);
    await send([[1, { ...rowsOf(numbered(1, 300)), changes }]]);
    await send([plain(2)], { inheritedTo: 1 });
    const [first, second] = await blocks();
    assert.deepEqual(first!.changes, changes);
    assert.equal(second!.changes, null);
  });

  test('counts no rows whose writer has lost it, and no owner does that has found such', async () => {
    const { send, using, rows } = makeWorld();
    await send([plain(1)]);
    await using(async file => {
      await file.append(encodeClaim('later', 0));
      const lost = { claim: 'former', progress: { position: 2, row: 1 }, rows: Buffer.from('"lost"\n'), changes: null };
      await file.append(encodeRows(lost));
    });
    assert.deepEqual(await rows(), numbered(1, 2));
    await send([plain(2)], { inheritedTo: 2 });
    assert.deepEqual(await rows(), [...numbered(1, 2), ...numbered(2, 2)]);
  });

  test('is claimed again by the owner of the task when another has claimed it meanwhile; any other is fenced', async () => {
    for (const owns of [true, false]) {
      const { way, using, rows } = makeWorld();
      const confirm = async () => {
        if (!owns) throw new MillraceError('FENCED', 'epoch 9');
      };
      let settle: (error: unknown) => void = () => {};
      const onSent = () => settle(null);
      const onFailed = (error: unknown) => settle(error);
      const outlet = way.outlet({ past: pastOf({ confirm }), remembered: null, onSent, onFailed });
      const send = ([commit, one]: readonly [number, OutRows]) =>
        new Promise<unknown>(resolve => {
          settle = resolve;
          outlet.push(itemOf(commit, one, way));
        });
      assert.equal(await send(plain(1)), null);
      await using(file => file.append(encodeClaim('late', 0)));
      const outcome = await send(plain(2));
      if (owns) assert.equal(outcome, null);
      else assert.ok(isMillraceError(outcome, 'FENCED'));
      outlet.stop();
      assert.deepEqual(await rows(), [...numbered(1, 2), ...(owns ? numbered(2, 2) : [])]);
    }
  });

  test('is claimed again by its owner when a piece of another’s record came before its own', async () => {
    const { way, using, rows } = makeWorld();
    let told: () => void = () => {};
    const onFailed = (error: unknown) => assert.fail(String(error));
    const outlet = way.outlet({ past: pastOf(), remembered: null, onSent: () => told(), onFailed });
    const send = ([commit, one]: readonly [number, OutRows]) =>
      new Promise<void>(resolve => {
        told = resolve;
        outlet.push(itemOf(commit, one, way));
      });
    await send(plain(1));
    const lost = { claim: 'former', progress: { position: 2, row: 2 }, rows: Buffer.alloc(2_000), changes: null };
    await using(file => file.append(encodeRows(lost).subarray(0, 1_000)));
    for (const commit of [2, 3]) await send(plain(commit));
    outlet.stop();
    assert.deepEqual(
      await rows(),
      [1, 2, 3].flatMap(commit => numbered(commit, 2)),
    );
  });

  test('says in a tail where its last block is, and another block there is refused (*every tail compared*)', async () => {
    const { send, using } = makeWorld();
    const [, tail] = await send([plain(1), plain(2)]);
    const [at, commit, row] = tail as readonly [number, number, number];
    const record = await using(file => readRecord(file, at));
    assert.deepEqual(record?.kind === 'rows' && record.progress, { position: 2, row: 2 });
    assert.deepEqual([commit, row], [2, 2]);
    await assert.rejects(send([plain(3)], { inheritedTo: 2, remembered: [at, 3, 2] }), error =>
      isMillraceError(error, 'CHAIN_BROKEN'),
    );
    await assert.rejects(send([plain(3)], { inheritedTo: 2, remembered: 17 }), error =>
      isMillraceError(error, 'JOURNAL_CORRUPT'),
    );
    await send([plain(3)], { inheritedTo: 2, remembered: tail! });
  });
});
