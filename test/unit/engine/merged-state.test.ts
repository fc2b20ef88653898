/** State that is read from several places as one: pages go on exactly where they ended, wherever partitions are by then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isMillraceError, MillraceError } from '../../../lib/base/errors.ts';
import { MergedState } from '../../../lib/engine/merged-state.ts';
import { readToken, writeToken } from '../../../lib/engine/scan-place.ts';
import type { EntryView, StateReader } from '../../../lib/engine/views.ts';

const OPERATOR = 'once';

function entry(partition: number, n: number): EntryView {
  return { operator: OPERATOR, table: 'ids', partition, bucket: 0, key: `k${n}`, value: n };
}

/** One that has some partitions, with so many entries each, and reads as a pipeline's does. */
function readerOf(partitions: ReadonlyMap<number, number>): StateReader {
  const ordered = [...partitions].sort(([a], [b]) => a - b);
  return {
    async tables() {
      const entries = ordered.reduce((sum, [, count]) => sum + count, 0);
      return ordered.length === 0
        ? []
        : [{ operator: OPERATOR, table: 'ids', stage: 's', entries, bytes: 10 * entries }];
    },
    async get({ key }) {
      return ordered.flatMap(([partition, count]) =>
        Array.from({ length: count }, (_, n) => entry(partition, n)).filter(found => found.key === key),
      );
    },
    async scan({ operator, pageSize, pageToken }) {
      const place = pageToken === null ? { partition: 0, at: null } : readToken(pageToken, operator);
      const items: EntryView[] = [];
      for (const [partition, count] of ordered) {
        if (partition < place.partition) continue;
        const from = partition === place.partition && place.at !== null ? Number(place.at.after) : 0;
        for (let n = from; n < count; n++) {
          if (items.length === pageSize) {
            const at = { table: `${OPERATOR}.ids`, bucket: 0, after: String(n) };
            return { items, nextPageToken: writeToken({ partition, at }) };
          }
          items.push(entry(partition, n));
        }
      }
      return { items, nextPageToken: null };
    },
  };
}

const scanOf = (pageSize: number, pageToken: string | null) =>
  ({ operator: OPERATOR, table: null, partition: null, pageSize, pageToken }) as const;

test('page by page each entry comes once, in the order of partitions, while partitions move from one to another', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(7), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 4 }),
      fc.infiniteStream(fc.nat(3)),
      async (counts, pageSize, readers, where) => {
        const divided = () => {
          const shares = Array.from({ length: readers }, () => new Map<number, number>());
          for (const [partition, count] of counts.entries()) {
            shares[(where.next().value as number) % readers]!.set(partition, count);
          }
          return shares.map(readerOf);
        };
        const found: EntryView[] = [];
        let token: string | null = null;
        for (let pages = 0; pages === 0 || token !== null; pages++) {
          assert.ok(pages < 100, 'it comes to an end');
          const page: Awaited<ReturnType<StateReader['scan']>> = await new MergedState(divided).scan(
            scanOf(pageSize, token),
          );
          assert.ok(page.items.length <= pageSize);
          assert.ok(page.items.length > 0 || page.nextPageToken === null, 'no page is empty but the last');
          found.push(...page.items);
          token = page.nextPageToken;
        }
        const all = counts.flatMap((count, partition) => Array.from({ length: count }, (_, n) => entry(partition, n)));
        assert.deepEqual(found, all);
      },
    ),
  );
});

test('tables are added up, and a key is found with whoever has it', async () => {
  const state = new MergedState(() => [readerOf(new Map([[1, 2]])), readerOf(new Map()), readerOf(new Map([[0, 3]]))]);
  assert.deepEqual(await state.tables(), [{ operator: OPERATOR, table: 'ids', stage: 's', entries: 5, bytes: 50 }]);
  assert.deepEqual(await state.get({ operator: OPERATOR, key: 'k1' }), [entry(0, 1), entry(1, 1)]);
  assert.deepEqual(await state.get({ operator: OPERATOR, key: 'k2' }), [entry(0, 2)]);
});

test('where one does not answer nobody is told of a part as if it were all', async () => {
  const gone = async () => {
    throw new MillraceError('WORKER_UNAVAILABLE', 'gone');
  };
  const state = new MergedState(() => [readerOf(new Map([[0, 3]])), { tables: gone, get: gone, scan: gone }]);
  const isGone = (error: unknown) => isMillraceError(error, 'WORKER_UNAVAILABLE');
  await assert.rejects(state.tables(), isGone);
  await assert.rejects(state.get({ operator: OPERATOR, key: 'k1' }), isGone);
  await assert.rejects(state.scan(scanOf(5, null)), isGone);
});
