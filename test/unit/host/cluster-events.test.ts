/** Events of several workers: put together by time, then told as they happen, each once; what is missing is said. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { ClusterEvents, type ToldEvent } from '../../../lib/host/cluster-events.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import { PeerExchange } from '../../../lib/memory/peers.ts';
import { EVENTS_MAX, EventMemory } from '../../../lib/observe/history.ts';

let clock: SimClock;
let exchange: PeerExchange;
const there = new Set<string>();

beforeEach(() => {
  clock = new SimClock();
  exchange = new PeerExchange({ clock });
  there.clear();
});

function worker(name: string) {
  const peers = exchange.client(name);
  const memory = new EventMemory(clock);
  there.add(name);
  const others = () => [...there].filter(one => one !== name);
  const events = new ClusterEvents({ clock, peers, me: name, memory, others });
  const happen = (event: string) => memory.emit({ event, level: 'info' });
  return { events, peers, memory, happen };
}

const pass = (ms: number) => clock.run(clock.monotonic() + ms);
const short = ({ worker, event }: ToldEvent) =>
  `${worker} ${event.event}${event.member === undefined ? '' : ` ${event.member}`}`;

async function watched(events: ClusterEvents) {
  const seen: string[] = [];
  let begun: Awaited<ReturnType<ClusterEvents['watch']>> | null = null;
  const watching = events
    .watch(event => seen.push(short(event)))
    .then(one => {
      begun = one;
    });
  await clock.runThrough(watching);
  return { seen, past: begun!.past.map(short), stop: begun!.stop };
}

describe('events of all workers', () => {
  test('are told by time, those of the past first, then each as it happens, and once', async () => {
    const [a, b] = [worker('a'), worker('b')];
    a.happen('one');
    await pass(10);
    b.happen('two');
    await pass(10);
    a.happen('three');
    const { past, seen, stop } = await watched(a.events);
    assert.deepEqual(past, ['a one', 'b two', 'a three']);
    b.happen('four');
    a.happen('five');
    await pass(2_000);
    assert.deepEqual(seen, ['a five', 'b four']);
    stop();
    a.happen('six');
    b.happen('seven');
    await pass(2_000);
    assert.equal(seen.length, 2);
  });

  test('of one that does not answer are missing, and that is told once; when it answers again nothing is lost', async () => {
    const [a, b] = [worker('a'), worker('b')];
    b.peers.line = 'cut';
    const { past, seen, stop } = await watched(a.events);
    assert.deepEqual(past, ['a events.unreachable b']);
    await pass(3_000);
    assert.deepEqual(seen, []);
    b.happen('one');
    b.peers.line = 'up';
    await pass(2_000);
    b.peers.line = 'cut';
    b.happen('two');
    await pass(3_000);
    b.peers.line = 'up';
    await pass(2_000);
    assert.deepEqual(seen, ['b one', 'a events.unreachable b', 'b two']);
    stop();
  });

  test('of one that comes later, and of its next process, are those that have happened since', async () => {
    const a = worker('a');
    await pass(1_000);
    const { seen, stop } = await watched(a.events);
    await pass(1_000);
    const b = worker('b');
    b.happen('one');
    await pass(2_000);
    b.peers.stop();
    const again = worker('b');
    again.happen('begun');
    again.happen('two');
    await pass(2_000);
    assert.deepEqual(seen, ['b one', 'b begun', 'b two']);
    stop();
  });

  test('that were forgotten before they were asked for are told of', async () => {
    const [a, b] = [worker('a'), worker('b')];
    const { seen, stop } = await watched(a.events);
    for (let i = 0; i < 3 * EVENTS_MAX; i++) b.happen('one');
    await pass(2_000);
    assert.equal(seen.filter(one => one === 'b one').length, EVENTS_MAX);
    assert.equal(seen.filter(one => one === 'a events.missed b').length, 1);
    stop();
  });
});
