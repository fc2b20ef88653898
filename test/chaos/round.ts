/**
 * One round: a stage of its own, a few faults drawn from a seed or the one that is named, some of them two at once, while load
 * flows; then everything is mended, and every row is judged.
 *
 *   load    ──────────────────────────────────────────────┐ heartbeats ────────────────
 *   faults      ├ a ─┤   ├── b ──────┤  ├ c ─┤
 *                            ├ d ┤                         all mended   ··· wait ··· judge
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../lib/base/errors.ts';
import { Random } from '../../lib/base/random.ts';
import { pause } from '../bench/scene.ts';
import type { Closing } from '../rig/closing.ts';
import { type Case, draw } from './cases.ts';
import { judge, type Verdict } from './judge.ts';
import { Stage } from './stage.ts';

const ORDERS_PER_SECOND = 120;
const LOAD_MS_MIN = 10_000;
/** Faults are begun until then; those that go on longer are waited for. */
const FAULTS_MS = 14_000;
const SETTLED_MS = 60_000;

export interface RoundOptions {
  readonly seed: number;
  readonly cases: readonly Case[];
  /** The one that is played; null: drawn from the seed. */
  readonly only: Case | null;
  /** Where a folder for the round is made. */
  readonly folder: string;
  /** Keep it, also when all is right. */
  readonly keep?: boolean;
  /** See `Stage`. */
  readonly launcher?: string;
  readonly workers?: number;
  readonly closing: Closing;
}

export interface RoundResult extends Verdict {
  readonly played: readonly string[];
  /** Null: it is gone. Data of broker and workers, logs, and what was done when. */
  readonly kept: string | null;
}

export async function playRound({
  seed,
  cases,
  only,
  folder: parent,
  closing,
  launcher,
  workers = 2,
  keep = false,
}: RoundOptions): Promise<RoundResult> {
  const folder = join(parent, `round-${seed}`);
  const random = new Random(seed);
  const stage = await Stage.set({
    folder,
    closing,
    launcher,
    workers,
    random: new Random(seed + 1),
    ordersPerSecond: ORDERS_PER_SECOND,
  });
  const played: string[] = [];
  const troubles: string[] = [];
  const play = async (one: Case) => {
    played.push(one.name);
    stage.note(`— ${one.name}: ${one.about}`);
    try {
      await one.play(stage, random);
    } catch (error) {
      troubles.push(`${one.name}: ${messageOf(error)}`);
    }
  };
  try {
    const fromMs = performance.now();
    await pause(random.between(500, 2_000));
    if (only !== null) await play(only);
    else await playRandom(fromMs, { cases, play, random });
    await pause(Math.max(1_000, LOAD_MS_MIN - (performance.now() - fromMs)));
    stage.note('all is mended');
    const codes = cases.flatMap(({ name, mayStand = [] }) => (played.includes(name) ? mayStand : []));
    await stage.settled(codes, SETTLED_MS).catch((error: unknown) => void troubles.push(messageOf(error)));
    stage.load.beat();
    const stands = () => (codes.length === 0 ? Promise.resolve(null) : stage.settled(codes, SETTLED_MS));
    const verdict = await judge(stage.connection, { stands });
    const wrong = [...troubles, ...verdict.wrong];
    for (const line of wrong) stage.note(`wrong: ${line}`);
    await stage.close();
    const kept = keep || wrong.length > 0;
    if (!kept) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    return { ...verdict, wrong, played, kept: kept ? folder : null };
  } finally {
    await stage.close();
  }
}

/** One after the other, and now and then a second one while the first is not over. */
async function playRandom(
  fromMs: number,
  { cases, play, random }: { cases: readonly Case[]; play: (one: Case) => Promise<void>; random: Random },
): Promise<void> {
  let beside: Promise<void> = Promise.resolve();
  while (performance.now() - fromMs < FAULTS_MS) {
    const one = draw(cases, random);
    if (one.isAlone === true) await beside;
    else if (random.chance(0.25)) {
      await beside;
      beside = play(one);
      await pause(random.between(100, 1_500));
      continue;
    }
    await play(one);
    await pause(random.between(300, 2_500));
  }
  await beside;
}
