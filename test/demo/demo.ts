/**
 * `npm run demo`: a month of American aviation in a minute. Starts a broker and a worker, each a process of its own,
 * deploys `pipeline.ts`, lets two services tell their events, subscribes to what comes out, and holds every row against
 * a batch answer. With `--crash` the worker is killed again and again, and the answer must still be the same.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { connect } from 'nats';
import { messageOf } from '../../lib/base/errors.ts';
import { AdminClient } from '../../lib/control/client.ts';
import { startServer } from '../../lib/nats/server.ts';
import { bundlePipeline } from '../../lib/worker/bundle.ts';
import { WorkerProcess } from '../rig/worker-process.ts';
import { answerOf } from './answer.ts';
import { Crashes } from './crashes.ts';
import { FLIGHTS_MAX, readAirports, readFlights } from './flights.ts';
import { Outputs } from './outputs.ts';
import { fillAirports, makeStreams, Replay } from './replay.ts';
import { Screen, type View, whole } from './screen.ts';
import { disorderOf, tellFlights } from './services.ts';

const HELP = `Real flights of January 2001, told by two services that disagree, joined and summed up as they happen,
and every result checked against a batch answer. Exit code 1 if a single row is wrong.

  npm run demo                    about a minute
  npm run demo -- --crash         the worker is killed (SIGKILL) every one to three seconds
  npm run demo -- --flights 5000  a short one

  --flights N   how many flights, 1 to ${FLIGHTS_MAX}     (default 60000, some four days)
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

/** What must be undone, last first; also when somebody presses Ctrl-C. */
class Closing {
  private readonly steps: (() => unknown)[] = [];
  private done: Promise<void> | null = null;

  add(step: () => unknown): void {
    this.steps.push(step);
  }

  run(): Promise<void> {
    this.done ??= (async () => {
      for (const step of this.steps.reverse()) await step();
    })();
    return this.done;
  }
}

async function runDemo(options: Options, closing: Closing): Promise<boolean> {
  const flights = await readFlights(options.flights);
  const airports = readAirports();
  const told = tellFlights(flights);
  const answer = answerOf(told, airports);
  console.log(story({ flights: flights.length, told, answer }));

  const folder = await mkdtemp(join(tmpdir(), 'millrace-demo-'));
  closing.add(() => {
    if (!options.keep) return rm(folder, { recursive: true, force: true });
    console.log(`kept: ${folder}`);
  });
  const server = await startServer({ dataDir: join(folder, 'nats') });
  closing.add(() => server.stop());
  const connection = await connect({ servers: server.url });
  closing.add(() => connection.close());
  const worker = new WorkerProcess({ natsUrl: server.url, dataDir: join(folder, 'worker') });
  closing.add(() => worker.stop());
  console.log(`nats-server ${server.version} at ${server.url}`);

  await makeStreams(connection);
  await fillAirports(connection, airports);
  await worker.start();
  console.log(`worker at ${worker.address}: try  npx millrace get --server ${worker.address}`);
  await deploy(worker.address);
  const outputs = new Outputs(answer);
  closing.add(() => outputs.stop());
  await outputs.listen(connection);

  const replay = new Replay(connection, { told, eventsPerSecond: options.eventsPerSecond });
  const crashes = new Crashes(worker, { seed: options.seed });
  const startedMs = performance.now();
  let phase = 'the services publish';
  const screen = new Screen(process.stdout, (): View => {
    const { deadLetters, late, latencies, latest } = outputs;
    return {
      title: `Millrace demo: ${whole(flights.length)} flights, ${whole(told.length)} events of two services`,
      phase,
      published: replay.published,
      publishedMax: told.length,
      eventsPerSecond: (replay.published / Math.max(performance.now() - startedMs, 1)) * 1_000,
      outputs: outputs.views(),
      deadLetters: { expected: answer.deadLetters, got: deadLetters },
      late,
      p50Ms: latencies.quantileMs(0.5),
      p99Ms: latencies.quantileMs(0.99),
      kills: crashes.kills,
      latest,
    };
  });
  closing.add(() => screen.close());
  if (options.crash) crashes.start();
  closing.add(() => crashes.stop());

  await replay.run();
  phase = 'everything is published; waiting for the last windows';
  while (options.crash && crashes.kills < KILLS_MIN) await pause(100);
  await crashes.stop();
  await awaitEnd(outputs);
  phase = `done in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`;
  screen.close();
  console.log(`\n${outputs.report().join('\n')}`);
  if (options.crash) console.log(`the worker was killed ${crashes.kills} times`);
  return outputs.holds;
}

/** Deploys over the API, from the file, as `millrace deploy` does. */
async function deploy(address: string): Promise<void> {
  const client = new AdminClient(address);
  try {
    const { name, revision } = await client.deploy(
      await bundlePipeline(fileURLToPath(new URL('pipeline.ts', import.meta.url))),
    );
    console.log(`deployed ${name}, revision ${revision}\n`);
  } finally {
    client.close();
  }
}

/** Until everything is there and nothing more comes, or until nothing has come for too long. */
async function awaitEnd(outputs: Outputs): Promise<void> {
  const fromMs = performance.now();
  for (;;) {
    const quietMs = performance.now() - Math.max(outputs.lastArrivalMs, fromMs);
    if ((outputs.holds && quietMs > QUIET_MS) || quietMs > STALLED_MS) return;
    await pause(100);
  }
}

function story(of: {
  flights: number;
  told: ReturnType<typeof tellFlights>;
  answer: ReturnType<typeof answerOf>;
}): string {
  const { planningMs, operationsMs } = disorderOf(of.told);
  const hours = (ms: number) => (ms / 3_600_000).toFixed(1);
  return [
    `${whole(of.flights)} flights as ${whole(of.told.length)} events: ${whole(of.answer.duplicates)} sent twice,`,
    `${of.answer.deadLetters} unreadable, up to ${hours(planningMs)} h (planning) and ${hours(operationsMs)} h`,
    `(operations) out of order; ${whole(of.answer.cancelled.length)} flights never leave`,
  ].join(' ');
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        flights: { type: 'string', default: '60000' },
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
  const closing = new Closing();
  process.once('SIGINT', () => {
    void closing.run().finally(() => process.exit(130));
  });
  try {
    const held = await runDemo(
      {
        flights: readCount('flights', values.flights, FLIGHTS_MAX),
        eventsPerSecond: readCount('rate', values.rate, 1_000_000),
        seed: readCount('seed', values.seed, 2 ** 31),
        crash: values.crash,
        keep: values.keep,
      },
      closing,
    );
    console.log(held ? 'every row is right' : 'WRONG: see above');
    if (!held) process.exitCode = 1;
  } finally {
    await closing.run();
  }
}
