/**
 * The argument of exactly-once, attacked: thousands of seeded histories of one chain on a broker that loses answers,
 * lands late and shows stale tails, with owners that are killed, frozen and replaced at any moment.
 */
import assert from 'node:assert/strict';
import { sleep } from '../../../lib/base/clock.ts';
import { Random } from '../../../lib/base/random.ts';
import { Chain } from '../../../lib/chain/chain.ts';
import { SimClock } from '../../../lib/memory/clock.ts';
import type { MemoryFaults } from '../../../lib/memory/faults.ts';
import { MemoryBroker, type MemoryLog } from '../../../lib/memory/log.ts';
import type { StoredMessage } from '../../../lib/port/log.ts';
import { testApart } from '../../rig/apart.ts';

const HISTORIES = 1_500;
const stream = 'C';
const subject = 'c.0';

interface World {
  readonly random: Random;
  readonly clock: SimClock;
  readonly broker: MemoryBroker;
}

function faultsOf(random: Random): MemoryFaults {
  const odds = (most: number) => (random.chance(0.3) ? 0 : random.next() * most);
  return {
    delayMs: [0, random.between(1, 50)],
    unsureMs: [1, random.between(10, 500)],
    lostAck: odds(0.3),
    notLanded: odds(0.3),
    lateLanding: odds(0.3),
    lateMs: random.between(10, 3_000),
    questionFails: odds(0.2),
    staleLast: odds(0.1),
  };
}

/**
 * Runs `owner` as one process after another (and, since nobody waits for the former one to end, several at a time)
 * until the last one has finished in peace.
 */
async function live(
  seed: number,
  owner: (log: MemoryLog, world: World, number: number) => Promise<void>,
): Promise<World> {
  const random = new Random(seed);
  const clock = new SimClock({ random });
  const broker = new MemoryBroker({ clock, random });
  await clock.runThrough(broker.client('setup').ensureStream({ name: stream, subjects: ['c.>'] }));
  broker.faults = faultsOf(random);
  const world = { random, clock, broker };
  const owners = 2 + random.int(5);
  for (let number = 0; number < owners; number++) {
    const log = broker.client(`owner ${number}`);
    const life = owner(log, world, number);
    if (number === owners - 1) {
      await clock.runThrough(life);
      break;
    }
    const end = random.next();
    const afterMs = random.next() * 2_000;
    if (end < 0.4) clock.after(afterMs, () => log.kill());
    else if (end < 0.8) {
      clock.after(afterMs, () => log.freeze());
      clock.after(afterMs + random.next() * 6_000, () => log.thaw());
    }
    await clock.run(clock.monotonic() + random.next() * 3_000);
  }
  await clock.run(clock.monotonic() + 20_000); // whatever is still on its way arrives
  return world;
}

function chainOf({ broker }: World): StoredMessage[] {
  const kept: StoredMessage[] = [];
  const { firstSeq, lastSeq } = broker.stream(stream)!;
  for (let seq = firstSeq; seq <= lastSeq; seq++) {
    const message = broker.stream(stream)!.at(seq);
    if (message !== null) kept.push(message);
  }
  return kept;
}

const encode = (value: unknown): Uint8Array => new Uint8Array(Buffer.from(JSON.stringify(value)));
const decode = <T>(message: StoredMessage): T => JSON.parse(Buffer.from(message.data).toString()) as T;

testApart(
  'content from a journal is sent once and in order, whoever sends it and however often (B, C)',
  import.meta.url,
  async () => {
    const items = 12;
    let handovers = 0;
    let beaten = 0;
    for (let seed = 1; seed <= HISTORIES; seed++) {
      const world = await live(seed, async (log, { random }, number) => {
        const chain = new Chain({ log, clock: log.clock, stream, subject, random });
        let tail = await chain.open();
        let next = tail === null ? 0 : decode<number>(tail) + 1;
        if (number > 0 && next > 0 && next < items) handovers++;
        while (next < items) {
          const outcome = await chain.append(encode(next));
          if (outcome.kind === 'landed') next++;
          else {
            beaten++;
            tail = outcome.tail;
            chain.adopt(tail);
            next = decode<number>(tail) + 1;
          }
          if (random.chance(0.5)) await sleep(log.clock, random.next() * 200);
        }
      });
      const sent = chainOf(world).map(message => decode<number>(message));
      assert.deepEqual(
        sent,
        Array.from({ length: items }, (_, i) => i),
        `seed ${seed}`,
      );
    }
    assert.ok(handovers > HISTORIES / 4 && beaten > HISTORIES / 4, `the histories are tame: ${handovers}, ${beaten}`);
  },
);

testApart(
  'a journal has one owner at a time: no commit is lost, and none of a former owner follows a claim (*one owner*)',
  import.meta.url,
  async () => {
    interface Entry {
      readonly epoch: number;
      readonly commit: number;
      readonly nonce: number;
    }
    let fenced = 0;
    let landed = 0;
    for (let seed = 1; seed <= HISTORIES; seed++) {
      /** What owners were told has landed. */
      const told: { seq: number; entry: Entry }[] = [];
      const world = await live(seed, async (log, { random }, number) => {
        const chain = new Chain({ log, clock: log.clock, stream, subject, random });
        const tail = await chain.open();
        let epoch = (tail === null ? 0 : decode<Entry>(tail).epoch) + 1;
        for (let commit = 0; commit < 8; ) {
          const entry = { epoch, commit, nonce: number };
          const outcome = await chain.append(encode(entry));
          if (outcome.kind === 'landed') {
            told.push({ seq: outcome.seq, entry });
            landed++;
            commit++;
          } else {
            const last = decode<Entry>(outcome.tail);
            if (commit > 0 || last.epoch > epoch) {
              fenced++;
              return;
            }
            // Beaten to the claim: what came before it was still somebody else's to write.
            epoch = last.epoch + 1;
            chain.adopt(outcome.tail);
          }
          if (random.chance(0.5)) await sleep(log.clock, random.next() * 300);
        }
      });
      const kept = chainOf(world);
      for (const { seq, entry } of told) {
        assert.deepEqual(decode(world.broker.stream(stream)!.at(seq)!), entry, `seed ${seed}: lost`);
      }
      let last: Entry = { epoch: 0, commit: -1, nonce: -1 };
      for (const message of kept) {
        const entry = decode<Entry>(message);
        if (entry.commit === 0)
          assert.ok(entry.epoch > last.epoch, `seed ${seed}: claim ${entry.epoch} after ${last.epoch}`);
        else assert.deepEqual(entry, { ...last, commit: last.commit + 1 }, `seed ${seed}: not the owner's next`);
        last = entry;
      }
    }
    assert.ok(fenced > HISTORIES / 4 && landed > HISTORIES * 8, `the histories are tame: ${fenced}, ${landed}`);
  },
);
