/**
 * Whatever becomes of a table's bucket, and whether anybody reads meanwhile: after a while each record meets the row that
 * the bucket has, or none where it has none. Each seed is a history of puts, deletes, rows that vanish without a message,
 * buckets that are made anew, and crashes.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Random } from '../../../lib/base/random.ts';
import { pipeline } from '../../../lib/index.ts';
import type { BucketNumbers } from '../../../lib/source/bucket-census.ts';
import { lossOf } from '../../../lib/source/bucket-census.ts';
import { Cluster, type Host } from '../../sim/cluster.ts';
import { planOn } from '../../sim/world.ts';

const BUCKET = { name: 'KV_names', subjects: ['$KV.names.>'], maxMessagesPerSubject: 1 };
const KEYS = Array.from({ length: 12 }, (_, i) => `k${i}`);
/** Longer than anything waits before it counts what may have vanished. */
const SETTLED_MS = 130_000;

const IN = { name: 'in', subjects: ['in'] };

/** `more`: a second stage that joins the table. */
const joining = ({ more = false } = {}) =>
  pipeline(
    'p',
    ({ from, table }) => {
      const records = from<{ k: string }>('in', { name: 'in' });
      const names = table<{ v: number }>('names');
      for (const name of more ? ['out', 'more'] : ['out']) {
        records
          .keyBy('k', { name })
          .leftJoin(names, ({ k }, row) => ({ k, v: row?.v ?? null }), { name: `join-${name}` })
          .to(`${name}.{partition}`);
      }
    },
    { partitions: 3 },
  );

class Scene {
  readonly cluster: Cluster;
  readonly host: Host;
  #value = 0;

  private constructor(cluster: Cluster) {
    this.cluster = cluster;
    this.host = cluster.addHost();
    this.host.start();
  }

  static async open(history = 1): Promise<Scene> {
    const bucket = { ...BUCKET, maxMessagesPerSubject: history };
    return new Scene(await Cluster.of(joining(), [IN, bucket], { messageBytesMax: 8_192 }));
  }

  get bucket() {
    return this.cluster.broker.stream(BUCKET.name)!;
  }

  pass(ms: number): Promise<void> {
    return this.cluster.clock.run(this.cluster.clock.monotonic() + ms);
  }

  put(key: string): void {
    this.cluster.broker.land([{ subject: `$KV.names.${key}`, data: Buffer.from(`{"v":${++this.#value}}`) }], false);
  }

  delete(key: string): void {
    const headers = { 'KV-Operation': 'DEL' };
    this.cluster.broker.land([{ subject: `$KV.names.${key}`, data: new Uint8Array(), headers }], false);
  }

  vanish(key: string): void {
    this.bucket.trim(`$KV.names.${key}`, Number.POSITIVE_INFINITY);
  }

  purge(): void {
    this.bucket.trim('>', Number.POSITIVE_INFINITY);
  }

  makeAnew(): void {
    const { settings } = this.bucket;
    this.cluster.broker.remove(BUCKET.name);
    this.cluster.broker.create(settings);
  }

  crash(): void {
    this.host.crash({ losesDisk: false });
  }

  /** By key: what a record that comes now is joined with. */
  async joined(output = 'out'): Promise<Record<string, number | null>> {
    const before = this.cluster.rows(output).length;
    for (const k of KEYS) this.cluster.broker.land([{ subject: 'in', data: Buffer.from(`{"k":"${k}"}`) }], false);
    await this.pass(5_000);
    const rows = this.cluster.rows(output).slice(before);
    const pairs = rows.map(row => JSON.parse(row) as { k: string; v: number | null });
    assert.equal(this.cluster.failure, null);
    return Object.fromEntries(pairs.sort((a, b) => KEYS.indexOf(a.k) - KEYS.indexOf(b.k)).map(({ k, v }) => [k, v]));
  }

  /** By key: what the bucket has. */
  has(): Record<string, number | null> {
    const rowOf = (key: string) => {
      const data = this.bucket.lastOf(`$KV.names.${key}`)?.data;
      return data === undefined || data.length === 0
        ? null
        : (JSON.parse(Buffer.from(data).toString()) as { v: number }).v;
    };
    return Object.fromEntries(KEYS.map(key => [key, rowOf(key)]));
  }
}

/** All keys have rows, and everybody has read them. */
async function filled(history?: number): Promise<Scene> {
  const scene = await Scene.open(history);
  for (const key of KEYS) scene.put(key);
  await scene.pass(5_000);
  assert.deepEqual(await scene.joined(), scene.has());
  return scene;
}

describe('rows that vanish without a message are joined no more', () => {
  const ways: readonly [string, (scene: Scene) => void][] = [
    ['one row', scene => scene.vanish('k3')],
    ['all rows', scene => scene.purge()],
    [
      'all rows, and others come at once, as many as there were',
      scene => {
        scene.purge();
        for (const key of KEYS.slice(6)) for (let i = 0; i < 3; i++) scene.put(`${key}${i === 0 ? '' : `-${i}`}`);
      },
    ],
    [
      'a row for which another comes, while one is put again: nothing tells the one from the other at once',
      scene => {
        scene.vanish('k5');
        scene.put('new');
        scene.put('k6');
      },
    ],
    ['the bucket, which is made anew and empty', scene => scene.makeAnew()],
    [
      'the bucket, which is made anew with fewer rows',
      scene => {
        scene.makeAnew();
        for (const key of ['k1', 'k2']) scene.put(key);
      },
    ],
    [
      'the bucket, which is made anew and longer than it was',
      scene => {
        scene.makeAnew();
        for (let i = 0; i < 3; i++) for (const key of KEYS.slice(4)) scene.put(key);
      },
    ],
  ];
  for (const [what, vanish] of ways) {
    test(`${what}, while it is read`, async () => {
      const scene = await filled();
      vanish(scene);
      await scene.pass(SETTLED_MS);
      assert.deepEqual(await scene.joined(), scene.has());
    });

    test(`${what}, while nobody reads`, async () => {
      const scene = await filled();
      scene.crash();
      vanish(scene);
      await scene.pass(1_000);
      scene.host.start();
      await scene.pass(10_000);
      assert.deepEqual(await scene.joined(), scene.has());
    });
  }

  test('all rows at any moment around the first start', async () => {
    for (let ms = 0; ms < 400; ms += 20) {
      const scene = await Scene.open();
      for (const key of KEYS) scene.put(key);
      await scene.pass(ms);
      scene.purge();
      await scene.pass(10_000);
      assert.deepEqual(await scene.joined(), scene.has(), `${ms} ms after the start`);
    }
  });

  test('rows of a bucket with more and longer keys than a frame holds, and no letter comes of it', async () => {
    const scene = await filled();
    for (let i = 0; i < 1_000; i++) scene.put(`ключ-с-длинным-именем-для-проверки-${i}`);
    await scene.pass(5_000);
    for (const key of KEYS.slice(3)) scene.vanish(key);
    await scene.pass(10_000);
    assert.deepEqual(await scene.joined(), scene.has());
    assert.equal(scene.cluster.rows('MR_p_letters').length, 0, 'no letter');
  });

  test('a row and its deletion, which a bucket that keeps markers for a while has forgotten when somebody reads again', async () => {
    const scene = await filled(3);
    scene.crash();
    scene.put('k4');
    scene.delete('k4');
    scene.vanish('k4');
    scene.host.start();
    await scene.pass(10_000);
    assert.deepEqual(await scene.joined(), scene.has());
  });

  test('nor rows that come later are left out, where a later revision has another stage that joins the table', async () => {
    const scene = await filled();
    scene.makeAnew();
    for (const key of KEYS.slice(3)) scene.put(key);
    await scene.pass(20_000);
    scene.cluster.deploy(await planOn(joining({ more: true }), [IN, BUCKET]));
    await scene.cluster.clock.runThrough(scene.host.replace());
    await scene.pass(10_000);
    for (const key of KEYS.slice(5)) scene.put(key);
    scene.delete('k3');
    await scene.pass(10_000);
    assert.deepEqual(await scene.joined('out'), scene.has());
    assert.deepEqual(await scene.joined('more'), scene.has());
  });

  for (let seed = 1; seed <= Number(process.env.SIM_HISTORIES ?? 8); seed++) {
    test(`history ${seed}`, async () => {
      const random = new Random(seed);
      const scene = await filled(random.chance(0.3) ? 2 : 1);
      const key = () => random.pick(KEYS);
      const steps: (() => void)[] = [
        () => scene.put(key()),
        () => scene.put(key()),
        () => scene.delete(key()),
        () => scene.vanish(key()),
        () => scene.vanish(key()),
        () => scene.purge(),
        () => scene.makeAnew(),
        () => scene.crash(),
        () => scene.host.start(),
      ];
      for (let i = 0; i < 60; i++) {
        random.pick(steps)();
        // Often in the middle of what the step before has begun.
        if (random.chance(0.6)) await scene.pass(random.int(random.chance(0.1) ? 3_000 : 40));
      }
      scene.host.start();
      await scene.pass(SETTLED_MS);
      assert.deepEqual(await scene.joined(), scene.has());
      assert.equal(scene.cluster.rows('MR_p_letters').length, 0, 'no letter');
    });
  }
});

describe('what has become of rows between two looks at a bucket', () => {
  const at = (firstSeq: number, lastSeq: number, messages: number): BucketNumbers => ({ firstSeq, lastSeq, messages });
  const cases: readonly [string, BucketNumbers, BucketNumbers, ReturnType<typeof lossOf>][] = [
    ['nothing has happened', at(1, 5, 5), at(1, 5, 5), 'none'],
    ['rows were added', at(1, 5, 5), at(1, 9, 9), 'none'],
    ['a row was replaced', at(1, 5, 5), at(1, 6, 5), 'perhaps'],
    ['a row was added, and one replaced or vanished', at(1, 5, 5), at(2, 7, 6), 'perhaps'],
    ['a row vanished', at(1, 5, 5), at(1, 5, 4), 'vanished'],
    ['more vanished than came', at(1, 50, 50), at(1, 55, 40), 'vanished'],
    ['all vanished', at(1, 5, 5), at(6, 5, 0), 'vanished'],
    ['all vanished and as many came', at(1, 5, 5), at(6, 10, 5), 'vanished'],
    ['the first rows came', at(1, 0, 0), at(1, 5, 5), 'none'],
    ['rows came to a bucket that was emptied before', at(6, 5, 0), at(6, 9, 4), 'none'],
  ];
  for (const [what, before, now, loss] of cases) test(what, () => assert.equal(lossOf(before, now), loss));
});
