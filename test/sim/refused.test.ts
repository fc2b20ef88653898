/**
 * Histories of messages with many records, some of which no frame can carry and some of which cannot be read: frames end
 * in the middle of messages, hosts crash there, and still each record comes out once, or its letter does.
 */
import assert from 'node:assert/strict';
import { Random } from '../../lib/base/random.ts';
import { ndjson, pipeline } from '../../lib/index.ts';
import type { StoredMessage } from '../../lib/port/log.ts';
import { testApart } from '../rig/apart.ts';
import { lettersOf } from '../rig/letters.ts';
import { Cluster } from './cluster.ts';
import { planOn } from './world.ts';

const HISTORIES = 8;
const FIRST_SEED = 7_010;
const LENGTH_MS = 4_000;
const REST_MS = 120_000;

interface Line {
  readonly key: string;
  readonly n: number;
  readonly act: 'pass' | 'symbol' | 'huge';
  readonly fill: string;
}

const refused = pipeline(
  'refused',
  ({ from }) => {
    from<Line>('in.bundles', { name: 'bundles', format: ndjson() })
      .map(line => {
        const more = { symbol: Symbol('no data'), huge: 'x'.repeat(40_000), pass: line.fill };
        return { key: line.key, n: line.n, fill: more[line.act] };
      })
      .keyBy('key')
      .to('rows.{partition}');
  },
  { partitions: 2 },
);

/** Bodies of messages, and what must come of them. */
function bundles(random: Random): { bodies: string[]; rows: Map<string, number[]>; dead: string[] } {
  const bodies: string[] = [];
  const rows = new Map<string, number[]>();
  const dead: string[] = [];
  let n = 0;
  for (let i = 0; i < 25; i++) {
    const lines = Array.from({ length: 1 + random.int(60) }, () => {
      n++;
      if (random.chance(0.1)) {
        dead.push('RECORD_UNREADABLE');
        return `broken ${n}`;
      }
      const key = `key-${random.int(5)}`;
      const act = random.chance(0.15) ? 'symbol' : random.chance(0.1) ? 'huge' : 'pass';
      if (act === 'pass') rows.set(key, [...(rows.get(key) ?? []), n]);
      else dead.push(act === 'symbol' ? 'RECORD_UNWRITABLE' : 'MESSAGE_TOO_LARGE');
      return JSON.stringify({ key, n, act, fill: 'f'.repeat(random.int(120)) } satisfies Line);
    });
    bodies.push(lines.join('\n'));
  }
  return { bodies, rows, dead };
}

function messagesOf(cluster: Cluster, stream: string): StoredMessage[] {
  const kept = cluster.broker.stream(stream);
  return Array.from({ length: kept?.lastSeq ?? 0 }, (_, i) => kept!.at(i + 1)).filter(message => message !== null);
}

const codesOf = (cluster: Cluster) =>
  lettersOf(messagesOf(cluster, 'MR_refused_letters')).flatMap(({ headers }) => headers['Millrace-Error'] ?? []);

async function play(seed: number): Promise<void> {
  const random = new Random(seed);
  const { bodies, rows, dead } = bundles(random.fork());
  const stream = { name: 'in_bundles', subjects: ['in.bundles'] };
  const limits = {
    ...{ batchRecordsMax: 1 + random.int(60), batchBytesMax: 4_096, relayBytesMax: 8_000 },
    ...{
      commitBytesMax: 1 << 20,
      checkpointBytes: 1_000 + random.int(4_000),
      checkpointSliceEntries: 1 + random.int(10),
      stateBytesMax: 1 << 20,
    },
  };
  const plan = await planOn(refused, [stream]);
  const cluster = new Cluster({ seed, plan, limits, messageBytesMax: 5_000 + random.int(4_000) });
  cluster.broker.create(stream);
  const storm = random.next() * 0.1;
  cluster.broker.faults = {
    ...{ delayMs: [0.1, random.chance(0.5) ? 30 : 3], unsureMs: [50, 500], readDelayMs: [0, 20], partialRead: 0.2 },
    ...{ lostAck: storm, notLanded: storm, lateLanding: storm, lateMs: 2_000, staleLast: storm },
  };
  cluster.isShared = random.chance(0.5);
  for (let i = 0; i < 2; i++) cluster.addHost().start();
  bodies.forEach((body, i) => {
    cluster.clock.after((LENGTH_MS / bodies.length) * i, () => {
      cluster.broker.land([{ subject: 'in.bundles', data: Buffer.from(body) }], false);
    });
  });
  cluster.disturb({
    hosts: 2,
    standbys: 0,
    crashes: 6,
    freezes: 2,
    cuts: 2,
    outageMs: 4_000,
    diskLoss: 0.3,
    lengthMs: LENGTH_MS,
  });
  await cluster.clock.runUntil(() => cluster.failure !== null, { limitMs: LENGTH_MS + 3_000 });
  cluster.broker.faults = { delayMs: [0.1, 1] };
  for (const host of cluster.hosts) {
    host.thaw();
    host.start();
  }
  cluster.assign();
  const wanted = [...rows.values()].flat().length;
  const isDone = () => cluster.rows('rows').length >= wanted && codesOf(cluster).length >= dead.length;
  const endMs = cluster.clock.monotonic() + REST_MS;
  while (cluster.failure === null && !isDone() && cluster.clock.monotonic() < endMs) {
    await cluster.clock.run(cluster.clock.monotonic() + 250);
  }
  await cluster.clock.run(cluster.clock.monotonic() + 3_000);
  assert.equal(cluster.failure, null, `seed ${seed}`);
  const got = new Map<string, number[]>();
  for (const row of cluster.rows('rows')) {
    const { key, n } = JSON.parse(row) as Line;
    got.set(key, [...(got.get(key) ?? []), n]);
  }
  for (const [key, numbers] of rows) assert.deepEqual(got.get(key), numbers, `seed ${seed}, ${key}`);
  assert.equal(got.size, rows.size);
  assert.deepEqual(codesOf(cluster).sort(), dead.sort(), `seed ${seed}`);
}

testApart(
  `${HISTORIES} histories of refused records lose, double and reorder neither rows nor letters`,
  import.meta.url,
  async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) await play(seed);
  },
);
