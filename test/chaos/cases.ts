/**
 * Everything that can go wrong on purpose. A case is a small file in `cases/` that exports one, or a list of them, as its
 * default; nothing else has to know of it. Random rounds draw from those that have a weight, the others are directed: played
 * by name. Every case leaves the stage as it found it, and whatever it does, every row must be right in the end. A case that
 * takes from the broker what nobody can put together again may have the pipeline stand instead, and say why.
 */
import { readdirSync } from 'node:fs';
import type { ErrorCode } from '../../lib/base/errors.ts';
import type { Random } from '../../lib/base/random.ts';
import type { Stage } from './stage.ts';

export interface Case {
  /** For `--case`, in words of lower case with dashes. */
  readonly name: string;
  /** A line for `--list`: what happens. */
  readonly about: string;
  /** How often it is drawn in random rounds, against the others; absent: never. */
  readonly weight?: number;
  /** Nothing else goes wrong at the same time: it could not say then what must come of it. */
  readonly isAlone?: boolean;
  /**
   * With these codes the pipeline may stand from then on, as `deploy/FAULTS.md` says. Then what is out must be right as far
   * as it goes, and nothing more may come.
   */
  readonly mayStand?: readonly ErrorCode[];
  /** Load flows already. Resolves when everything is mended. Throws for what is wrong other than rows. */
  play(stage: Stage, random: Random): Promise<void>;
}

export async function readCases(): Promise<readonly Case[]> {
  const folder = new URL('cases/', import.meta.url);
  const cases: Case[] = [];
  for (const file of readdirSync(folder).sort()) {
    const module = (await import(new URL(file, folder).href)) as { default: Case | readonly Case[] };
    cases.push(...[module.default].flat());
  }
  const names = new Set(cases.map(({ name }) => name));
  if (names.size < cases.length) throw new Error('two cases have one name');
  return cases;
}

/** One of those with a weight. */
export function draw(cases: readonly Case[], random: Random): Case {
  const weighted = cases.filter(({ weight = 0 }) => weight > 0);
  let left = random.next() * weighted.reduce((sum, { weight = 0 }) => sum + weight, 0);
  for (const one of weighted) {
    left -= one.weight ?? 0;
    if (left < 0) return one;
  }
  throw new Error('no case has a weight');
}
