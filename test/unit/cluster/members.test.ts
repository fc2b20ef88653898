import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { readSays, SAYS_BYTES_MAX, writeSays } from '../../../lib/cluster/says.ts';
import { GONE_MS, SUSPECT_MS } from '../../../lib/cluster/standing.ts';
import { aliveTo, says, Town, toldAfter, whatOf } from './town.ts';

/** Clocks run by up to a twentieth apart, and one looks twenty times a second. */
const slack = (ms: number) => ms * 1.06 + 60;

describe('members', () => {
  test('know of each other a moment after they have begun, whatever their clocks say, and of themselves', async () => {
    const town = new Town();
    const citizens = ['a', 'b', 'c'].map(name => town.join(name, { zone: `zone ${name}`, capacity: 2 }));
    await town.pass(300);
    for (const citizen of citizens) {
      assert.deepEqual(aliveTo(citizen), ['a', 'b', 'c']);
      assert.equal(citizen.members.isolated, false);
      const [a] = citizen.members.alive();
      assert.deepEqual([a!.zone, a!.capacity, a!.isDraining, a!.standing], ['zone a', 2, false, 'steady']);
    }
  });

  test('tell what has changed of one, once', async () => {
    const town = new Town();
    const [a, b] = await town.settled(2);
    b!.says = says('m1', { draining: true, busy: 0.9 });
    await town.pass(1_000);
    assert.deepEqual(whatOf(a!), ['changed m1']);
    const [, seen] = a!.members.alive();
    assert.deepEqual([seen!.isDraining, seen!.says.busy], [true, 0.9]);
  });

  test('a process that is killed is gone within half a second for all', async () => {
    for (let seed = 0; seed < 10; seed++) {
      const town = new Town({ seed });
      const [dead, ...others] = await town.settled(4);
      await town.pass(seed * 23);
      const killedAt = town.clock.monotonic();
      dead!.process.kill();
      await town.pass(2_000);
      for (const other of others) {
        const afterMs = toldAfter(other, 'gone m0', killedAt);
        assert.ok(afterMs !== undefined && afterMs < 500, `seed ${seed}: ${other.name} after ${afterMs} ms`);
        assert.deepEqual(aliveTo(other), ['m1', 'm2', 'm3']);
        assert.deepEqual(whatOf(other), ['gone m0']);
      }
    }
  });

  test('one that is frozen is suspect after a second and gone after three; when it wakes it calls nobody gone and is back', async () => {
    const town = new Town();
    const [frozen, ...others] = await town.settled(4);
    const frozenAt = town.clock.monotonic();
    frozen!.process.freeze();
    await town.pass(10_000);
    for (const other of others) {
      const [suspectMs, goneMs] = [toldAfter(other, 'suspect m0', frozenAt), toldAfter(other, 'gone m0', frozenAt)];
      assert.ok(suspectMs! > SUSPECT_MS - 300 && suspectMs! < slack(SUSPECT_MS), `${suspectMs}`);
      assert.ok(goneMs! > GONE_MS - 400 && goneMs! < slack(GONE_MS), `${goneMs}`);
    }
    frozen!.process.thaw();
    await town.pass(2_000);
    for (const other of others) assert.deepEqual(whatOf(other), ['suspect m0', 'gone m0', 'back m0']);
    assert.deepEqual(
      whatOf(frozen!).filter(what => !/isolated|connected/.test(what)),
      [],
    );
    assert.deepEqual(aliveTo(frozen!), ['m0', 'm1', 'm2', 'm3']);
  });

  test('one that is cut off steps back and calls nobody gone; the others call it gone, and all is as before when it is back', async () => {
    for (const line of ['cut', 'closed'] as const) {
      const town = new Town();
      const [lone, ...others] = await town.settled(4);
      const cutAt = town.clock.monotonic();
      lone!.peers.line = line;
      await town.pass(20_000);
      assert.equal(lone!.members.isolated, true);
      assert.ok(toldAfter(lone!, 'isolated', cutAt)! < 700);
      assert.deepEqual(aliveTo(lone!), ['m0', 'm1', 'm2', 'm3']);
      const most = line === 'closed' ? 500 : slack(GONE_MS);
      for (const other of others) assert.ok(toldAfter(other, 'gone m0', cutAt)! < most, other.name);
      lone!.peers.line = 'up';
      await town.pass(5_000);
      assert.deepEqual(whatOf(lone!), ['isolated', 'connected']);
      for (const other of others) assert.equal(whatOf(other).at(-1), 'back m0');
    }
  });

  test('when the broker restarts, the first who is back calls nobody gone, though nobody is there yet', async () => {
    for (const awayMs of [20, 150, 400, 700]) {
      const town = new Town();
      const citizens = await town.settled(4);
      for (const { peers } of citizens) peers.line = 'closed';
      await town.pass(awayMs);
      for (const { peers } of citizens) {
        peers.line = 'up';
        await town.pass(400);
      }
      await town.pass(5_000);
      for (const citizen of citizens) {
        assert.ok(!whatOf(citizen).some(what => what.startsWith('gone')), `${awayMs} ms: ${whatOf(citizen)}`);
        assert.equal(aliveTo(citizen).length, 4);
      }
    }
  });

  test('of two halves each goes on by itself, and they find each other again', async () => {
    const town = new Town();
    const citizens = await town.settled(5);
    for (const citizen of citizens.slice(3)) citizen.peers.side = 1;
    await town.pass(2_000);
    const views = citizens.map(citizen => [aliveTo(citizen).join(' '), citizen.members.isolated]);
    assert.deepEqual(views, [...Array(3).fill(['m0 m1 m2', false]), ...Array(2).fill(['m3 m4', false])]);
    for (const { peers } of citizens) peers.side = 0;
    await town.pass(1_000);
    for (const citizen of citizens) assert.equal(aliveTo(citizen).length, 5);
  });

  test('who is slow himself is patient with the others (*own time*)', async () => {
    const town = new Town();
    const [slow, other] = await town.settled(2);
    // Its loop stands still for four of every five seconds; beats wait in line meanwhile.
    for (let round = 0; round < 6; round++) {
      slow!.process.freeze();
      await town.pass(4_000);
      slow!.process.thaw();
      await town.pass(1_000);
    }
    assert.deepEqual(
      whatOf(slow!).filter(what => /suspect|gone/.test(what)),
      [],
    );
    assert.ok(whatOf(other!).includes('gone m0'));
    // What is really gone it finds out all the same.
    other!.peers.line = 'cut';
    await town.pass(slack(GONE_MS));
    assert.ok(whatOf(slow!).includes('gone m1'));
  });

  test('who has gone comes back by what it says itself, not by what others have missed', async () => {
    for (const why of ['cut', 'closed'] as const) {
      const town = new Town();
      const [slow, other] = await town.settled(2);
      other!.peers.line = why;
      await town.pass(4_000);
      const told = whatOf(slow!);
      assert.equal(told.at(-1), 'gone m1');
      slow!.process.freeze();
      await town.pass(2_500);
      slow!.process.thaw();
      slow!.peers.line = 'closed';
      await town.pass(1_500);
      slow!.peers.line = 'up';
      await town.pass(1_000);
      assert.deepEqual(whatOf(slow!), [...told, 'isolated', 'connected']);
      other!.peers.line = 'up';
      await town.pass(1_000);
      assert.equal(whatOf(slow!).at(-1), 'back m1');
    }
  });

  test('why one has gone is told', async () => {
    const town = new Town();
    const [a, b, c] = await town.settled(3);
    const why: string[] = [];
    a!.members.onChange(change => {
      if (change.kind === 'gone') why.push(`${change.name} ${change.why}`);
    });
    b!.process.kill();
    c!.process.freeze();
    await town.pass(5_000);
    assert.deepEqual(why, ['m1 nobody', 'm2 silent']);
  });

  test('lost and late messages move nobody to call anybody gone', async () => {
    for (let seed = 0; seed < 4; seed++) {
      const faults = { delayMs: [0.2, 20] as const, lost: 0.2, late: 0.02, lateMs: 800 };
      const town = new Town({ seed, faults });
      const citizens = ['a', 'b', 'c', 'd'].map(name => town.join(name));
      await town.pass(30_000);
      for (const citizen of citizens) {
        assert.deepEqual(aliveTo(citizen), ['a', 'b', 'c', 'd'], `seed ${seed}`);
        assert.ok(!whatOf(citizen).some(what => what.startsWith('gone')), `seed ${seed}: ${whatOf(citizen)}`);
      }
    }
  });

  test('of two processes with one name the first is heard, and the other is only told of until the first has gone', async () => {
    const town = new Town();
    const [a, b] = await town.settled(2);
    const twin = town.join('m1', { instance: 'another', zone: 'elsewhere' });
    await town.pass(5_000);
    assert.deepEqual(whatOf(a!), ['doubled m1']);
    assert.deepEqual(whatOf(b!), ['doubled m1']);
    assert.ok(whatOf(twin).includes('doubled m1'));
    assert.deepEqual(
      a!.members.alive().map(({ name, says }) => `${name} ${says.instance}`),
      ['m0 m01', 'm1 m11'],
    );
    b!.process.kill();
    await town.pass(700);
    assert.deepEqual(whatOf(a!), ['doubled m1', 'restarted m1']);
    const [, seen] = a!.members.alive();
    assert.deepEqual([seen!.says.instance, seen!.zone, seen!.standing], ['another', 'elsewhere', 'kept']);
  });

  test('a process that is followed by another at once was away all the same', async () => {
    const town = new Town();
    const [a, b] = await town.settled(2);
    b!.process.kill();
    town.join('m1', { instance: 'next' });
    await town.pass(1_000);
    assert.equal(whatOf(a!).at(-1), 'restarted m1');
    assert.equal(a!.members.alive()[1]!.standing, 'kept');
    await town.pass(12_000);
    assert.equal(a!.members.alive()[1]!.standing, 'steady');
  });

  test('those who are expected and never heard have gone, soon where nobody is there', async () => {
    const town = new Town();
    const [a] = await town.settled(1);
    const silent = town.exchange.client('silent');
    const began = town.clock.monotonic();
    a!.members.expect(['m0', 'nowhere', 'silent']);
    assert.equal(a!.members.verdictOf('nowhere'), 'alive');
    await town.pass(5_000);
    assert.ok(toldAfter(a!, 'gone nowhere', began)! < 500);
    assert.ok(toldAfter(a!, 'gone silent', began)! < slack(GONE_MS));
    assert.equal(a!.members.verdictOf('nobody knows'), null);
    assert.deepEqual(aliveTo(a!), ['m0']);
    silent.stop();
    town.join('nowhere');
    await town.pass(500);
    assert.equal(whatOf(a!).at(-1), 'joined nowhere');
    assert.deepEqual(aliveTo(a!), ['m0', 'nowhere']);
  });

  test('what a stranger says is nobody’s, and is counted; so are more names than there can be', async () => {
    const town = new Town();
    const [a] = await town.settled(1);
    const stranger = town.exchange.client('stranger');
    const before = a!.members.strays;
    for (const text of ['', 'hello', 'null', '[]', '{"name":"x"}', `{"name":"${'x'.repeat(SAYS_BYTES_MAX)}"}`]) {
      stranger.beat(Buffer.from(text));
    }
    await town.pass(100);
    assert.equal(a!.members.strays - before, 6);
    assert.deepEqual(aliveTo(a!), ['m0']);
    for (let i = 0; i < 1_200; i++) stranger.beat(writeSays(says(`s${i}`)));
    await town.pass(100);
    assert.equal(aliveTo(a!).length, 1_000);
    assert.equal(a!.members.strays - before, 6 + 201);
  });

  test('somebody who answers in another’s name is not that one', async () => {
    const town = new Town();
    const [a, b] = await town.settled(2);
    b!.process.kill();
    const liar = town.exchange.client('m1');
    liar.answer(() => writeSays(says('m7')));
    await town.pass(5_000);
    assert.deepEqual(whatOf(a!), ['suspect m1', 'gone m1']);
    assert.ok(a!.members.strays > 0);
  });

  test('that have stopped say nothing and hear nothing', async () => {
    const town = new Town();
    const [a, b] = await town.settled(2);
    b!.members.stop();
    const told = whatOf(b!).length;
    await town.pass(5_000);
    assert.deepEqual(aliveTo(a!), ['m0']);
    assert.equal(whatOf(b!).length, told);
  });

  test('that have gone are remembered for a while, and then not', async () => {
    const town = new Town();
    const [a, b] = await town.settled(2);
    b!.process.kill();
    await town.pass(1_000);
    const [, gone] = a!.members.all();
    assert.equal(gone!.verdict, 'gone');
    assert.equal(gone!.standing, 'kept');
    assert.ok(gone!.goneSinceMs !== null);
    await town.pass(70_000);
    assert.equal(a!.members.all()[1]!.standing, 'out');
    await town.pass(700_000);
    assert.deepEqual(
      a!.members.all().map(({ name }) => name),
      ['m0'],
    );
  });
});

describe('what a member says', () => {
  test('is read as it was written, in a kilobyte at most', () => {
    const said = says('a'.repeat(80), { zone: 'z'.repeat(200), instance: 'f'.repeat(16), busy: 0.123456789012345 });
    assert.deepEqual(readSays(writeSays(said)), said);
    assert.ok(writeSays(said).length <= SAYS_BYTES_MAX);
    assert.throws(() => writeSays(says('a', { zone: 'z'.repeat(1_024) })), /bytes/);
  });

  test('may have more in a later version, and is nothing where something is missing or of another type', () => {
    const said = says('a');
    const wire = (value: unknown) => readSays(Buffer.from(JSON.stringify(value)));
    assert.deepEqual(wire({ ...said, mood: 'good' }), said);
    for (const key of Object.keys(said)) {
      assert.equal(wire({ ...said, [key]: undefined }), null, key);
      assert.equal(wire({ ...said, [key]: null }), null, key);
      assert.equal(wire({ ...said, [key]: [1] }), null, key);
    }
    assert.equal(wire({ ...said, capacity: -1 }), null);
  });
});
