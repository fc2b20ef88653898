/**
 * A pipeline whose reader changes what it makes of a record, version by version: each sends it to other partitions and to the
 * other one of two stages, as rows of its own shape and number.
 *
 *   in.records ─┬─ n + version even ─ flatMap ─ by a, or by b ─► left.{partition}
 *               └─ n + version odd ── flatMap ─ by b, or by a ─► right.{partition}
 *
 * Whatever happens, all that comes of a record is of one version, and is all that this version makes of it, once.
 */
import type { Random } from '../../lib/base/random.ts';
import { ndjson, pipeline } from '../../lib/index.ts';
import type { World } from './world.ts';

export interface Entry {
  readonly n: number;
  readonly a: string;
  readonly b: string;
}

interface Row {
  readonly n: number;
  readonly version: number;
  readonly i: number;
  readonly key: string;
}

/** What a version makes of a record: where it goes, and as which rows. */
function rowsOf({ n, a, b }: Entry, version: number): { side: 'left' | 'right'; rows: Row[] } {
  const side = (n + version) % 2 === 0 ? 'left' : 'right';
  const key = (side === 'left') === (version % 3 === 0) ? a : b;
  const rows = Array.from({ length: 1 + ((n + version) % 4) }, (_, i) => ({ n, version, i, key: `${key}.${i}` }));
  return { side, rows };
}

export const programOf = (version: number) =>
  pipeline(
    'programs',
    ({ from }) => {
      const records = from<Entry>('in.records', { name: 'records', format: ndjson() });
      for (const side of ['left', 'right'] as const) {
        records
          .flatMap(entry => {
            const made = rowsOf(entry, version);
            return made.side === side ? made.rows : [];
          })
          .keyBy('key', { name: side })
          .to(`${side}.{partition}`);
      }
    },
    { partitions: 3 },
  );

/** Messages of some records each. */
export function entries(random: Random): Entry[][] {
  let n = 0;
  return Array.from({ length: 80 }, () =>
    Array.from({ length: 1 + random.int(random.chance(0.1) ? 40 : 4) }, () => {
      return { n: n++, a: `a${random.int(9)}`, b: `b${random.int(9)}` };
    }),
  );
}

/** Rows of one side after a sequence of its stream. */
export const side = (world: World, name: 'left' | 'right', afterSeq = 0) =>
  world.rows(name, { afterSeq }).map(row => JSON.parse(row) as Row);

/** What is wrong with what came of a record; null: nothing. */
function fault(entry: Entry, left: readonly Row[], right: readonly Row[]): string | null {
  const all = [...left, ...right];
  if (all.length === 0) return 'nothing came of it';
  const made = rowsOf(entry, all[0]!.version);
  const [here, there] = made.side === 'left' ? [left, right] : [right, left];
  const isRight =
    there.length === 0 && JSON.stringify([...here].sort((x, y) => x.i - y.i)) === JSON.stringify(made.rows);
  return isRight ? null : `left ${JSON.stringify(left)} right ${JSON.stringify(right)}`;
}

function byRecord(rows: readonly Row[]): Map<number, Row[]> {
  const found = new Map<number, Row[]>();
  for (const row of rows) found.set(row.n, [...(found.get(row.n) ?? []), row]);
  return found;
}

/** What is wrong with what came of the records after these sequences of the two streams. */
export function wrongOf(world: World, sent: readonly Entry[], after = { left: 0, right: 0 }): string[] {
  const left = byRecord(side(world, 'left', after.left));
  const right = byRecord(side(world, 'right', after.right));
  return sent.flatMap(entry => {
    const wrong = fault(entry, left.get(entry.n) ?? [], right.get(entry.n) ?? []);
    return wrong === null ? [] : [`record ${entry.n}: ${wrong}`];
  });
}
