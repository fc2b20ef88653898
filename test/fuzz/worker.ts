/**
 * `npm run fuzz`: whether a worker that has little memory lives through whatever is sent to it, and whether a pipeline beside
 * the one that is sent it goes on at its pace. A real broker and a real worker, as users get them; messages from a seed.
 */
import { appendFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connect, type NatsConnection } from 'nats';
import { messageOf } from '../../lib/base/errors.ts';
import { bundlePipeline } from '../../lib/bundle/bundle.ts';
import { AdminClient } from '../../lib/control/client.ts';
import { packProduct } from '../bench/product.ts';
import { startBroker } from '../rig/broker.ts';
import { Closing } from '../rig/closing.ts';
import { WorkerProcess } from '../rig/worker-process.ts';
import { type Cage, makeCage } from './cage.ts';
import { Foe } from './foe.ts';
import { Innocent } from './innocent.ts';
import { HOSTILE, hostileText, IN, INNOCENT, INNOCENT_TEXT, TABLE } from './scene.ts';

const SAY_EVERY_MS = 10_000;
const START_MS = 60_000;

const HELP = `Sends hostile messages, of all formats and under all headers, to a pipeline of a worker that has little memory, and
innocent ones to another beside it. The worker must not end; each innocent row must be there once and in time; each hostile
message must become rows or letters, all of them. Exit code 1 if not; then the folder is kept, with the worker's log.

Examples:
  npm run fuzz
  npm run fuzz -- --minutes 20 --seed 1
  npm run fuzz -- --minutes 0.5 --rate 50

Options:
  --minutes N    how long                                            (default 1)
  --seed S       of the messages                                     (default: by the clock)
  --rate N       hostile messages a second, if they are worked off   (default 20)
  --memory MB    what the worker has, in MiB                         (default 512)
  --within MS    the most that an innocent row may take              (default 2000)
  --keep         keep the folder also when nothing is wrong
  --help         this
`;

const values = readFlags();
if (values.help) process.stdout.write(HELP);
else await main();

async function main(): Promise<void> {
  const [minutes, rate, memoryMb, withinMs] = [
    readNumber('--minutes', values.minutes),
    readNumber('--rate', values.rate),
    readNumber('--memory', values.memory),
    readNumber('--within', values.within),
  ];
  const seed = values.seed === undefined ? Date.now() % 1_000_000 : readNumber('--seed', values.seed);
  const closing = new Closing();
  closing.heedSignals();
  const folder = await mkdtemp(join(tmpdir(), 'millrace-fuzz-'));
  let wrong: string[] = [];
  // Last of all, when nobody writes there any more.
  closing.add(async () => {
    if ((wrong.length === 0 && !values.keep) || closing.interrupted)
      await rm(folder, { recursive: true, maxRetries: 5 });
  });
  try {
    wrong = await play({ closing, folder, minutes, rate, memoryMb, withinMs, seed });
  } catch (error) {
    if (!closing.interrupted) wrong.push(messageOf(error));
  }
  for (const line of wrong) console.log(`wrong: ${line}`);
  if (wrong.length > 0) console.log(`seed ${seed}, kept: ${folder}`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
  await closing.run();
}

interface Round {
  readonly closing: Closing;
  readonly folder: string;
  readonly minutes: number;
  readonly rate: number;
  readonly memoryMb: number;
  readonly withinMs: number;
  readonly seed: number;
}

/** Resolves with what is wrong. */
async function play({ closing, folder, minutes, rate, memoryMb, withinMs, seed }: Round): Promise<string[]> {
  say('building and packing millrace');
  const launcher = await packProduct(closing);
  await writeFile(join(folder, 'package.json'), '{"type":"module"}');
  const broker = await startBroker({ dataDir: join(folder, 'nats'), say });
  closing.add(() => broker.stop());
  const connection = await connect({ servers: broker.url, maxReconnectAttempts: -1 });
  closing.add(() => connection.close());
  const cage = makeCage(memoryMb);
  say(`seed ${seed}; the worker has ${cage.means}`);
  const host = await startWorker({ url: broker.url, folder, launcher, cage, closing });
  await makeStreams(connection);
  await deploy(host.worker, folder, { [HOSTILE]: hostileText(), [INNOCENT]: INNOCENT_TEXT });

  const innocent = new Innocent(connection);
  await innocent.start();
  closing.add(() => innocent.stop());
  const foe = new Foe({ url: broker.url, seed, perSecond: rate });
  closing.add(() => foe.stop());
  const sinceMs = performance.now();
  const progress = setInterval(() => {
    const { messages, letters, ahead } = foe.report;
    const memory = cage.peakMb() === null ? '' : `, memory ${cage.peakMb()} MiB at most`;
    say(
      `${Math.round((performance.now() - sinceMs) / 1_000)} s: ${messages} messages, ${letters} letters, ${ahead} records ahead, ` +
        `innocent worst ${innocent.worstMs} ms, threads begun anew ${host.threads}${memory}`,
    );
  }, SAY_EVERY_MS);
  closing.add(() => clearInterval(progress));
  await Promise.race([new Promise(resolve => setTimeout(resolve, minutes * 60_000)), foe.ended]);
  foe.end();
  const wrong = [...(await foe.ended), ...(await innocent.finish())];
  clearInterval(progress);
  const { messages, letters } = foe.report;
  if (innocent.worstMs > withinMs) wrong.push(`an innocent row took ${innocent.worstMs} ms, and may take ${withinMs}`);
  wrong.push(...host.deaths);
  if (cage.peakMb() !== null) console.log(`memory ${cage.peakMb()} MiB at most, threads begun anew ${host.threads}`);
  console.log(
    `fuzz ${messages} messages, ${letters} letters, innocent worst ${innocent.worstMs} ms, restarts ${host.deaths.length}`,
  );
  return wrong;
}

interface Host {
  readonly worker: WorkerProcess;
  /** How often its process has ended, and why. */
  readonly deaths: string[];
  /** How often a thread of it was started anew. */
  threads: number;
}

/** A worker in its cage; it is started again when it ends, so that the rest is seen, too. */
async function startWorker(of: {
  url: string;
  folder: string;
  launcher: string;
  cage: Cage;
  closing: Closing;
}): Promise<Host> {
  const { url, folder, launcher, cage, closing } = of;
  const caged = join(folder, 'caged.mjs');
  const enter = cage.procs === null ? '' : `writeFileSync(${JSON.stringify(cage.procs)}, String(process.pid));\n`;
  await writeFile(
    caged,
    `import { writeFileSync } from 'node:fs';\n${enter}await import(${JSON.stringify(launcher)});\n`,
  );
  const heard = (text: string) => {
    host.threads += text.match(/"event":"engine\.(crashed|stuck)"/g)?.length ?? 0;
    appendFileSync(join(folder, 'worker.log'), text);
  };
  const flags = ['--log-format', 'json', '--threads', '2'];
  const options = { natsUrl: url, dataDir: join(folder, 'data'), launcher: caged, env: cage.env, flags, heard };
  const worker = new WorkerProcess(options);
  const host: Host = { worker, deaths: [], threads: 0 };
  let isWanted = true;
  worker.onDeath = reason => {
    host.deaths.push(reason.split('\n', 1)[0]!);
    say(`the worker has ended: ${host.deaths.at(-1)}`);
    if (isWanted) worker.start().catch(error => host.deaths.push(messageOf(error)));
  };
  closing.add(async () => {
    isWanted = false;
    await worker.kill();
    cage.remove();
  });
  await worker.start();
  return host;
}

async function makeStreams(connection: NatsConnection): Promise<void> {
  const manager = await connection.jetstreamManager();
  await manager.streams.add({ name: IN, subjects: ['fuzz.in.>'] });
  await manager.streams.add({ name: 'INNOCENT_IN', subjects: [`${INNOCENT}.in`] });
  await connection.jetstream().views.kv(TABLE);
}

/** Resolves when all run. */
async function deploy(worker: WorkerProcess, folder: string, texts: Readonly<Record<string, string>>): Promise<void> {
  const client = new AdminClient({ address: worker.address, timeoutMs: START_MS });
  try {
    for (const [name, text] of Object.entries(texts)) {
      await mkdir(join(folder, 'pipelines'), { recursive: true });
      const file = join(folder, 'pipelines', `${name}.ts`);
      await writeFile(file, text);
      await client.deploy(await bundlePipeline(file));
    }
    const untilMs = performance.now() + START_MS;
    for (const name of Object.keys(texts)) {
      for (;;) {
        const { status } = await client.get(name);
        if (status.state === 'running') break;
        if (performance.now() > untilMs) throw new Error(`${name} is ${status.state}: ${status.reason}`);
        await new Promise(resolve => setTimeout(resolve, 100));
      }
    }
  } finally {
    client.close();
  }
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        minutes: { type: 'string', default: '1' },
        seed: { type: 'string' },
        rate: { type: 'string', default: '20' },
        memory: { type: 'string', default: '512' },
        within: { type: 'string', default: '2000' },
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
  return number > 0 && number < 2 ** 31 ? number : refuse(`${name} ${text}: take a number above 0`);
}

function refuse(message: string): never {
  process.stderr.write(`error: ${message}\n`);
  process.exit(2);
}
