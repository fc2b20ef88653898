/**
 * The judge of `story.ts`: what subscribers got against the batch answer.
 */
import type { Answer } from './story.ts';
import type { World } from './world.ts';

/** A pipeline that has stopped owes rows; it must not have sent any twice, or wrong ones. */
export function excess(world: World, expected: Answer): string | null {
  for (const name of NAMES) {
    const extra = minus(got(world, name), expected[name]);
    if (extra.length > 0) return `${name}: ${extra.length} too many before the alarm: ${extra.slice(0, 3).join(' ')}`;
  }
  return null;
}

const NAMES = ['pairs', 'counts', 'audit', 'changed'] as const;

/** What subscribers of an output got, as the answer has it, in order. */
function got(world: World, name: (typeof NAMES)[number]): string[] {
  return name === 'changed' ? world.rows(name, { changes: true }) : world.rows(name);
}

export const size = (expected: Answer) => NAMES.reduce((rows, name) => rows + expected[name].length, 0);
export const count = (world: World) => NAMES.reduce((rows, name) => rows + world.rows(name).length, 0);

export function judge(world: World, expected: Answer): string | null {
  if (world.failure !== null) return `failed: ${world.failure.stack ?? world.failure.message}`;
  const late = world.rows('MR_story_letters');
  if (late.length > 0) return `letters: ${late.slice(0, 3).join(' ')}`;
  return (
    differ('pairs', got(world, 'pairs').sort(), expected.pairs) ??
    differ('counts', got(world, 'counts').sort(), expected.counts) ??
    differ('audit', got(world, 'audit'), expected.audit) ??
    differ('changed', got(world, 'changed').sort(), expected.changed)
  );
}

function differ(name: string, got: readonly string[], wanted: readonly string[]): string | null {
  if (got.length === wanted.length && got.every((row, i) => row === wanted[i])) return null;
  const lost = minus(wanted, got);
  const extra = minus(got, wanted);
  if (lost.length === 0 && extra.length === 0) return `${name}: rows are out of order`;
  const show = (rows: readonly string[]) => rows.slice(0, 3).join(' ');
  return `${name}: ${got.length} of ${wanted.length} rows; ${lost.length} lost ${show(lost)}; ${extra.length} too many ${show(extra)}`;
}

export function minus(a: readonly string[], b: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const row of b) counts.set(row, (counts.get(row) ?? 0) + 1);
  return a.filter(row => {
    const left = counts.get(row) ?? 0;
    counts.set(row, left - 1);
    return left <= 0;
  });
}
