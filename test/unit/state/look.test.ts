/**
 * A look into state that is partly on disk, at any moment between batches: before, during and after a checkpoint. What the
 * pages of a scan hold together is exactly what the state holds, in the order of table, bucket and key; nothing is brought
 * into memory for it.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { systemClock } from '../../../lib/base/clock.ts';
import { Random } from '../../../lib/base/random.ts';
import { MemoryStores } from '../../../lib/memory/store.ts';
import type { Store } from '../../../lib/port/store.ts';
import { keyBytes } from '../../../lib/state/layout.ts';
import { compareKeys, PICK_AT_ONCE, type Place, type SeenEntry } from '../../../lib/state/look.ts';
import { stateOf } from './declared.ts';

const TABLES = ['op.left', 'op.rows'];
const KEYS = ['', 'a', 'a\u0000', 'ab', 'b', 'é', '\uffff', '😀', '😀b', '\ud800', '\ue000', 'z'];

class World {
  readonly state = stateOf({ 'op.rows': 'values', 'op.left': 'lists', 'other.rows': 'values' });
  readonly rows = this.state.tables('op').values<number>('rows');
  readonly left = this.state.tables('op').lists<number>('left');
  readonly store: Store;
  readonly model = new Map<string, Map<string, unknown>>();
  #landing = false;

  constructor(store: Store) {
    this.store = store;
    this.state.tables('other').values('rows');
  }

  static async open(): Promise<World> {
    const stores = new MemoryStores({ clock: systemClock });
    return new World((await stores.open('p/s/0', { fresh: true }))!);
  }

  /** A batch: wants, changes, journal. */
  async change(changes: readonly (() => void)[], touched: readonly { bucket: number; key: string }[]): Promise<void> {
    const wants = this.state.wants();
    for (const { bucket, key } of touched) {
      wants.key(this.rows, bucket, key);
      wants.key(this.left, bucket, key);
    }
    await this.state.prefetch(this.store);
    for (const change of changes) change();
    this.state.endBatch();
    this.state.takeDelta();
  }

  bucketOf(table: string, bucket: number): Map<string, unknown> {
    const name = `${table} ${bucket}`;
    const found = this.model.get(name) ?? new Map<string, unknown>();
    this.model.set(name, found);
    return found;
  }

  async checkpoint(): Promise<void> {
    if (this.#landing) return;
    this.#landing = true;
    await this.store.write([...this.state.checkpoint().writes()]);
  }

  land(): void {
    if (!this.#landing) return;
    this.#landing = false;
    this.state.checkpointLanded();
  }

  async scan(pageSize: number): Promise<SeenEntry[]> {
    const seen: SeenEntry[] = [];
    let from: Place | null = { table: TABLES[0]!, bucket: Number.NEGATIVE_INFINITY, after: null };
    let picked = null;
    for (let calls = 0; from !== null; calls++) {
      assert.ok(calls < 10_000, 'a scan comes to its end');
      const page = await this.state.look.page(this.store, { tables: TABLES, from, limit: pageSize, picked });
      assert.ok(page.entries.length <= pageSize);
      for (const entry of page.entries) seen.push({ ...entry, content: structuredClone(entry.content) });
      from = page.next;
      picked = page.mustPick ? await this.state.look.pickKeys(from!, pageSize, async () => {}) : null;
    }
    return seen;
  }

  expected(): SeenEntry[] {
    const entries: SeenEntry[] = [];
    const places = [...this.model.keys()].map(name => name.split(' ') as [string, string]);
    places.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : Number(a[1]) - Number(b[1])));
    for (const [table, bucket] of places) {
      const held = this.bucketOf(table, Number(bucket));
      for (const key of [...held.keys()].sort((a, b) => Buffer.compare(keyBytes(a), keyBytes(b)))) {
        entries.push({ table, bucket: Number(bucket), key, content: held.get(key) });
      }
    }
    return entries;
  }
}

async function history(seed: number): Promise<{ evicted: number; dropped: number }> {
  const random = new Random(seed);
  const world = await World.open();
  let evicted = 0;
  let dropped = 0;
  for (let step = 0; step < 60; step++) {
    const changes: (() => void)[] = [];
    const touched: { bucket: number; key: string }[] = [];
    for (let i = random.int(12); i > 0; i--) {
      const bucket = random.int(4) - 1;
      const key = KEYS[random.int(KEYS.length)]! + (random.chance(0.5) ? random.int(9) : '');
      touched.push({ bucket, key });
      const value = random.int(1_000);
      const dice = random.next();
      changes.push(() => {
        const rows = world.bucketOf('op.rows', bucket);
        const left = world.bucketOf('op.left', bucket);
        if (dice < 0.4) {
          world.rows.set(bucket, key, value);
          rows.set(key, value);
        } else if (dice < 0.75) {
          world.left.append(bucket, key, value);
          left.set(key, [...((left.get(key) as number[] | undefined) ?? []), value]);
        } else if (dice < 0.96) {
          world.rows.delete(bucket, key);
          world.left.delete(bucket, key);
          rows.delete(key);
          left.delete(key);
        } else {
          dropped++;
          world.rows.drop(bucket);
          rows.clear();
        }
      });
    }
    await world.change(changes, touched);
    if (random.chance(0.3)) await world.checkpoint();
    if (random.chance(0.4)) world.land();
    if (random.chance(0.5)) {
      world.state.evict(random.int(3_000));
      if (!world.state.resident) evicted++;
    }
    const bytes = world.state.bytes;
    assert.deepEqual(await world.scan(1 + random.int(9)), world.expected(), `seed ${seed}, step ${step}`);
    const { bucket, key } = { bucket: random.int(4) - 1, key: KEYS[random.int(KEYS.length)]! };
    for (const table of TABLES) {
      const found = await world.state.look.find(world.store, { table, keys: [key] });
      assert.deepEqual(
        found.find(entry => entry.bucket === bucket)?.content,
        world.bucketOf(table, bucket).get(key),
        `seed ${seed}, step ${step}, ${table} ${bucket} ${JSON.stringify(key)}`,
      );
    }
    assert.equal(world.state.bytes, bytes, 'looking moves nothing into memory');
  }
  const sizes = world.state.look.sizes();
  const entries = world.expected().length;
  assert.equal(
    sizes.reduce((sum, size) => sum + size.entries, 0),
    entries,
  );
  return { evicted, dropped };
}

describe('a look into state', () => {
  test('pages and keys show exactly what the state holds, through checkpoints, evictions and drops', async () => {
    let evicted = 0;
    let dropped = 0;
    for (let seed = 1; seed <= 15; seed++) {
      const counts = await history(seed);
      evicted += counts.evicted;
      dropped += counts.dropped;
    }
    assert.ok(evicted > 60 && dropped > 60, `${evicted} evictions, ${dropped} drops`);
  });

  test('a bucket too large to be looked through at once has its keys picked first', async () => {
    const world = await World.open();
    const rows = world.bucketOf('op.rows', 0);
    const changes: (() => void)[] = [];
    const random = new Random(5);
    for (let i = 0; i < 3 * PICK_AT_ONCE; i++) {
      const key = `k${random.int(1e9)}`;
      rows.set(key, i);
      changes.push(() => world.rows.set(0, key, i));
    }
    await world.change(changes, []);
    await world.checkpoint();
    world.land();
    world.state.evict(world.state.bytes / 2);
    assert.ok(!world.state.resident);
    assert.deepEqual(await world.scan(5_000), world.expected());
  });

  test('keys are in the order of the disk', () => {
    const sorted = [...KEYS].sort(compareKeys);
    assert.deepEqual(
      sorted,
      [...KEYS].sort((a, b) => Buffer.compare(keyBytes(a), keyBytes(b))),
    );
  });
});
