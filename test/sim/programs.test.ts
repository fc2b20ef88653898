/**
 * Histories in which the reader's program changes (`programs.ts`), again and again, while hosts are killed, frozen or stopped
 * around each deploy, and some deploys die before they have done anything.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../lib/base/random.ts';
import { Cluster } from './cluster.ts';
import { entries, programOf, side, wrongOf } from './programs.ts';
import { planOn } from './world.ts';

const HISTORIES = Number(process.env.SIM_PROGRAMS ?? 30);
const FIRST_SEED = 5_200;
const LENGTH_MS = 3_000;
const REST_MS = 240_000;
const VERSIONS = 6;

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
