/**
 * Histories in which the reader's program changes, again and again, while hosts are killed, frozen or stopped around each
 * deploy, and some deploys die before they have done anything. Each version sends a record to other partitions and to the
 * other one of two stages, as rows of its own shape and number:
 *
 *   in.records ─┬─ n + version even ─ flatMap ─ by a, or by b ─► left.{partition}
 *               └─ n + version odd ── flatMap ─ by b, or by a ─► right.{partition}
 *
 * Whatever happens, all that comes of a record is of one version, and is all that this version makes of it, once.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../lib/base/random.ts';
import { ndjson, pipeline } from '../../lib/index.ts';
import { Cluster, planOn } from './cluster.ts';

const HISTORIES = Number(process.env.SIM_PROGRAMS ?? 30);
const FIRST_SEED = 5_200;
const LENGTH_MS = 3_000;
const REST_MS = 240_000;
const VERSIONS = 6;

interface Entry {
  readonly n: number;
  readonly a: string;
  readonly b: string;
}

interface Row {
  readonly n: number;
  readonly version: number;
  readonly i: number;
  readonly key: string;
}

/** What a version makes of a record: where it goes, and as which rows. */
function rowsOf({ n, a, b }: Entry, version: number): { side: 'left' | 'right'; rows: Row[] } {
  const side = (n + version) % 2 === 0 ? 'left' : 'right';
  const key = (side === 'left') === (version % 3 === 0) ? a : b;
  const rows = Array.from({ length: 1 + ((n + version) % 4) }, (_, i) => ({ n, version, i, key: `${key}.${i}` }));
  return { side, rows };
}

const programOf = (version: number) =>
  pipeline(
    'programs',
    ({ from }) => {
      const records = from<Entry>('in.records', { name: 'records', format: ndjson() });
      for (const side of ['left', 'right'] as const) {
        records
          .flatMap(entry => {
            const made = rowsOf(entry, version);
            return made.side === side ? made.rows : [];
          })
          .keyBy('key', { name: side })
          .to(`${side}.{partition}`);
      }
    },
    { partitions: 3 },
  );

/** Messages of some records each. */
function entries(random: Random): Entry[][] {
  let n = 0;
  return Array.from({ length: 80 }, () =>
    Array.from({ length: 1 + random.int(random.chance(0.1) ? 40 : 4) }, () => {
      return { n: n++, a: `a${random.int(9)}`, b: `b${random.int(9)}` };
    }),
  );
}

const side = (cluster: Cluster, name: 'left' | 'right') => cluster.rows(name).map(row => JSON.parse(row) as Row);

/** What is wrong with what came of a record; null: nothing. */
function fault(entry: Entry, left: readonly Row[], right: readonly Row[]): string | null {
  const all = [...left, ...right];
  if (all.length === 0) return 'nothing came of it';
  const made = rowsOf(entry, all[0]!.version);
  const [here, there] = made.side === 'left' ? [left, right] : [right, left];
  const isRight =
    there.length === 0 && JSON.stringify([...here].sort((x, y) => x.i - y.i)) === JSON.stringify(made.rows);
  return isRight ? null : `left ${JSON.stringify(left)} right ${JSON.stringify(right)}`;
}

function byRecord(rows: readonly Row[]): Map<number, Row[]> {
  const found = new Map<number, Row[]>();
  for (const row of rows) found.set(row.n, [...(found.get(row.n) ?? []), row]);
  return found;
}

const wrongOf = (cluster: Cluster, sent: readonly Entry[]): string[] => {
  const left = byRecord(side(cluster, 'left'));
  const right = byRecord(side(cluster, 'right'));
  return sent.flatMap(entry => {
    const wrong = fault(entry, left.get(entry.n) ?? [], right.get(entry.n) ?? []);
    return wrong === null ? [] : [`record ${entry.n}: ${wrong}`];
  });
};

/** One deploy: what becomes of each host, and when the next one starts. */
function deploy(cluster: Cluster, random: Random): void {
  for (const host of cluster.hosts) {
    const kind = random.int(4);
    if (kind === 0) void host.replace();
    else if (kind === 1) host.freeze();
    // Where one is left as it is, it is the worker that has not heard of the deploy.
    else if (kind === 2 || cluster.hosts.length === 1) host.crash({ losesDisk: random.chance(0.3) });
    cluster.clock.after(random.int(random.chance(0.5) ? 5 : 200), () => host.start());
    cluster.clock.after(random.int(2_500), () => host.thaw());
  }
}

async function play(seed: number, seen: { finishing: number; outdated: number; versions: number }): Promise<void> {
  const random = new Random(seed);
  const messages = entries(random.fork());
  const sent = messages.flat();
  const stream = { name: 'in_records', subjects: ['in.records'] };
  const plans = await Promise.all(
    Array.from({ length: VERSIONS }, (_, version) => planOn(programOf(version), [stream])),
  );
  const limits = {
    batchRecordsMax: 1 + random.int(60),
    relayBytesMax: 8_000,
    checkpointBytes: 1_000 + random.int(4_000),
  };
  const cluster = new Cluster({ seed, plan: plans[0]!, limits, messageBytesMax: 4_600 + random.int(1_000) });
  cluster.broker.create(stream);
  const storm = random.next() * 0.05;
  cluster.broker.faults = {
    ...{ delayMs: [0.1, random.chance(0.5) ? 30 : 3], unsureMs: [50, 500], readDelayMs: [0, 20], partialRead: 0.2 },
    ...{ lostAck: storm, notLanded: storm, lateLanding: storm, lateMs: 1_000, staleLast: storm },
  };
  cluster.isShared = random.chance(0.5);
  for (let i = 0; i < 1 + random.int(3); i++) cluster.addHost().start();
  messages.forEach((many, i) => {
    const data = Buffer.from(many.map(entry => JSON.stringify(entry)).join('\n'));
    cluster.clock.after((LENGTH_MS / messages.length) * i, () => {
      cluster.broker.land([{ subject: 'in.records', data }], false);
    });
  });
  let atMs = 200;
  for (const plan of plans.slice(1)) {
    atMs += random.chance(0.3) ? random.int(30) : random.int((2 * LENGTH_MS) / VERSIONS);
    cluster.clock.after(atMs, () => {
      cluster.deploy(plan);
      deploy(cluster, random);
    });
  }
  await cluster.clock.runUntil(() => cluster.failure !== null, { limitMs: Math.max(LENGTH_MS, atMs) + 3_000 });
  cluster.broker.faults = { delayMs: [0.1, 1] };
  for (const host of cluster.hosts) {
    host.thaw();
    // Who has ended since it was of a former revision starts again when it hears of the next.
    host.crash({ losesDisk: false });
  }
  await cluster.clock.run(cluster.clock.monotonic() + 500);
  for (const host of cluster.hosts) host.start();
  cluster.assign();
  const endMs = cluster.clock.monotonic() + REST_MS;
  while (cluster.failure === null && wrongOf(cluster, sent).length > 0 && cluster.clock.monotonic() < endMs) {
    await cluster.clock.run(cluster.clock.monotonic() + 1_000);
  }
  await cluster.clock.run(cluster.clock.monotonic() + 3_000);
  assert.equal(cluster.failure, null, `seed ${seed}: ${cluster.failure?.stack}`);
  assert.deepEqual(wrongOf(cluster, sent), [], `seed ${seed}`);
  seen.finishing += cluster.events.filter(({ event }) => event === 'reader.finishing').length;
  seen.outdated += cluster.outdated;
  seen.versions += new Set([...side(cluster, 'left'), ...side(cluster, 'right')].map(({ version }) => version)).size;
}

test(`${HISTORIES} histories in which the reader's program changes take each record once, as one version has it`, async () => {
  const seen = { finishing: 0, outdated: 0, versions: 0 };
  for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) await play(seed, seen);
  assert.ok(seen.finishing > HISTORIES / 4, `former programs had to be finished ${seen.finishing} times`);
  assert.ok(seen.outdated > 0, `${seen.outdated} pipelines learned that a later revision was there`);
  assert.ok(seen.versions > 1.5 * HISTORIES, `${seen.versions} versions had a part`);
});
