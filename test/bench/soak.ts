/** `npm run soak`: whether memory stays flat while keys, windows and duplicates come and expire, and every row is right. */
import { parseArgs } from 'node:util';
import { messageOf } from '../../lib/base/errors.ts';
import { Closing } from '../rig/closing.ts';
import type { Drift } from './drift.ts';
import { packProduct } from './product.ts';
import { megabytes } from './run.ts';
import { type SoakSample, soak } from './soak-run.ts';
import { fixed, whole } from './table.ts';

const HELP = `Runs Millrace under a steady load of keys that come and go, windows that close and duplicates that are forgotten; prints
every ten seconds what worker and broker hold in memory, and at the end whether that grew. Every row is checked. Exit code
1 if a row is wrong or memory grows.

Examples:
  npm run soak
  npm run soak -- --minutes 60 --rate 10000

Options:
  --minutes N   how long; a third of it, and at least four, are warm-up  (default 15)
  --rate N      readings a second                                      (default 5000)
  --json        the verdict as JSON on the last line
  --help        this
`;

const COLUMNS: readonly (readonly [head: string, cell: (sample: SoakSample) => string])[] = [
  ['time', ({ seconds }) => `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`],
  ['events sent', ({ sent }) => whole(sent)],
  ['rows right', ({ rows }) => whole(rows)],
  ['rows to come', ({ outstanding }) => whole(outstanding)],
  ['worker MB', ({ workerMb }) => whole(workerMb)],
  ['broker MB', ({ brokerMb }) => whole(brokerMb)],
  ['state MB', ({ stateMb }) => whole(stateMb)],
  ['streams MB', ({ storedMb }) => whole(storedMb)],
];

const VERDICTS: Readonly<Record<Drift['verdict'], string>> = {
  flat: 'flat',
  grows: 'GROWS',
  short: 'too short to tell',
};

const values = readFlags();
if (values.help) {
  process.stdout.write(HELP);
} else {
  const seconds = readNumber('--minutes', values.minutes) * 60;
  const eventsPerSecond = readNumber('--rate', values.rate);
  const closing = new Closing();
  closing.heedSignals();
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  try {
    say('building and packing millrace');
    const launcher = await packProduct(closing);
    say(`${whole(eventsPerSecond)} readings a second for ${fixed(seconds / 60, 1)} minutes`);
    say(line(COLUMNS.map(([head]) => head)));
    const sampled = (sample: SoakSample) => say(line(COLUMNS.map(([, cell]) => cell(sample))));
    const result = await soak({ seconds, eventsPerSecond, launcher, closing, say, sampled });
    const { correct, sent, rows, worker, broker } = result;
    if (values.json) console.log(JSON.stringify(result));
    else {
      console.log(`rows     ${correct ? `all ${whole(rows)} right` : 'WRONG, see above'} of ${whole(sent)} events`);
      console.log(`worker   ${describe(worker)}`);
      console.log(`broker   ${describe(broker)}`);
    }
    process.exitCode = correct && worker.verdict !== 'grows' && broker.verdict !== 'grows' ? 0 : 1;
  } catch (error) {
    // What breaks because everything is being taken down is nobody's mistake.
    if (!closing.interrupted) process.stderr.write(`error: ${messageOf(error)}\n`);
    process.exitCode = 1;
  }
  await closing.run();
}

function describe({ verdict, meanBytes, grownBytes, bytesAnHour }: Drift): string {
  if (verdict === 'short') return VERDICTS.short;
  const rate = `${signed(grownBytes)} MB after the warm-up, ${signed(bytesAnHour)} MB an hour`;
  return `${VERDICTS[verdict]}: ${megabytes(meanBytes)} MB on average, ${rate}`;
}

function signed(bytes: number): string {
  return `${bytes < 0 ? '' : '+'}${megabytes(bytes)}`;
}

function line(cells: readonly string[]): string {
  return cells.map(cell => cell.padStart(14)).join('');
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        minutes: { type: 'string', default: '15' },
        rate: { type: 'string', default: '5000' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return refuse(messageOf(error));
  }
}

function readNumber(name: string, text: string): number {
  const number = Number(text);
  return Number.isFinite(number) && number > 0 ? number : refuse(`${name} ${text}: take a number above 0`);
}

function refuse(message: string): never {
  process.stderr.write(`error: ${message}\n`);
  process.exit(2);
}
