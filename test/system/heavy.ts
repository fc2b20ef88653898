/**
 * A pipeline that makes far more than it reads, in each of the ways that there are.
 *
 *   heavy.many ─ flatMap, 60 rows a record ────────────► many.{partition}      reads its source itself
 *   heavy.fan ── by key, process, 200 rows a record ───► fan.{partition}
 *   heavy.left ─┐
 *   heavy.right ┴ join, all with all ──────────────────► pairs.{partition}
 *   heavy.keys ─ by key, 20 windows a record ──────────► windows.{partition}   all of them close at once
 */
import { count, hopping, pipeline } from 'millrace';

export interface Row {
  readonly n: number;
  readonly key: string;
  readonly at: number;
  readonly pad?: string;
}

export const MANY = 60;
export const FAN = 200;
export const ADVANCE_MS = 1_000;
export const SIZE_MS = 20_000;

export default pipeline(
  'heavy',
  ({ from }) => {
    const source = (name: string) =>
      from<Row>(`heavy.${name}`, { name, time: 'at', maxOutOfOrder: '0s', idleAfter: '1h' });
    const rowsOf = ({ n, pad }: Row, count: number) =>
      Array.from({ length: count }, (_, i) => ({ row: n * count + i, pad }));
    const keyed = (name: string) => source(name).keyBy('key', { name: `${name}-by-key` });
    source('many')
      .flatMap(row => rowsOf(row, MANY))
      .to('many.{partition}');
    keyed('fan')
      .process<number, { row: number }>({
        name: 'fanned',
        onRecord(row, { emit }) {
          for (const one of rowsOf(row, FAN)) emit(one);
        },
      })
      .to('fan.{partition}');
    keyed('left')
      .join(keyed('right'), { within: '1h' }, (left, right) => ({ left: left.n, right: right.n }))
      .to('pairs.{partition}');
    keyed('keys')
      .window(hopping({ size: SIZE_MS, advance: ADVANCE_MS }), { name: 'windows' })
      .aggregate({ rows: count() })
      .to('windows.{partition}');
  },
  { partitions: 2 },
);
