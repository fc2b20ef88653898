/** A listing of a table's bucket beside a source that is behind it, has rows in hand that are gone, or is written to meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { INSERT } from '../../../lib/change/change.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { MemoryBroker } from '../../../lib/memory/log.ts';
import { BucketCensus } from '../../../lib/source/bucket-census.ts';

const STREAM = 'KV_names';

async function opened({ isNeverQuiet = false } = {}) {
  const clock = new SimClock();
  const broker = new MemoryBroker({ clock });
  broker.create({ name: STREAM, subjects: ['$KV.names.>'], maxMessagesPerSubject: 1 });
  const log = broker.client('reader');
  const read = log.read.bind(log);
  log.read = options => {
    const reader = read(options);
    // Where something is always on its way, nobody ever has all that the leader has.
    if (isNeverQuiet) reader.look = async () => null;
    return reader;
  };
  const place = { position: 0, inHand: 0 };
  const listings: string[][] = [];
  const census = new BucketCensus({
    spec: { stream: STREAM, subject: '$KV.names.>' },
    log,
    clock,
    source: { position: () => place.position, inHand: () => place.inHand },
    onListed: keys => listings.push([...keys.values()].flatMap(own => [...own]).sort()),
    onFailed: error => assert.fail(String(error)),
  });
  const entry = census.seeing({ receive() {} });
  return {
    place,
    listings,
    census,
    put: (key: string) => broker.land([{ subject: `$KV.names.${key}`, data: Buffer.from('{}') }], false),
    vanish: (key: string) => broker.stream(STREAM)!.trim(`$KV.names.${key}`, Number.POSITIVE_INFINITY),
    /** The source passes on the row of a message. */
    passes(key: string, seq: number) {
      place.inHand = seq;
      entry.receive(key, {}, 0, INSERT);
      place.position = seq;
    },
    async ticks(ms: number) {
      for (let passed = 0; passed < ms; passed += 100) {
        census.tick();
        await clock.run(clock.monotonic() + 100);
      }
    },
  };
}

test('it is told behind the rows that the source had in hand, and a row that was gone before it is not among them', async () => {
  const { put, vanish, census, passes, ticks, place, listings } = await opened();
  for (const key of ['a', 'b', 'c']) put(key);
  passes('a', 1);
  vanish('b');
  census.doubt();
  await ticks(2_000);
  assert.deepEqual(listings, [], 'the source is not there yet');
  passes('b', 2);
  await ticks(1_000);
  assert.deepEqual(listings, []);
  place.position = 3;
  await ticks(1_000);
  assert.deepEqual(listings, [['a', 'c']]);
});

test('a row that came while it was listed counts as listed, though it was replaced before the listing saw it', async () => {
  const { put, census, passes, ticks, place, listings } = await opened();
  for (const key of ['a', 'b']) put(key);
  passes('a', 1);
  census.doubt();
  await ticks(1_000);
  put('late');
  passes('late', 3);
  await ticks(1_000);
  assert.deepEqual(listings, [['a', 'b', 'late']]);
  assert.equal(place.position, 3);
});

test('it ends on a bucket that is written to all the time', async () => {
  const { put, census, ticks, place, listings } = await opened({ isNeverQuiet: true });
  for (const key of ['a', 'b']) put(key);
  place.position = 2;
  census.doubt();
  for (let i = 0; i < 20 && listings.length === 0; i++) {
    put('c');
    place.position++;
    await ticks(100);
  }
  assert.deepEqual(listings[0], ['a', 'b', 'c']);
});
