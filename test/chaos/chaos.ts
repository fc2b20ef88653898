/**
 * `npm run chaos`: whether every row is right whatever happens to workers, network, broker and disks. Real processes with
 * the settings that users get, faults from a seed, a batch answer.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf } from '../../lib/base/errors.ts';
import { packProduct } from '../bench/product.ts';
import { findBroker } from '../rig/broker.ts';
import { Closing } from '../rig/closing.ts';
import { type Case, readCases } from './cases.ts';
import { playRound, type RoundResult } from './round.ts';
import { WORKERS_MAX } from './stage.ts';

/** What has been ended is gone by then. */
const LEFT_MS = 20_000;

const HELP = `Plays rounds of faults on workers and a broker, each a process of its own, under load: kills, freezes, cuts, lost
answers, broken folders, deploys, quiet services; and checks every row. Exit code 1 if one is wrong; then the round's
folder is kept, with all logs.

Examples:
  npm run chaos
  npm run chaos -- --rounds 100 --seed 1 --at-once 3
  npm run chaos -- --seed 37               the round with that seed again
  npm run chaos -- --workers 3 --rounds 10
  npm run chaos -- --workers 3 --case kill --rounds 5
  npm run chaos -- --list

Options:
  --rounds N   how many; each takes a good half a minute        (default 1)
  --at-once K  so many at the same time, each on a stage of its own  (default 1)
  --workers K  how many, 2 to 7                                (default 2)
  --seed S     of the first round; the next has the next seed   (default: by the clock)
  --case NAME  that one in every round, instead of random ones
  --list       the cases there are
  --keep       keep the folder of every round, not only of those that are wrong
  --help       this
`;

const values = readFlags();
if (values.help) process.stdout.write(HELP);
else {
  const cases = await readCases();
  if (values.list) process.stdout.write(listOf(cases));
  else await main(cases);
}

async function main(cases: readonly Case[]): Promise<void> {
  const rounds = readNumber('--rounds', values.rounds);
  const atOnce = readNumber('--at-once', values['at-once']);
  const workers = readNumber('--workers', values.workers);
  if (workers < 2 || workers > WORKERS_MAX) refuse(`--workers ${workers}: take 2 to ${WORKERS_MAX}`);
  const first = values.seed === undefined ? Date.now() % 1_000_000 : readNumber('--seed', values.seed);
  const only = values.case === undefined ? null : (cases.find(({ name }) => name === values.case) ?? null);
  if (values.case !== undefined && only === null) refuse(`--case ${values.case}: there is none; see --list`);
  const closing = new Closing();
  closing.heedSignals();
  const folder = await mkdtemp(join(tmpdir(), 'millrace-chaos-'));
  // Last of all, when nobody writes there any more.
  closing.add(async () => {
    if (closing.interrupted) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  });
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  let wrong = 0;
  const silencesMs: number[] = [];
  let begun = 0;
  const playInTurn = async (launcher: string) => {
    while (begun < rounds && !closing.interrupted) {
      const round = ++begun;
      const seed = first + round - 1;
      const sinceMs = performance.now();
      const result = await playRound({ seed, cases, only, folder, closing, launcher, workers, keep: values.keep });
      if (closing.interrupted) return;
      silencesMs.push(result.silenceMs);
      if (result.wrong.length > 0) wrong++;
      tell(`round ${round}  seed ${seed}`, result, performance.now() - sinceMs);
    }
  };
  try {
    // Fetched once, where there is none, and not by each round at the same time.
    await findBroker(say);
    say('building and packing millrace');
    const launcher = await packProduct(closing);
    await Promise.all(Array.from({ length: atOnce }, () => playInTurn(launcher)));
    if (wrong === 0 && !values.keep) await rm(folder, { recursive: true, force: true });
    const sorted = silencesMs.sort((a, b) => a - b);
    if (rounds > 1) console.log(`silence ${seconds(sorted[sorted.length >> 1] ?? 0)} s at the median`);
    const worstMs = sorted.at(-1) ?? 0;
    console.log(`rounds ${rounds}, wrong ${wrong}, worst silence ${seconds(worstMs)} s`);
    process.exitCode = wrong === 0 ? 0 : 1;
  } catch (error) {
    // What breaks because everything is being taken down is nobody's mistake.
    if (!closing.interrupted) process.stderr.write(`error: ${messageOf(error)}; see ${folder}\n`);
    process.exitCode = 1;
  }
  await closing.run();
  // A program that never ends would say nothing of it.
  setTimeout(() => {
    process.stderr.write(`error: something still runs: ${process.getActiveResourcesInfo().join(', ')}\n`);
    process.exit(1);
  }, LEFT_MS).unref();
}

/** A line for the round, and one for each thing that is wrong with it. */
function tell(name: string, result: RoundResult, tookMs: number): void {
  const { wrong, events, rows, silenceMs, played, stoodWith, kept } = result;
  const counts = `${events} events  ${rows} rows  silence ${seconds(silenceMs)} s  ${seconds(tookMs)} s`;
  console.log(
    `${name}  ${wrong.length === 0 ? 'right' : 'WRONG'}  ${counts}  ${played.join(' ')}${stoodWith === null ? '' : `  stands: ${stoodWith}`}`,
  );
  for (const line of wrong) console.log(`  ${line}`);
  if (kept !== null) console.log(`  kept: ${kept}`);
}

function listOf(cases: readonly Case[]): string {
  const width = Math.max(...cases.map(({ name }) => name.length));
  return cases
    .map(
      ({ name, about, weight }) => `${name.padEnd(width)}  ${weight === undefined ? 'by name' : 'random '}  ${about}\n`,
    )
    .join('');
}

function seconds(ms: number): string {
  return (ms / 1_000).toFixed(1);
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        rounds: { type: 'string', default: '1' },
        'at-once': { type: 'string', default: '1' },
        workers: { type: 'string', default: '2' },
        seed: { type: 'string' },
        case: { type: 'string' },
        list: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return refuse(messageOf(error));
  }
}

function readNumber(name: string, text: string): number {
  const number = Number(text);
  return Number.isInteger(number) && number >= 1 && number < 2 ** 31
    ? number
    : refuse(`${name} ${text}: take a whole number above 0`);
}

function refuse(message: string): never {
  process.stderr.write(`error: ${message}\n`);
  process.exit(2);
}
