/**
 * `npm run demo`: a week of American aviation in a minute. Starts a broker and a worker, each a process of its own,
 * deploys `pipeline.ts`, lets two services tell their events, subscribes to what comes out, and holds every row against
 * a batch answer. With `--crash` the worker is killed again and again, and the answer must still be the same.
 */
import { parseArgs } from 'node:util';
import { messageOf } from '../../lib/base/errors.ts';
import { Closing } from '../rig/closing.ts';
import { type Answer, answerOf } from './answer.ts';
import { Crashes } from './crashes.ts';
import { FLIGHTS_MAX, readAirports, readFlights } from './flights.ts';
import { Outputs } from './outputs.ts';
import { Replay } from './replay.ts';
import { Screen, type View, whole } from './screen.ts';
import { disorderOf, type Told, tellFlights } from './services.ts';
import { setStage } from './stage.ts';
import { exampleOf, excerpt, lateEvent, tellLate } from './story.ts';

const HELP = `Real flights of January 2001, told by two services that disagree, joined and summed up as they happen,
and every result checked against a batch answer. Exit code 1 if a single row is wrong.

  npm run demo                    about a minute
  npm run demo -- --crash         the worker is killed (SIGKILL) again and again, one to three seconds after it came up
  npm run demo -- --flights 5000  a short one

  --flights N   how many flights, 1 to ${FLIGHTS_MAX}     (default 100000, the first week)
  --rate N      events a second that the services publish  (default 4000)
  --crash       kill the worker again and again
  --seed N      decides when                               (default 1)
  --keep        keep the broker's and the worker's data, and say where
`;

const KILLS_MIN = 8;
/** All is well when everything has come and for so long nothing more. */
const QUIET_MS = 2_000;
/** It is given up when nothing has come for so long after the last event. */
const STALLED_MS = 45_000;

interface Options {
  readonly flights: number;
  readonly eventsPerSecond: number;
  readonly crash: boolean;
  readonly seed: number;
  readonly keep: boolean;
}

/** True: every row was right. Throws when something of the stage does not stand. */
async function runDemo(options: Options, closing: Closing): Promise<boolean> {
  const airports = readAirports();
  const told = tellFlights(await readFlights(options.flights));
  const answer = answerOf(told, airports);
  console.log(story(options, { told, answer }));
  console.log(`\n${excerpt()}\n`);
  const example = exampleOf(told);

  const { connection, worker, fallen } = await setStage(closing, { airports, keep: options.keep, say: console.log });
  const outputs = new Outputs(answer, example?.flight ?? null);
  closing.add(() => outputs.stop());
  await Promise.race([outputs.listen(connection), fallen]);

  const crashes = new Crashes(worker, { pipeline: 'flights', seed: options.seed });
  // Every kill shall hit a worker that is at work: a share of the events is held back for each that is still to come.
  const shareMax = () => (options.crash ? Math.min((crashes.kills + 1) / (KILLS_MIN + 1), 1) : 1);
  const replay = new Replay(connection, { told, eventsPerSecond: options.eventsPerSecond, shareMax });
  const startedMs = performance.now();
  let phase = 'the services publish';
  let lateText = '';
  const look = (): View => ({
    title: `Millrace demo: ${whole(options.flights)} flights, ${whole(told.length)} events of two services`,
    phase,
    published: replay.published,
    publishedMax: told.length,
    eventsPerSecond: replay.publishedPerSecond,
    outputs: outputs.views(),
    deadLetters: { expected: answer.deadLetters, got: outputs.deadLetters },
    late: { expected: outputs.lateExpected, got: outputs.late },
    p50Ms: outputs.latencies.quantileMs(0.5),
    p99Ms: outputs.latencies.quantileMs(0.99),
    kills: crashes.kills,
    latest: outputs.latest,
  });
  const screen = new Screen(process.stdout, look);
  closing.add(() => screen.close());
  closing.add(() => crashes.stop());
  const crashing = options.crash ? crashes.run() : Promise.resolve();

  const play = async () => {
    await replay.run();
    phase = 'everything is published; waiting for the last windows';
    crashes.stop();
    await crashing;
    await awaitEnd(outputs);
    phase = 'one event more, too late';
    outputs.lateExpected = 1;
    lateText = await tellLate(connection, lateEvent(told));
    await awaitEnd(outputs);
    phase = `done in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`;
  };
  // Crashes end before the play does, unless the worker cannot be started again.
  await Promise.race([play(), fallen, crashing.then(() => new Promise<never>(() => {}))]);
  screen.close();
  if (example !== null && outputs.example !== null) {
    const { subject, row } = outputs.example;
    console.log(`\none flight, as it was told and as it came out:`);
    for (const { subject, body } of example.events) console.log(`  in      ${subject}  ${body}`);
    console.log(`  out     ${subject}  ${row}`);
  }
  console.log(`\n${lateText}`);
  console.log(`\n${outputs.report().join('\n')}`);
  if (options.crash) console.log(`the worker was killed ${crashes.kills} times`);
  return outputs.holds;
}

/** Until everything is there and nothing more comes, or until nothing has come for too long. */
async function awaitEnd(outputs: Outputs): Promise<void> {
  const fromMs = performance.now();
  for (;;) {
    const quietMs = performance.now() - Math.max(outputs.lastArrivalMs, fromMs);
    if ((outputs.holds && quietMs > QUIET_MS) || quietMs > STALLED_MS) return;
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

function story(options: Options, { told, answer }: { told: readonly Told[]; answer: Answer }): string {
  const { planningMs, operationsMs } = disorderOf(told);
  const { plans, departures, heartbeats } = answer.events;
  const hours = (ms: number) => (ms / 3_600_000).toFixed(1);
  return [
    `${whole(options.flights)} flights as ${whole(told.length)} events: ${whole(plans)} plans, ${whole(departures)} departures,`,
    `${whole(answer.duplicates)} copies of these, ${answer.deadLetters} unreadable, ${whole(heartbeats)} heartbeats;`,
    `up to ${hours(planningMs)} h (planning) and ${hours(operationsMs)} h (operations) out of order;`,
    `${whole(answer.cancelled.length)} flights that are planned never leave, ${whole(options.flights - plans)} nobody has planned`,
  ].join(' ');
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        flights: { type: 'string', default: '100000' },
        rate: { type: 'string', default: '4000' },
        seed: { type: 'string', default: '1' },
        crash: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    return refuse(messageOf(error));
  }
}

function readCount(name: string, text: string, most: number): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1 && count <= most) return count;
  return refuse(`--${name} ${text}: take a number from 1 to ${most}`);
}

function refuse(message: string): never {
  process.stderr.write(`error: ${message}\n`);
  process.exit(2);
}

const values = readFlags();
if (values.help) {
  process.stdout.write(HELP);
} else {
  const options: Options = {
    flights: readCount('flights', values.flights, FLIGHTS_MAX),
    eventsPerSecond: readCount('rate', values.rate, 1_000_000),
    seed: readCount('seed', values.seed, 2 ** 31),
    crash: values.crash,
    keep: values.keep,
  };
  const closing = new Closing();
  closing.heedSignals();
  try {
    const held = await runDemo(options, closing);
    console.log(held ? 'every row is right' : 'WRONG: see above');
    process.exitCode = held ? 0 : 1;
  } catch (error) {
    // What breaks because everything is being taken down is nobody's mistake.
    if (!closing.interrupted) process.stderr.write(`error: ${messageOf(error)}\n`);
    process.exitCode = 1;
  }
  await closing.run();
}
