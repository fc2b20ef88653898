/**
 * One measured run of a query: the input loaded first, the pipeline deployed, what comes out read back and held against
 * the batch answer. CPU counts broker and worker together, from the first event read to the last row stored. Then the raw
 * limit of the same messages on the same broker, and latency at a steady rate.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Answer, answerOf, type Query, type Row, sameAnswer, Tally } from './answers.ts';
import { awaitOutput, watchFirstRead } from './catch-up.ts';
import { kindsOf, loadInput, makeInputStreams, type Shape, STREAMS } from './input.ts';
import { type LatencyResult, type Live, measureLive, NO_LATENCY } from './live.ts';
import { nexmark } from './nexmark.ts';
import { measureRawLimit, type RawLimit } from './raw-limit.ts';
import { Scene, type SceneOptions } from './scene.ts';
import { meterCpu, peakBytesOf, writtenBytesOf } from './usage.ts';

export interface RunOptions extends Omit<SceneOptions, 'syncAlways'> {
  readonly query: Query;
  readonly shape: Shape;
  /** Nexmark events of all kinds; a query reads some of them. */
  readonly events: number;
  /** Distance of their event times. Default 10,000 a second, or fewer if they would not last a minute: windows must close. */
  readonly eventsPerSecond?: number;
  /** Whether the raw limit is measured, too. */
  readonly raw: boolean;
  readonly live: Live;
  /** Into how many the keys of a stage are cut; default as for any pipeline. */
  readonly partitions?: number | null;
}

export interface RunResult extends LatencyResult {
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
  readonly brokerCpuSeconds: number;
  readonly wallSeconds: number;
  /** The same messages without an engine; null when it was not measured. */
  readonly raw: RawLimit | null;
  /** Share of the raw limit's events per CPU-second, 0 to 1; null likewise. */
  readonly ofRaw: number | null;
  /** Peaks of worker and broker. */
  readonly rssMb: number;
  readonly brokerRssMb: number;
  /** What the worker and the broker have written to disk, and what the worker has sent to the broker. */
  readonly workerDiskMb: number;
  readonly brokerDiskMb: number;
  readonly toBrokerMb: number;
}

const LEAST_SECONDS = 60;
const expected = new Map<string, Answer>();

/** Runs one query. Throws when anything does not start; wrong rows are a result. */
export async function runQuery(options: RunOptions): Promise<RunResult> {
  const { query, shape, events, raw, live, partitions = null, say } = options;
  const { eventsPerSecond = Math.min(10_000, Math.ceil(events / LEAST_SECONDS)) } = options;
  const scene = await Scene.set({ ...options, syncAlways: shape === 'safe' });
  try {
    const { connection } = scene;
    say('computing the batch answer');
    const answer = expectedOf(query, { events, eventsPerSecond });
    say('loading the input');
    await makeInputStreams(connection);
    const loaded = (count: number) => say(`loading the input: ${count.toLocaleString('en-US')} events`);
    const { eventsRead, lastMs } = await loadInput(connection, { query, shape, events, eventsPerSecond, loaded });

    say('running');
    await scene.worker.start();
    const usage = await beginUsage(scene);
    const inputs = kindsOf(query).map(kind => STREAMS[kind]);
    const firstRead = watchFirstRead(connection, inputs);
    await scene.deploy(await entryOf(scene, { query, shape, partitions }));
    const subject = subjectOf(query);
    const tally = new Tally(query, { lastMs });
    const { stream, lastStoredMs } = await awaitOutput(connection, {
      subject,
      take: row => tally.add(JSON.parse(row) as Row),
      complete: () => tally.rows >= answer.rows,
    });
    const correct = sameAnswer(tally.answer(), answer);
    if (!correct) say(await scene.explain(query));
    const fromMs = await firstRead.stop();
    const cost = await usage.end({ fromMs, toMs: Math.max(lastStoredMs, fromMs), eventsRead });

    if (raw) say('measuring the raw limit');
    const limit = raw && stream !== null ? await measureRawLimit(scene, { inputs, output: stream, eventsRead }) : null;
    return {
      ...{ query, shape, events, eventsRead, correct, rows: tally.rows, rowsExpected: answer.rows },
      ...cost,
      raw: limit,
      ofRaw: limit === null ? null : Math.round((cost.eventsPerCpuSecond / limit.eventsPerCpuSecond) * 1_000) / 1_000,
      ...(stream === null
        ? NO_LATENCY
        : await latencyOf(scene, { query, shape, live, say, output: { stream, subject } })),
    };
  } finally {
    await scene.close();
  }
}

/** Rows of windows come when a window closes: there is no event from which their latency could be told. */
async function latencyOf(
  scene: Scene,
  options: Parameters<typeof measureLive>[1] & { say: (text: string) => void },
): Promise<LatencyResult> {
  const { query, live, say } = options;
  if (live.seconds === 0 || query === 'q5' || query === 'q11') return NO_LATENCY;
  say(`measuring latency at ${live.eventsPerSecond.toLocaleString('en-US')} events a second for ${live.seconds} s`);
  return measureLive(scene, options);
}

/** Starts to count what worker and broker use. A run without any row has cost nothing that could be told. */
export async function beginUsage(scene: Scene) {
  const pids = [scene.worker.pid, scene.broker.pid] as const;
  const meter = meterCpu(pids);
  const before = { worker: writtenBytesOf(pids[0]), broker: writtenBytesOf(pids[1]), in: await scene.brokerBytesIn() };
  return {
    async end(run: { fromMs: number; toMs: number; eventsRead: number }) {
      meter.stop();
      const [workerMs = 0, brokerMs = 0] = meter.between(run.fromMs, run.toMs);
      return {
        eventsPerCpuSecond: workerMs + brokerMs > 0 ? Math.round((run.eventsRead * 1_000) / (workerMs + brokerMs)) : 0,
        workerCpuSeconds: Math.round(workerMs) / 1_000,
        brokerCpuSeconds: Math.round(brokerMs) / 1_000,
        wallSeconds: Math.round(run.toMs - run.fromMs) / 1_000,
        rssMb: megabytes(peakBytesOf(pids[0])),
        brokerRssMb: megabytes(peakBytesOf(pids[1])),
        workerDiskMb: megabytes(writtenBytesOf(pids[0]) - before.worker),
        brokerDiskMb: megabytes(writtenBytesOf(pids[1]) - before.broker),
        toBrokerMb: megabytes((await scene.brokerBytesIn()) - before.in),
      };
    },
  };
}

export function megabytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}

/** Shapes share their answers, which take longer than most runs. */
function expectedOf(query: Query, input: { events: number; eventsPerSecond: number }): Answer {
  const key = `${query} ${input.events} ${input.eventsPerSecond}`;
  const answer = expected.get(key) ?? answerOf(query, nexmark(input));
  expected.set(key, answer);
  return answer;
}

/** The file to deploy: what the query's own exports for the shape. */
async function entryOf(
  scene: Scene,
  { query, shape, partitions }: { query: Query; shape: Shape; partitions: number | null },
): Promise<string> {
  const file = fileURLToPath(new URL(`pipelines/${query}.ts`, import.meta.url));
  if (shape !== 'single' && partitions === null) return file;
  const changed = partitions === null ? '{}' : `{ partitions: ${partitions} }`;
  const entry = join(scene.folder, 'entry.ts');
  await writeFile(
    entry,
    `import { ${shape === 'single' ? 'single' : 'default'} as query } from ${JSON.stringify(file)};
export default Object.assign(query, ${changed});
`,
  );
  return entry;
}

/** As a subscriber names it: a task each has a subject of its own, or all share one. */
function subjectOf(query: Query): string {
  return `bench.${query}.>`;
}
