/**
 * Histories in which everything is too much for one batch: records that make many, messages of many records, and at the
 * end all windows, timers and unmatched records falling due at once. Commits of some hundred bytes end in the middle of all
 * of it (*slices*, *under way*), hosts crash there, state is on disk or not, and still each row comes out once; a
 * record that makes more than `recordBytesMax` is a letter of each stage that it comes to, and has no part in what they
 * make.
 *
 *   in.lines ─┬─ flatMap ──────────────────────► direct.{partition}     keyless: the task reads the messages itself
 *             └─ by key ─┬─ process, timers ───► rows.{partition}
 *                        ├─ hopping count ─────► windows.{partition}
 *                        └─ left join, no match ► alone.{partition}
 */
import assert from 'node:assert/strict';
import { Random } from '../../lib/base/random.ts';
import { count, hopping, ndjson, pipeline } from '../../lib/index.ts';
import { END, HEADER_COMPLETE } from '../../lib/source/heartbeat.ts';
import { testApart } from '../rig/apart.ts';
import { Cluster } from './cluster.ts';
import { planOn } from './world.ts';

const HISTORIES = Number(process.env.SIM_BOUNDS ?? 10);
const FIRST_SEED = 9_100;
const LENGTH_MS = 3_000;
const REST_MS = 240_000;
const START_MS = Date.UTC(2026, 0, 1);
const SIZE_MS = 400;
const ADVANCE_MS = 100;
/** Rows of a record that is too much. */
const TOO_MANY = 1_500;

interface Line {
  readonly key: string;
  readonly n: number;
  readonly rows: number;
  readonly at: number;
}

const fan = ({ n, rows }: Line) => Array.from({ length: rows }, (_, i) => ({ row: `${n}.${i}` }));

const bounds = pipeline(
  'bounds',
  ({ from }) => {
    const options = { format: ndjson(), time: 'at', maxOutOfOrder: '1s', idleAfter: '1h', maxFuture: '365d' } as const;
    const lines = from<Line>('in.lines', { name: 'lines', ...options });
    const others = from<Line>('in.others', { name: 'others', ...options });
    lines.flatMap(fan).to('direct.{partition}');
    const keyed = lines.keyBy('key');
    keyed
      .process<number, { row: string }>({
        name: 'own',
        onRecord(line, context) {
          context.state = (context.state ?? 0) + 1;
          for (const row of fan(line)) context.emit(row);
          context.setTimer(`${line.n}`, line.at + 500);
        },
        onTimer(name, context) {
          context.emit({ row: `timer ${name}` });
        },
      })
      .to('rows.{partition}');
    keyed
      .window(hopping({ size: SIZE_MS, advance: ADVANCE_MS }), { name: 'counted' })
      .aggregate({ lines: count() })
      .to('windows.{partition}');
    keyed
      .leftJoin(others.keyBy('key'), { within: '300ms', name: 'alone' }, line => ({ row: `alone ${line.n}` }))
      .to('alone.{partition}');
  },
  { partitions: 2 },
);

function linesOf(random: Random): Line[][] {
  let n = 0;
  return Array.from({ length: 10 }, (_, i) =>
    Array.from({ length: 1 + random.int(12) }, () => ({
      key: `key-${random.int(6)}`,
      n: n++,
      rows: random.chance(0.06) ? TOO_MANY : random.int(10),
      at: START_MS + i * 200 + random.int(300),
    })),
  );
}

function answer(lines: readonly Line[]) {
  const taken = lines.filter(line => line.rows < TOO_MANY);
  const windows = new Map<string, number>();
  for (const { key, at } of taken) {
    for (let start = Math.floor(at / ADVANCE_MS) * ADVANCE_MS; start > at - SIZE_MS; start -= ADVANCE_MS) {
      const id = `${key} ${start}`;
      windows.set(id, (windows.get(id) ?? 0) + 1);
    }
  }
  const fanned = taken.flatMap(fan).map(({ row }) => row);
  return {
    direct: fanned,
    rows: [...fanned, ...taken.map(({ n }) => `timer ${n}`)].sort(),
    windows: Array.from(windows, ([id, lines]) => `${id} ${lines}`).sort(),
    alone: taken.map(({ n }) => `alone ${n}`).sort(),
    letters: 2 * (lines.length - taken.length),
  };
}

const texts = (cluster: Cluster, stream: string) =>
  cluster.rows(stream).map(row => (JSON.parse(row) as { row: string }).row);

const windowsOf = (cluster: Cluster) =>
  cluster
    .rows('windows')
    .map(row => JSON.parse(row) as { key: string; start: number; lines: number })
    .map(({ key, start, lines }) => `${key} ${start} ${lines}`)
    .sort();

/** What is too much, with a plus, and what is lost, with a minus. */
function differences(got: readonly string[], wanted: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const row of got) counts.set(row, (counts.get(row) ?? 0) + 1);
  for (const row of wanted) counts.set(row, (counts.get(row) ?? 0) - 1);
  return Array.from(counts, ([row, times]) => (times === 0 ? '' : `${times > 0 ? '+' : '-'}${row}`)).filter(Boolean);
}

async function play(seed: number, seen: { outgrown: number; cuts: number }): Promise<void> {
  const random = new Random(seed);
  const messages = linesOf(random.fork());
  const lines = messages.flat();
  const streams = ['in.lines', 'in.others'].map(name => ({ name: name.replace('.', '_'), subjects: [name] }));
  const limits = {
    batchRecordsMax: 1 + random.int(60),
    relayBytesMax: 8_000,
    commitBytesMax: 50 + random.int(500),
    recordBytesMax: 30_000,
    checkpointBytes: 1_000 + random.int(4_000),
    checkpointSliceEntries: 1 + random.int(10),
    stateBytesMax: random.chance(0.5) ? 1_000 + random.int(5_000) : 1 << 20,
  };
  const plan = await planOn(bounds, streams);
  const cluster = new Cluster({ seed, plan, limits, messageBytesMax: 5_000 + random.int(4_000) });
  for (const settings of streams) cluster.broker.create(settings);
  const storm = random.next() * 0.05;
  cluster.broker.faults = {
    ...{ delayMs: [0.1, random.chance(0.5) ? 30 : 3], unsureMs: [50, 500], readDelayMs: [0, 20], partialRead: 0.2 },
    ...{ lostAck: storm, notLanded: storm, lateLanding: storm, lateMs: 2_000, staleLast: storm },
  };
  cluster.isShared = random.chance(0.5);
  for (let i = 0; i < 1 + random.int(2); i++) cluster.addHost().start();
  messages.forEach((many, i) => {
    const data = Buffer.from(many.map(line => JSON.stringify(line)).join('\n'));
    cluster.clock.after(200 * i, () => {
      cluster.broker.land([{ subject: 'in.lines', data }], false);
    });
  });
  cluster.clock.after(LENGTH_MS, () => {
    // All that waits falls due at once.
    const headers = { [HEADER_COMPLETE]: END };
    for (const { subjects } of streams)
      cluster.broker.land([{ subject: subjects[0]!, data: new Uint8Array(), headers }], false);
  });
  const weather = { hosts: 2, standbys: 0, crashes: 5, freezes: 1, cuts: 1, outageMs: 3_000, diskLoss: 0.3 };
  cluster.disturb({ ...weather, lengthMs: LENGTH_MS + 4_000 });
  await cluster.clock.runUntil(() => cluster.failure !== null, { limitMs: LENGTH_MS + 6_000 });
  cluster.broker.faults = { delayMs: [0.1, 1] };
  for (const host of cluster.hosts) {
    host.thaw();
    host.start();
  }
  cluster.assign();
  const wanted = answer(lines);
  const letters = () => cluster.lettersIn('MR_bounds_letters');
  const isDone = () =>
    texts(cluster, 'direct').length >= wanted.direct.length &&
    texts(cluster, 'rows').length >= wanted.rows.length &&
    windowsOf(cluster).length >= wanted.windows.length &&
    texts(cluster, 'alone').length >= wanted.alone.length &&
    letters() >= wanted.letters;
  const endMs = cluster.clock.monotonic() + REST_MS;
  while (cluster.failure === null && !isDone() && cluster.clock.monotonic() < endMs) {
    await cluster.clock.run(cluster.clock.monotonic() + 500);
  }
  await cluster.clock.run(cluster.clock.monotonic() + 3_000);
  const about = `seed ${seed}`;
  assert.equal(cluster.failure, null, about);
  assert.deepEqual(texts(cluster, 'direct'), wanted.direct, about);
  assert.deepEqual(differences(texts(cluster, 'rows'), wanted.rows), [], about);
  assert.deepEqual(differences(windowsOf(cluster), wanted.windows), [], about);
  assert.deepEqual(differences(texts(cluster, 'alone'), wanted.alone), [], about);
  assert.equal(letters(), wanted.letters, about);
  for (const { event, code } of cluster.events)
    if (event === 'task.failed' && code === 'BATCH_OUTGROWN') seen.outgrown++;
  for (const host of cluster.hosts) for (const task of host.pipeline?.status().tasks ?? []) seen.cuts += task.commits;
}

testApart(
  `${HISTORIES} histories in which all is too much for one batch lose nothing and double nothing`,
  import.meta.url,
  async () => {
    const seen = { outgrown: 0, cuts: 0 };
    for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) await play(seed, seen);
    assert.ok(seen.outgrown > 0, 'some records made too much');
    assert.ok(seen.cuts > 50 * HISTORIES, `batches were small: ${seen.cuts} commits`);
  },
);
