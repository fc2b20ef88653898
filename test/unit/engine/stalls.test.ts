/**
 * Stalls: what waits for the broker is said while it waits, and no longer. The writers are the real ones, on a broker in
 * memory whose answers get lost.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MillraceError } from '../../../lib/base/errors.ts';
import { Chain } from '../../../lib/chain/chain.ts';
import { Stalls } from '../../../lib/engine/stalls.ts';
import { MemoryBlobs } from '../../../lib/memory/blobs.ts';
import type { Event } from '../../../lib/observe/events.ts';
import { SharedStream } from '../../../lib/outlet/nats/shared-stream.ts';
import type { Append, Log } from '../../../lib/port/log.ts';
import { bytesOf, makeBroker, pastOf, rowsItem, sender, unsure, withCall } from '../outlet/rig.ts';

async function makeWorld(wrap: (log: Log) => Log = log => log) {
  const broker = await makeBroker({ atomic: true });
  const { clock } = broker;
  const events: Event[] = [];
  const observer = { emit: (event: Event) => void events.push(event) };
  const stalls = new Stalls({ clock, observer, pipeline: 'p' });
  const log = stalls.log(wrap(broker.log));
  const pass = (ms: number) => clock.run(clock.monotonic() + ms);
  const told = () => events.map(({ event, subject }) => `${event} ${String(subject)}`);
  return { ...broker, stalls, log, pass, told };
}

test('a batch whose answer was lost is not said to wait once all of its tasks are in, whoever comes last in the batches (*every wait ends*)', async () => {
  // The first batch lands unheard, and so do those after it for three seconds: what decides comes in other batches.
  let heardFromMs = 3_000;
  let now = () => 0;
  const { stalls, log, clock, random, pass, rows, told } = await makeWorld(broker =>
    withCall(broker, 'appendBatch', really => async messages => {
      const outcome = await really(messages);
      return now() < heardFromMs ? unsure : outcome;
    }),
  );
  now = () => clock.monotonic();
  heardFromMs += now();
  const stream = new SharedStream({ stream: 'out', log, clock, random });
  const heard = { past: pastOf(), onSent: () => {}, onFailed: assert.ifError };
  const outlets = ['m.a', 'm.b', 'm.c'].map(marker => stream.outlet({ sender, marker, ...heard }));
  for (const outlet of outlets) outlet.push(rowsItem(1, 2, 'out.x'));
  await pass(2_600);
  assert.match(stalls.reason ?? '', /^the broker has taken nothing to m\.[abc], nor to 2 more for \d s: no answer; /);
  await pass(3_000);
  assert.equal(rows().length, 6, 'each row is in once');
  assert.equal(stalls.reason, null);
  const recovered = told().filter(line => line.startsWith('broker.recovered'));
  assert.deepEqual(recovered.sort(), ['broker.recovered m.a', 'broker.recovered m.b', 'broker.recovered m.c']);
});

test('a writer that was dropped in doubt is not said to wait once whoever follows it has read how far it came', async () => {
  let answers: Append | null = unsure;
  const { stalls, log, clock, pass } = await makeWorld(broker =>
    withCall(broker, 'append', really => async message => {
      const outcome = await really(message);
      return answers ?? outcome;
    }),
  );
  const place = { log, clock, stream: 'out', subject: 'out.chain' };
  const chain = new Chain(place);
  await chain.open();
  const dropped = assert.rejects(chain.append(bytesOf('1')), { code: 'BROKER_UNAVAILABLE' });
  await pass(3_000);
  assert.match(stalls.reason ?? '', /out\.chain for/);
  chain.stop();
  await dropped;
  answers = null;
  await new Chain(place).open();
  assert.equal(stalls.reason, null);
});

test('of two runs of messages to one subject each waits by itself', async () => {
  const hung: { resolve: () => void; inDoubt: (cause: unknown) => void }[] = [];
  const { stalls, log, pass } = await makeWorld(broker =>
    withCall(broker, 'appendAll', () => (_, options) => {
      return new Promise(resolve => hung.push({ resolve, inDoubt: cause => options?.inDoubt?.(cause) }));
    }),
  );
  const message = { subject: 'out.loose', data: bytesOf('x') };
  const runs = [log.appendAll([message]), log.appendAll([message])];
  hung[0]!.inDoubt(new Error('no answer'));
  hung[1]!.resolve();
  await runs[1];
  await pass(2_500);
  assert.match(stalls.reason ?? '', /^the broker has taken nothing to out\.loose for/);
  hung[0]!.resolve();
  await runs[0];
  assert.equal(stalls.reason, null);
});

test('blobs that a task could not put are not said to wait once another put of it, or a look at what there is, succeeds', async () => {
  const { stalls, clock, pass } = await makeWorld();
  const memory = new MemoryBlobs({ clock });
  let refuses = true;
  const blobs = stalls.blobs({
    get: name => memory.get(name),
    delete: name => memory.delete(name),
    list: prefix => memory.list(prefix),
    put: async (name, content) => {
      if (refuses) throw new MillraceError('BROKER_UNAVAILABLE', 'no answer');
      return memory.put(name, content);
    },
  });
  const fails = async () => {
    refuses = true;
    for (const part of [0, 1]) {
      await assert.rejects(blobs.put(`p/s/0/segment/1-${part}`, bytesOf('x')));
      await pass(2_500);
    }
    assert.match(stalls.reason ?? '', /^the broker has taken nothing to p\/s\/0\/ for/);
    refuses = false;
  };
  await fails();
  await blobs.put('p/s/0/manifest/1', bytesOf('x'));
  assert.equal(stalls.reason, null);
  await fails();
  await blobs.list('p/s/0/manifest/');
  assert.equal(stalls.reason, null);
});
