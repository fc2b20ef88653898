/**
 * One measured run: a broker and a worker, each a process of its own; the input loaded first; a query deployed; what comes
 * out read back and held against the batch answer. CPU counts broker and worker together, from the first event
 * read to the last row stored; nobody reads the output meanwhile, since that would be charged to the broker.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, type NatsConnection } from 'nats';
import { AdminClient } from '../../lib/control/client.ts';
import { bundlePipeline } from '../../lib/worker/bundle.ts';
import { startBroker } from '../rig/broker.ts';
import { Latencies } from '../rig/latency.ts';
import { lastSequenceOf, readAll, streamOf, subscribe } from '../rig/subscriber.ts';
import { WorkerProcess } from '../rig/worker-process.ts';
import { type Answer, answerOf, type Query, type Row, Tally } from './answers.ts';
import { type CpuMeter, meterCpu } from './cpu.ts';
import { kindsOf, loadInput, makeInputStreams, type Shape, STREAMS, sendLive } from './input.ts';
import { nexmark } from './nexmark.ts';

export interface RunOptions {
  readonly query: Query;
  readonly shape: Shape;
  /** Nexmark events of all kinds; a query reads some of them. */
  readonly events: number;
  /** Distance of their event times; default 10,000 a second. */
  readonly eventsPerSecond?: number;
  /** Afterwards, live: so many events a second for so long, to measure latency. 0 seconds: not at all. */
  readonly live: { readonly eventsPerSecond: number; readonly seconds: number };
  /** Told what is being done. */
  readonly say: (text: string) => void;
}

export interface RunResult {
  readonly query: Query;
  readonly shape: Shape;
  readonly events: number;
  /** How many of them the query reads, repeats included. */
  readonly eventsRead: number;
  readonly correct: boolean;
  readonly rows: number;
  readonly rowsExpected: number;
  /** Events read for each second of CPU that worker and broker used. */
  readonly eventsPerCpuSecond: number;
  readonly workerCpuSeconds: number;
  readonly serverCpuSeconds: number;
  readonly wallSeconds: number;
  /** From sending to arrival at a subscriber; null where rows are windows, or without a live part. */
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
  /** Peak of the worker. */
  readonly rssMb: number;
  readonly serverRssMb: number;
}

const POLL_MS = 100;
/** The output has ended when it is complete and nothing has come for so long. */
const QUIET_MS = 1_000;
/** It is given up when nothing has come for so long. */
const STALLED_MS = 20_000;
const LIVE_WARM_UP_MS = 2_000;

/** Runs one query. Throws when anything does not start; wrong rows are a result. */
export async function runQuery(options: RunOptions): Promise<RunResult> {
  const { query, shape, events, eventsPerSecond = 10_000, say } = options;
  const folder = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
  const server = await startBroker({ dataDir: join(folder, 'nats'), say });
  const connection = await connect({ servers: server.url });
  const worker = new WorkerProcess({ natsUrl: server.url, dataDir: join(folder, 'worker') });
  try {
    say('computing the batch answer');
    const expected = answerOf(query, nexmark({ events, eventsPerSecond }));
    say('loading the input');
    await makeInputStreams(connection);
    const { eventsRead, lastMs } = await loadInput(connection, { query, shape, events, eventsPerSecond });
    await worker.start();
    const meter = meterCpu([worker.pid, server.pid]);
    say('running');
    const firstRead = watchFirstRead(connection, query);
    await deploy(worker.address, { query, shape, folder });
    const output = await awaitOutput(connection, { query, expected, lastMs });
    const fromMs = await firstRead.stop();
    const cost = costOf(meter, { fromMs, toMs: output.lastStoredMs, eventsRead });
    const latency = await measureLive(connection, options);
    meter.stop();
    const correct = output.answer.rows === expected.rows && output.answer.checksum === expected.checksum;
    if (!correct) say(await explain(worker, query));
    const rows = output.answer.rows;
    return { query, shape, events, eventsRead, correct, rows, rowsExpected: expected.rows, ...cost, ...latency };
  } finally {
    await worker.stop();
    await connection.close();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** What the worker itself knows of a run that went wrong. */
async function explain(worker: WorkerProcess, query: Query): Promise<string> {
  const client = new AdminClient({ address: worker.address });
  try {
    const { status } = await client.get(query);
    return `wrong rows; the pipeline says ${JSON.stringify(status)}\nthe worker says ${worker.said()}`;
  } finally {
    client.close();
  }
}

/** A run without any row has cost nothing that could be told. */
function costOf(meter: CpuMeter, run: { fromMs: number; toMs: number; eventsRead: number }) {
  const toMs = Math.max(run.toMs, run.fromMs);
  const [workerMs = 0, serverMs = 0] = meter.between(run.fromMs, toMs);
  const [workerBytes = 0, serverBytes = 0] = meter.peakBytes();
  return {
    eventsPerCpuSecond: workerMs + serverMs > 0 ? Math.round((run.eventsRead * 1_000) / (workerMs + serverMs)) : 0,
    workerCpuSeconds: Math.round(workerMs) / 1_000,
    serverCpuSeconds: Math.round(serverMs) / 1_000,
    wallSeconds: Math.round(toMs - run.fromMs) / 1_000,
    rssMb: Math.round(workerBytes / 2 ** 20),
    serverRssMb: Math.round(serverBytes / 2 ** 20),
  };
}

/** Deploys the query's pipeline as a user would: from its file, over the API. */
async function deploy(address: string, options: { query: Query; shape: Shape; folder: string }): Promise<void> {
  const file = fileURLToPath(new URL(`pipelines/${options.query}.ts`, import.meta.url));
  let entry = file;
  if (options.shape === 'single') {
    entry = join(options.folder, 'single.ts');
    await writeFile(entry, `export { single as default } from ${JSON.stringify(file)};\n`);
  }
  const client = new AdminClient({ address });
  try {
    await client.deploy(await bundlePipeline(entry));
  } finally {
    client.close();
  }
}

/**
 * Notes the last moment at which no reader had turned up at an input stream: nothing can have been read before, and what
 * is charged too much lies within one look.
 */
function watchFirstRead(connection: NatsConnection, query: Query): { stop(): Promise<number> } {
  const kinds = kindsOf(query);
  let stopped = false;
  const watch = async (): Promise<number> => {
    const manager = await connection.jetstreamManager();
    let unreadMs = Date.now();
    while (!stopped) {
      const askedMs = Date.now();
      for (const kind of kinds) {
        const { state } = await manager.streams.info(STREAMS[kind]);
        if (state.consumer_count > 0) return unreadMs;
      }
      unreadMs = askedMs;
      await pause(POLL_MS / 4);
    }
    throw new Error('rows came out, but nobody was seen to read the input');
  };
  const first = watch();
  return {
    stop() {
      stopped = true;
      return first;
    },
  };
}

interface Output {
  readonly answer: Answer;
  /** When the last row that counts was stored, ms since 1970. */
  readonly lastStoredMs: number;
}

/** Waits, without reading, until the output falls quiet; reads it; goes on waiting as long as rows are missing. */
async function awaitOutput(
  connection: NatsConnection,
  options: { query: Query; expected: Answer; lastMs: number },
): Promise<Output> {
  const { query, expected, lastMs } = options;
  const tally = new Tally(query, { lastMs });
  let lastStoredMs = 0;
  let readTo = 0;
  let movedMs = Date.now();
  let lastSeq = 0;
  for (;;) {
    const stream = await streamOf(connection, subjectOf(query));
    const seq = stream === null ? 0 : await lastSequenceOf(connection, stream);
    if (seq > lastSeq) {
      lastSeq = seq;
      movedMs = Date.now();
    }
    const quietMs = Date.now() - movedMs;
    if (stream !== null && quietMs > QUIET_MS && readTo < lastSeq) {
      readTo = await readAll(connection, {
        stream,
        subject: subjectOf(query),
        from: readTo + 1,
        arrived({ row, storedMs }) {
          if (tally.add(JSON.parse(row) as Row)) lastStoredMs = Math.max(lastStoredMs, storedMs);
        },
      });
    }
    const complete = tally.rows >= expected.rows && readTo === lastSeq && quietMs > QUIET_MS;
    if (complete || quietMs > STALLED_MS) return { answer: tally.answer(), lastStoredMs };
    await pause(POLL_MS);
  }
}

/** Latency under a steady load, measured on the pipeline that has just caught up. */
async function measureLive(
  connection: NatsConnection,
  { query, shape, live, say }: RunOptions,
): Promise<{ p50Ms: number | null; p99Ms: number | null }> {
  const stream = await streamOf(connection, subjectOf(query));
  if (live.seconds === 0 || stream === null || query === 'q5' || query === 'q11') return { p50Ms: null, p99Ms: null };
  say(`measuring latency at ${live.eventsPerSecond} events a second`);
  const latencies = new Latencies();
  const fromMs = Date.now() + LIVE_WARM_UP_MS;
  const subscription = await subscribe(connection, {
    stream,
    subject: subjectOf(query),
    from: (await lastSequenceOf(connection, stream)) + 1,
    arrived({ row }) {
      const { dateTime } = JSON.parse(row) as { dateTime: number };
      if (dateTime >= fromMs) latencies.add(Date.now() - dateTime);
    },
  });
  await sendLive(connection, { query, shape, ...live });
  await pause(QUIET_MS);
  await subscription.stop();
  return { p50Ms: latencies.quantileMs(0.5), p99Ms: latencies.quantileMs(0.99) };
}

/** As a subscriber names it: a task each has a subject of its own, or all share one. */
function subjectOf(query: Query): string {
  return `bench.${query}.>`;
}

function pause(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
