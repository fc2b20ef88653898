/** Two results side by side: the ratio of what was measured in both, with changes of more than a tenth marked. */
import type { Results } from './results.ts';
import { type Table, whole } from './table.ts';

/** A change beyond this is marked; runs of the same program differ by less on a quiet machine. */
const NOTABLE = 0.1;

interface Measure {
  readonly name: string;
  readonly better: 'more' | 'less';
  readonly before: number | null;
  readonly after: number | null;
}

/** One table; what only one of the two has is left out. */
export function compareResults(before: Results, after: Results): Table {
  const rows: string[][] = [];
  const add = (what: string, ...measures: Measure[]) => {
    for (const measure of measures) {
      const row = rowOf(measure);
      if (row !== null) rows.push([what, measure.name, ...row]);
    }
  };
  for (const old of before.queries) {
    const now = after.queries.find(({ query, shape }) => query === old.query && shape === old.shape);
    if (now === undefined) continue;
    add(
      `${old.query} ${old.shape}`,
      more('events/CPU-s', old.eventsPerCpuSecond, now.eventsPerCpuSecond),
      less('p50 ms', old.p50Ms, now.p50Ms),
      less('p99 ms', old.p99Ms, now.p99Ms),
      less('RSS MB', old.rssMb, now.rssMb),
    );
  }
  for (const old of before.recovery) {
    const now = after.recovery.find(({ disk }) => disk === old.disk);
    if (now !== undefined) add(`crash, folder ${old.disk}`, less('silent s', old.silentSeconds, now.silentSeconds));
  }
  for (const old of before.state) {
    const now = after.state.find(({ keys }) => keys === old.keys);
    if (now === undefined) continue;
    add(
      `${whole(old.keys)} ids`,
      more('new ids/CPU-s', old.eventsPerCpuSecond, now.eventsPerCpuSecond),
      more('repeats/CPU-s', old.repeatsPerCpuSecond, now.repeatsPerCpuSecond),
      less('RSS MB', old.rssMb, now.rssMb),
    );
  }
  return {
    title: `${nameOf(before)} → ${nameOf(after)}`,
    head: ['what', 'measure', 'before', 'after', 'ratio', ''],
    rows,
    notes: differences(before, after),
  };
}

function more(name: string, before: number | null, after: number | null): Measure {
  return { name, better: 'more', before, after };
}

function less(name: string, before: number | null, after: number | null): Measure {
  return { name, better: 'less', before, after };
}

function rowOf({ better, before, after }: Measure): string[] | null {
  if (before === null || after === null || before === 0) return null;
  const ratio = after / before;
  const gain = better === 'more' ? ratio : 1 / ratio;
  const mark = gain > 1 + NOTABLE ? 'better' : gain < 1 - NOTABLE ? 'WORSE' : '';
  return [short(before), short(after), ratio.toFixed(2), mark];
}

function short(value: number): string {
  return value >= 100 ? whole(value) : value.toFixed(1);
}

function nameOf({ version, commit, at }: Results): string {
  return `${commit ?? version} of ${at.slice(0, 16).replace('T', ' ')}`;
}

/** Why ratios may say something else than they seem to. */
function differences(before: Results, after: Results): string[] {
  const notes: string[] = [];
  if (JSON.stringify(before.machine) !== JSON.stringify(after.machine)) notes.push('The machines or programs differ.');
  const [old] = before.queries;
  const [now] = after.queries;
  if (old !== undefined && now !== undefined && old.events !== now.events) {
    notes.push(`The inputs differ: ${whole(old.events)} and ${whole(now.events)} events.`);
  }
  return notes;
}
