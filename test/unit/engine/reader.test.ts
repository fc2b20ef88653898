/**
 * The reader over a change of its program: what former code has sent to some channels and not to all, that code finishes,
 * and then the present one begins, at one position for all of them.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { MillraceError } from '../../../lib/base/errors.ts';
import { partitionOf } from '../../../lib/base/hash.ts';
import { Random } from '../../../lib/base/random.ts';
import { Pipeline } from '../../../lib/engine/pipeline.ts';
import { ndjson, pipeline } from '../../../lib/index.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker, type MemoryLog } from '../../../lib/memory/log.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import type { Event } from '../../../lib/observe/events.ts';
import type { Log } from '../../../lib/port/log.ts';
import type { Programs } from '../../../lib/task/surroundings.ts';
import type { Plan } from '../../../lib/topology/plan.ts';
import { planOrThrow } from '../../../lib/topology/planner.ts';
import { bytesOf, textOf, withCall } from '../outlet/rig.ts';
import { never } from '../replica/rig.ts';

const LIFE = 'l1';
const PARTITIONS = 4;
/** A key of each partition. */
const KEYS = Array.from({ length: PARTITIONS }, (_, partition) => {
  return Array.from({ length: 99 }, (_, i) => `k${i}`).find(key => partitionOf(key, PARTITIONS) === partition)!;
});

interface Row {
  readonly n: number;
  readonly a: string;
  readonly b: string;
}

const programOf = (version: number, options: { withTail?: boolean; start?: 'new' } = {}) =>
  pipeline(
    'p',
    ({ from }) => {
      const rows = from<Row>('in', { name: 'in', format: ndjson(), start: options.start ?? 'first' });
      rows
        .filter(({ n }) => version === 0 || n % 2 === 0)
        .map(row => ({ ...row, version }))
        .keyBy(version === 0 ? 'a' : 'b', { name: 'keyed' })
        .to('out.{partition}');
      if (options.withTail === true) rows.keyBy('a', { name: 'more' }).to('more.{partition}');
    },
    { partitions: PARTITIONS },
  );

async function makeWorld() {
  const random = new Random(1);
  const clock = new SimClock({ random: random.fork() });
  const broker = new MemoryBroker({ clock, random: random.fork(), messageBytesMax: 1 << 20 });
  const setup = broker.client('setup');
  broker.create({ name: 'in', subjects: ['in'] });
  const plans = [
    await planOrThrow(programOf(0), setup),
    await planOrThrow(programOf(1), setup),
    await planOrThrow(programOf(0, { withTail: true }), setup),
  ] as [Plan, Plan, Plan];
  const blobs = new MemoryBlobs({ clock });
  const events: Event[] = [];
  const asked: unknown[] = [];
  const run = async (
    revision: number,
    options: { plan: Plan; since?: number; log?: Log; client?: MemoryLog; planOf?: Programs['planOf'] },
  ): Promise<Pipeline> => {
    const { plan, since = revision, client = broker.client(`worker ${revision}`), log = client, planOf } = options;
    const observer = { emit: (event: Event) => void events.push(event) };
    const around = {
      log,
      clock: client.clock,
      random: random.fork(),
      observer,
      stores: new MemoryStores({ clock }),
      blobs,
    };
    const programs: Programs = {
      present: { since, bundle: `b${since}` },
      planOf: async program => {
        asked.push(program);
        return (planOf ?? (async () => plans[0]))(program);
      },
    };
    const one = new Pipeline({ plan, around, life: LIFE, revision, programs });
    await clock.runThrough(one.start());
    await pass(1_000);
    return one;
  };
  const pass = (ms: number) => clock.run(clock.monotonic() + ms);
  let sent = 0;
  /** A message with a record of each partition by `a`, or of the first so many, which are of others by `b`. */
  const send = async (partitions = PARTITIONS) => {
    const rows = KEYS.slice(0, partitions).map((a, i) => ({ n: sent++, a, b: KEYS[(i + 1) % PARTITIONS]! }));
    await clock.runThrough(
      setup.append({ subject: 'in', data: bytesOf(rows.map(row => JSON.stringify(row)).join('\n')) }),
    );
  };
  const rows = (name = 'out') => {
    const stream = broker.stream(name);
    const found: (Row & { version: number })[] = [];
    for (let seq = 1; seq <= (stream?.lastSeq ?? 0); seq++) {
      const message = stream!.at(seq);
      if (message?.subject.startsWith(`${name}.`) !== true) continue;
      for (const line of textOf(message).split('\n').filter(Boolean)) found.push(JSON.parse(line));
    }
    return found.sort((x, y) => x.n - y.n);
  };
  const shown = (name?: string) => rows(name).map(({ n, version }) => `${n}v${version}`);
  const finishing = () => events.filter(({ event }) => event === 'reader.finishing');
  return { clock, broker, plans, asked, run, pass, send, shown, finishing };
}

type World = Awaited<ReturnType<typeof makeWorld>>;

/** Code 0 has sent message 1 everywhere, and of message 2 what two of four partitions get, when it is killed. */
async function killedWithin(world: World, options: { revision?: number; plan?: Plan } = {}): Promise<void> {
  const { revision = 1, plan = world.plans[0] } = options;
  const client = world.broker.client('dies');
  let isTorn = false;
  const log = withCall(client, 'append', really => message => {
    const partition = /\.x\.l1\.\w+\.(\d)\./.exec(message.subject)?.[1] ?? '1';
    return isTorn && !['1', '3'].includes(partition) ? never : really(message);
  });
  await world.run(revision, { plan, since: 1, client, log });
  await world.send();
  await world.pass(1_000);
  isTorn = true;
  await world.send();
  await world.pass(50);
  client.kill();
}

const FINISHED = ['0v0', '1v0', '2v0', '3v0', '4v0', '5v0', '6v0', '7v0'];

describe('a reader', () => {
  test('that is asked to stop ends at one position on all channels, so that other code begins there and none is loaded', async () => {
    const world = await makeWorld();
    const first = await world.run(1, { plan: world.plans[0] });
    await world.send();
    await world.pass(1_000);
    await world.send(2);
    await world.pass(10);
    void first.stop({ deadlineMs: 5_000 });
    await world.pass(1_000);
    await world.send();
    await world.run(2, { plan: world.plans[1] });
    await world.pass(1_000);
    assert.deepEqual(world.shown(), ['0v0', '1v0', '2v0', '3v0', '4v0', '5v0', '6v1', '8v1']);
    assert.deepEqual(world.asked, []);
  });

  test('finds what other code has begun, has it finished by that code, and begins after it', async () => {
    const world = await makeWorld();
    await killedWithin(world);
    const next = await world.run(2, { plan: world.plans[1] });
    await world.pass(1_000);
    await world.send();
    await world.pass(1_000);
    assert.deepEqual(world.shown(), [...FINISHED, '8v1', '10v1']);
    assert.deepEqual(world.asked, [{ since: 1, bundle: 'b1' }]);
    const { program, through } = world.finishing()[0]!;
    assert.deepEqual([program, through, next.status().state], [1, 2, 'running']);
    assert.equal(next.status().reason, null);
  });

  test('loads nothing where the same code runs again', async () => {
    const world = await makeWorld();
    await killedWithin(world);
    await world.run(2, { plan: world.plans[0], since: 1 });
    await world.pass(1_000);
    assert.deepEqual(world.shown(), FINISHED);
    assert.deepEqual(world.asked, []);
  });

  test('that dies while it finishes leaves the rest to the next, whose code is yet another', async () => {
    const world = await makeWorld();
    await killedWithin(world);
    const client = world.broker.client('dies, too');
    let takenOver = 0;
    const log = withCall(client, 'append', really => message => {
      // Having taken all over, it gets one more frame through.
      if (!/\.x\.l1\.keyed\.2\./.test(message.subject) || world.finishing().length === 0) return really(message);
      return takenOver++ === 0 ? really(message) : never;
    });
    await world.run(2, { plan: world.plans[1], client, log });
    client.kill();
    assert.equal(world.shown().length, 7);
    await world.run(3, { plan: world.plans[1] });
    await world.send();
    await world.pass(1_000);
    assert.deepEqual(world.shown(), [...FINISHED, '8v1', '10v1']);
    assert.deepEqual(
      world.finishing().map(({ program }) => program),
      [1, 1],
    );
  });

  test('has what it does not lead to any more finished by nobody', async () => {
    const world = await makeWorld();
    await killedWithin(world, { plan: world.plans[2] });
    await world.run(2, { plan: world.plans[1], planOf: async () => world.plans[2] });
    await world.pass(1_000);
    await world.send();
    await world.pass(1_000);
    assert.deepEqual(world.shown(), [...FINISHED, '8v1', '10v1']);
    assert.equal(world.shown('more').length, 4 + 2);
  });

  test('does not start where that code cannot be had, and starts when it can', async () => {
    const world = await makeWorld();
    await killedWithin(world);
    const gone = new MillraceError('PROGRAM_MISSING', 'its bundle is gone');
    const one = await world.run(2, { plan: world.plans[1], planOf: () => Promise.reject(gone) });
    await world.pass(10_000);
    assert.equal(await world.clock.runThrough(one.failed), gone);
    assert.deepEqual([one.status().state, one.status().reason], ['failed', 'its bundle is gone']);
    assert.equal(world.shown().length, 6, 'nothing was sent');
    const other = await world.run(3, { plan: world.plans[1], planOf: async () => world.plans[1] });
    assert.equal(other.status().state, 'running');
  });

  test('does not take code for what ran that has no such reader', async () => {
    const world = await makeWorld();
    await killedWithin(world);
    const plan = { ...world.plans[0], readers: [] };
    const one = await world.run(2, { plan: world.plans[1], planOf: async () => plan });
    const { code, message } = await world.clock.runThrough(one.failed);
    assert.equal(code, 'PROGRAM_MISSING');
    assert.match(message, /the code of revision 1 does not have reader in as it was/);
  });

  test('of a former revision ends its pipeline when the next has begun, and sends nothing any more', async () => {
    const world = await makeWorld();
    const first = await world.run(1, { plan: world.plans[0] });
    await world.send();
    await world.pass(1_000);
    await world.run(2, { plan: world.plans[1] });
    await world.send();
    await world.pass(2_000);
    assert.equal((await world.clock.runThrough(first.failed)).code, 'REVISION_OUTDATED');
    assert.deepEqual(world.shown(), ['0v0', '1v0', '2v0', '3v0', '4v1', '6v1']);
  });

  test('of a source that starts at its end passes over nothing that its stages wait for when one is added', async () => {
    const world = await makeWorld();
    const client = world.broker.client('plans');
    const plan = await planOrThrow(programOf(0, { start: 'new' }), client);
    const more = await planOrThrow(programOf(0, { start: 'new', withTail: true }), client);
    await world.send();
    const first = await world.run(1, { plan });
    await world.send();
    await world.pass(1_000);
    void first.stop({ deadlineMs: 5_000 });
    await world.pass(1_000);
    await world.send();
    await world.run(2, { plan: more, planOf: async () => plan });
    await world.pass(1_000);
    const [before, after] = [
      ['4v0', '5v0', '6v0', '7v0'],
      ['8v0', '9v0', '10v0', '11v0'],
    ];
    assert.deepEqual(world.shown(), [...before, ...after]);
    assert.equal(world.shown('more').length, 4, 'what is added begins where the others are');
  });
});
