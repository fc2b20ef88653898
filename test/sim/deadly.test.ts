/**
 * Histories with records that end every process that has them in hand, before a key and behind one, under crashes that are
 * nobody's fault: each of them becomes one letter, no other record does, and all else comes out once and in order (*in hand*).
 */
import assert from 'node:assert/strict';
import { Random } from '../../lib/base/random.ts';
import { ndjson, pipeline } from '../../lib/index.ts';
import type { StoredMessage } from '../../lib/port/log.ts';
import { testApart } from '../rig/apart.ts';
import { Cluster, type Host } from './cluster.ts';
import { planOn } from './world.ts';

const HISTORIES = Number(process.env.SIM_DEADLY ?? 12);
const FIRST_SEED = Number(process.env.SIM_SEED ?? 9_000);
const LENGTH_MS = 3_000;
const REST_MS = 400_000;

interface Line {
  readonly key: string;
  readonly n: number;
  readonly kills: 'nobody' | 'reader' | 'task' | 'direct';
}

/** Who runs the pipeline's functions at the moment: a process has one thread, and so has the simulator. */
let die: () => void = () => {};

function surviving(line: Line, where: Line['kills']): Line {
  if (line.kills === where) {
    die();
    throw new Error('nobody hears this any more');
  }
  return line;
}

const deadly = pipeline(
  'deadly',
  ({ from }) => {
    const lines = from<Line>('in.lines', { name: 'lines', format: ndjson() });
    lines.map(line => surviving(line, 'direct')).to('copies.{partition}');
    lines
      .map(line => surviving(line, 'reader'))
      .keyBy('key')
      .map(line => surviving(line, 'task'))
      .to('rows.{partition}');
  },
  { partitions: 2 },
);

function messagesOf(cluster: Cluster, stream: string): StoredMessage[] {
  const kept = cluster.broker.stream(stream);
  return Array.from({ length: kept?.lastSeq ?? 0 }, (_, i) => kept!.at(i + 1)).filter(message => message !== null);
}

interface Letter {
  readonly code: string;
  readonly text: string;
}

/** Without the markers between them. */
const lettersOf = (cluster: Cluster): Letter[] =>
  messagesOf(cluster, 'MR_deadly_letters').flatMap(({ headers, data }) => {
    const code = headers?.['Millrace-Error'];
    return code === undefined ? [] : [{ code, text: Buffer.from(data).toString() }];
  });

/** Bodies, one of them of several lines: those behind the reader's or the direct task's kind stand alone. */
function linesOf(random: Random): { bodies: string[]; lines: Line[] } {
  const lines: Line[] = [];
  const bodies: string[] = [];
  for (let i = 0; i < 30; i++) {
    const kills = random.chance(0.1) ? random.pick(['reader', 'task', 'direct'] as const) : 'nobody';
    const count = kills === 'nobody' ? 1 + random.int(5) : 1;
    const body = Array.from(
      { length: count },
      () => ({ key: `k${random.int(4)}`, n: lines.length + 1, kills }) as Line,
    );
    lines.push(...body.map((line, at) => ({ ...line, n: line.n + at })));
    bodies.push(
      lines
        .slice(-count)
        .map(line => JSON.stringify(line))
        .join('\n'),
    );
  }
  return { bodies, lines };
}

async function play(seed: number, seen: { careful: number; letters: number; crashes: number }): Promise<void> {
  const random = new Random(seed);
  const { bodies, lines } = linesOf(random.fork());
  const stream = { name: 'in_lines', subjects: ['in.lines'] };
  const plan = await planOn(deadly, [stream]);
  const limits = { batchRecordsMax: 1 + random.int(60), batchBytesMax: 4_096, relayBytesMax: 8_000 };
  const cluster = new Cluster({ seed, plan, limits, messageBytesMax: 1 << 16 });
  cluster.broker.create(stream);
  const storm = random.next() * 0.05;
  cluster.broker.faults = {
    ...{ delayMs: [0.1, random.chance(0.5) ? 20 : 3], unsureMs: [50, 500], readDelayMs: [0, 20], partialRead: 0.2 },
    ...{ lostAck: storm, notLanded: storm, lateLanding: storm, lateMs: 2_000, staleLast: storm },
  };
  const host: Host = cluster.addHost();
  die = () => {
    if (host.pipeline === null) return;
    seen.crashes++;
    host.crash({ losesDisk: random.chance(0.2) });
    cluster.clock.after(500 + random.int(1_000), () => host.start());
  };
  bodies.forEach((body, i) => {
    cluster.clock.after((LENGTH_MS / bodies.length) * i, () => {
      cluster.broker.land([{ subject: 'in.lines', data: Buffer.from(body) }], false);
    });
  });
  const disturbances = { hosts: 1, standbys: 0, crashes: random.int(6), freezes: 1, cuts: 1, diskLoss: 0.2 };
  host.start();
  cluster.disturb({ ...disturbances, outageMs: 2_000, lengthMs: 20_000 });
  const rows = lines.filter(({ kills }) => kills === 'nobody' || kills === 'direct');
  const copies = lines.filter(({ kills }) => kills !== 'direct');
  const dead = lines.filter(({ kills }) => kills !== 'nobody').length;
  const isDone = () =>
    cluster.rows('rows').length >= rows.length &&
    cluster.rows('copies').length >= copies.length &&
    lettersOf(cluster).length >= dead;
  const endMs = cluster.clock.monotonic() + REST_MS;
  while (cluster.failure === null && !isDone() && cluster.clock.monotonic() < endMs) {
    if (cluster.clock.monotonic() > 25_000) cluster.broker.faults = { delayMs: [0.1, 1] };
    await cluster.clock.run(cluster.clock.monotonic() + 250);
  }
  await cluster.clock.run(cluster.clock.monotonic() + 3_000);
  assert.equal(cluster.failure, null, `seed ${seed}`);
  const letters = lettersOf(cluster);
  const numbers = (of: readonly Letter[]) => of.map(({ text }) => (JSON.parse(text) as Line).n).sort((a, b) => a - b);
  const wanted = lines.filter(({ kills }) => kills !== 'nobody').map(({ n }) => n);
  assert.deepEqual(numbers(letters), wanted, `seed ${seed}: letters`);
  assert.deepEqual(
    new Set(letters.map(({ code }) => code)),
    new Set(dead === 0 ? [] : ['RECORD_DEADLY']),
    `seed ${seed}`,
  );
  const byKey = (all: readonly Line[], key: string) => all.filter(line => line.key === key).map(({ n }) => n);
  const got = cluster.rows('rows').map(row => JSON.parse(row) as Line);
  for (const key of new Set(lines.map(line => line.key))) {
    assert.deepEqual(byKey(got, key), byKey(rows, key), `seed ${seed}: rows of ${key}`);
  }
  assert.deepEqual(
    cluster.rows('copies').map(row => (JSON.parse(row) as Line).n),
    copies.map(({ n }) => n),
    `seed ${seed}: copies`,
  );
  seen.letters += letters.length;
  seen.careful += cluster.events.filter(({ event }) => event === 'part.careful').length;
}

testApart(
  `${HISTORIES} histories of deadly records: one letter each, and nothing else is`,
  import.meta.url,
  async () => {
    const seen = { careful: 0, letters: 0, crashes: 0 };
    for (let seed = FIRST_SEED; seed < FIRST_SEED + HISTORIES; seed++) await play(seed, seen);
    assert.ok(seen.letters > HISTORIES / 2, `${seen.letters} letters`);
    assert.ok(seen.careful >= 3 * seen.letters, `${seen.careful} careful starts`);
    assert.ok(seen.crashes >= 3 * seen.letters, `${seen.crashes} crashes`);
  },
);

const overdue = pipeline(
  'overdue',
  ({ from }) => {
    from<Line & { at: number }>('in.lines', { name: 'lines', time: 'at', maxOutOfOrder: '0s', idleAfter: '1s' })
      .keyBy('key')
      .process<Line & { at: number }, { n: number }>({
        onRecord(line, { emit, setTimer }, timeMs) {
          if (line.n === 3) setTimer('bang', timeMs + 1);
          emit({ n: line.n });
        },
        onTimer() {
          die();
          throw new Error('nobody hears this any more');
        },
      })
      .to('rows.{partition}');
  },
  { partitions: 1 },
);

testApart('a timer that ends its process stops the pipeline, and no record is blamed', import.meta.url, async () => {
  const stream = { name: 'in_lines', subjects: ['in.lines'] };
  const cluster = await Cluster.of(overdue, [stream]);
  const host = cluster.addHost();
  let deaths = 0;
  die = () => {
    if (host.pipeline === null) return;
    deaths++;
    host.crash({ losesDisk: false });
    cluster.clock.after(500, () => host.start());
  };
  host.start();
  for (let n = 1; n <= 10; n++) {
    const data = Buffer.from(JSON.stringify({ key: 'k', n, kills: 'nobody', at: 1_700_000_000_000 + n * 10 }));
    cluster.broker.land([{ subject: 'in.lines', data }], false);
  }
  await cluster.clock.runUntil(() => cluster.failure !== null, { limitMs: 120_000 });
  assert.match(String(cluster.failure?.message), /ended with what is due in hand, alone/);
  assert.ok(deaths >= 6 && deaths <= 8, `${deaths} deaths`);
  assert.deepEqual(
    messagesOf(cluster, 'MR_overdue_letters').filter(({ headers }) => headers?.['Millrace-Error']),
    [],
  );
});
