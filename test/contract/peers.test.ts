import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect, type NatsConnection } from 'nats';
import { sleep, systemClock } from '../../lib/base/clock.ts';
import { Random } from '../../lib/base/random.ts';
import { SimClock } from '../../lib/memory/clock.ts';
import { PeerExchange } from '../../lib/memory/peers.ts';
import { connectNats, type NatsLink } from '../../lib/nats/connection.ts';
import { NatsPeers } from '../../lib/nats/peers.ts';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import { peerBeats, peerQuestions } from '../../lib/record/names.ts';
import { bytes, heardBy, peersContract, text } from './peers.ts';
import { until } from './registry.ts';

peersContract('memory', async () => {
  const exchange = new PeerExchange({ clock: systemClock });
  return { join: async member => exchange.client(member), remove: async () => undefined };
});

peersContract('NATS', async () => {
  const server = await startServer({ config: { maxPayloadBytes: 1024 * 1024 } });
  const links: NatsLink[] = [];
  return {
    join: async member => {
      const link = await connectNats({ servers: server.url });
      links.push(link);
      const peers = new NatsPeers(link, { cluster: 'c', member });
      // What is published on another connection passes the subscriptions that were sent on this one by then.
      await link.client.flush();
      return peers;
    },
    remove: async () => {
      for (const link of links) await link.close();
      await server.stop();
    },
  };
});

describe('peers in memory', () => {
  const world = (options: Partial<ConstructorParameters<typeof PeerExchange>[0]> = {}) => {
    const clock = new SimClock();
    const exchange = new PeerExchange({ clock, random: new Random(7), ...options });
    const [a, b] = [exchange.client('a'), exchange.client('b')];
    b.answer(question => question);
    const ask = async () => text(await clock.runThrough(a.ask('b', bytes('x'), 1_000)));
    return { clock, exchange, a, b, ask };
  };

  test('whoever is cut off is silent as long as the broker has not noticed, and nobody then; neither hears anything', async () => {
    const { clock, a, b, ask } = world();
    const heard = heardBy(b);
    b.line = 'cut';
    assert.equal(await ask(), '(silent)');
    b.line = 'closed';
    assert.equal(await ask(), '(nobody)');
    a.beat(bytes('lost'));
    b.line = 'up';
    a.line = 'cut';
    a.beat(bytes('lost, too'));
    assert.equal(await ask(), '(silent)');
    a.line = 'up';
    assert.deepEqual([a.connections, b.connections], [1, 2]);
    a.beat(bytes('heard'));
    await clock.run(clock.monotonic() + 100);
    assert.deepEqual(heard, ['heard']);
    assert.equal(await ask(), 'x');
  });

  test('a process that was killed is nobody, one that is frozen is silent and hears all of it later, in order', async () => {
    const { clock, a, b, ask } = world({ faults: { delayMs: [1, 30] } });
    const heard = heardBy(b);
    b.clock.freeze();
    assert.equal(await ask(), '(silent)');
    for (let i = 0; i < 9; i++) a.beat(bytes(String(i)));
    await clock.run(clock.monotonic() + 100);
    assert.deepEqual(heard, []);
    b.clock.thaw();
    await clock.run(clock.monotonic() + 100);
    assert.equal(heard.join(''), '012345678');
    b.clock.kill();
    assert.equal(await ask(), '(nobody)');
  });

  test('of two halves of a broker each knows nobody of the other', async () => {
    const { clock, a, b, ask } = world();
    const heard = [heardBy(a), heardBy(b)];
    b.side = 1;
    a.beat(bytes('a'));
    b.beat(bytes('b'));
    assert.equal(await ask(), '(nobody)');
    await clock.run(clock.monotonic() + 10);
    assert.deepEqual(heard, [['a'], ['b']]);
  });

  test('messages get lost and come late, as often as the faults say', async () => {
    const { clock, exchange, a, b } = world({ faults: { lost: 0.3, late: 0.1, lateMs: 1_000 } });
    const heard = heardBy(b);
    const at: number[] = [];
    b.onBeat(() => at.push(clock.monotonic()));
    const began = clock.monotonic();
    for (let i = 0; i < 1_000; i++) a.beat(bytes(String(i)));
    await clock.run(began + 2_000);
    assert.ok(heard.length > 600 && heard.length < 800, `${heard.length}`);
    assert.ok(at.at(-1)! - began > 500);
    const numbers = heard.map(Number);
    assert.deepEqual(
      numbers,
      [...numbers].sort((left, right) => left - right),
    );
    exchange.faults = {};
    a.beat(bytes('sure'));
    await clock.run(clock.monotonic() + 1);
    assert.equal(heard.at(-1), 'sure');
  });
});

describe('peers on NATS', () => {
  let server: NatsServer;
  let stranger: NatsConnection;
  const links: NatsLink[] = [];

  before(async () => {
    server = await startServer({ config: { maxPayloadBytes: 1024 * 1024 } });
    stranger = await connect({ servers: server.url, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
  });
  after(async () => {
    for (const link of links) await link.close();
    await stranger.close();
    await server.stop();
  });

  async function join(member: string, options: { user?: string; password?: string; url?: string } = {}) {
    const { url = server.url, ...login } = options;
    const link = await connectNats({ servers: url, ...login });
    links.push(link);
    const peers = new NatsPeers(link, { cluster: 'c', member });
    await link.client.flush();
    return { link, peers };
  }

  test('what a stranger answers counts for nothing, and is counted', async () => {
    const [a, b] = [(await join('sa')).peers, (await join('sb')).peers];
    const NONSENSE = ['', '+OK', '{"stream":"S","seq":1}', 'MRAn', 'MRAn1234567812345678'];
    stranger.subscribe(peerQuestions('c', 'sb'), {
      callback: (_, { reply }) => {
        for (const one of NONSENSE) stranger.publish(reply!, one);
      },
    });
    await stranger.flush();
    b.answer(async question => {
      await sleep(systemClock, 50);
      return question;
    });
    assert.equal(text(await a.ask('sb', bytes('x'), 5_000)), 'x');
    assert.equal(a.strays, NONSENSE.length);
  });

  test('a stream that keeps what is asked answers too, and is no peer', async () => {
    const manager = await stranger.jetstreamManager();
    await manager.streams.add({ name: 'NOSY', subjects: ['_mr._peer.>'] });
    const [a, b] = [(await join('na')).peers, (await join('nb')).peers];
    b.answer(question => question);
    assert.equal(text(await a.ask('nb', bytes('x'), 5_000)), 'x');
    assert.equal(text(await a.ask('nowhere', bytes('x'), 200)), '(silent)');
    await manager.streams.delete('NOSY');
    assert.equal(text(await a.ask('nowhere', bytes('x'), 5_000)), '(nobody)');
  });

  test('two who go by one name do not mix their answers', async () => {
    const asking = (await join('ta')).peers;
    for (const letter of ['x', 'y']) {
      const { peers } = await join('twin');
      peers.answer(() => new Uint8Array(Buffer.alloc(4 * 1024 * 1024, letter)));
    }
    for (let i = 0; i < 5; i++) {
      const answer = await asking.ask('twin', bytes('?'), 30_000);
      assert.ok(answer instanceof Uint8Array);
      assert.ok(answer.every(byte => byte === answer[0]));
    }
  });

  test('a stranger’s beat is handed on as it is, and a question that wants no answer has none', async () => {
    const { peers } = await join('qa');
    const heard = heardBy(peers);
    peers.answer(question => question);
    stranger.publish(peerBeats('c'), 'what is this');
    stranger.publish(peerQuestions('c', 'qa'), 'x');
    await until(() => heard.includes('what is this'), 'it was heard');
    await until(() => peers.strays === 1, 'it was counted');
  });

  test('while the broker is away nothing is kept for later, questions are silent at once, and all goes on afterwards', async () => {
    const [{ link, peers: a }, { link: far, peers: b }] = [await join('ra'), await join('rb')];
    b.answer(question => (text(question) === 'for ever' ? new Promise(() => undefined) : question));
    const heard = heardBy(b);
    assert.equal(text(await a.ask('rb', bytes('x'), 5_000)), 'x');
    const underWay = Promise.race([a.ask('rb', bytes('for ever'), 60_000), sleep(systemClock, 10_000)]);
    await server.kill();
    assert.equal(await underWay, 'silent');
    await until(() => !link.connected && !far.connected, 'both are cut off');
    a.beat(bytes('old'));
    assert.equal(await a.ask('rb', bytes('x'), 60_000), 'silent');
    await server.restart();
    await until(() => link.connected && far.connected, 'both are back');
    assert.deepEqual([a.connections, b.connections], [2, 2]);
    await until(async () => text(await a.ask('rb', bytes('y'), 1_000)) === 'y', 'it is answered again');
    a.beat(bytes('new'));
    await until(() => heard.length > 0, 'a beat is heard again');
    assert.deepEqual(heard, ['new']);
  });

  test('a process that is killed is nobody within two seconds', async t => {
    const { peers } = await join('ka');
    const file = fileURLToPath(new URL('../rig/peer-process.ts', import.meta.url));
    const took: number[] = [];
    for (let round = 0; round < 3; round++) {
      const child = spawn(process.execPath, ['--import', 'tsx', file, server.url, `k${round}`]);
      const ask = async () => text(await peers.ask(`k${round}`, bytes('x'), 20));
      await until(async () => (await ask()) === 'x', 'it answers');
      child.kill('SIGKILL');
      const killedAt = performance.now();
      while ((await ask()) !== '(nobody)') {
        assert.ok(performance.now() - killedAt < 2_000, 'after two seconds there is still somebody');
        await sleep(systemClock, 5);
      }
      took.push(Math.round(performance.now() - killedAt));
    }
    t.diagnostic(`nobody after ${took.join(', ')} ms`);
  });

  test('what the server does not permit to hear is told by the connection, and tried again when it is connected anew', async () => {
    const users = (permissions: string) => ({
      blocks: [`authorization { users = [ { user: u, password: p, permissions: { ${permissions} } } ] }`],
    });
    const strict = await startServer({ config: users('subscribe: { deny: ["_mr.>"] }') });
    const { link, peers } = await join('pa', { url: strict.url, user: 'u', password: 'p' });
    const refused: string[] = [];
    link.onStatus(status => {
      if (status.kind === 'refused') refused.push(status.message);
    });
    peers.answer(question => question);
    const heard = heardBy(peers);
    peers.beat(bytes('1'));
    assert.equal(text(await peers.ask('pa', bytes('x'), 100)), '(silent)');
    await until(() => refused.length > 0, 'it is told');
    for (const message of refused) assert.match(message, /grant this user: subscribe to _mr\.>/);
    assert.deepEqual(heard, []);
    await strict.restart(users('subscribe: { allow: [">"] }'));
    await until(() => link.connected, 'connected again');
    await until(async () => text(await peers.ask('pa', bytes('y'), 1_000)) === 'y', 'it is answered');
    peers.beat(bytes('2'));
    await until(() => heard.length > 0, 'it is heard');
    assert.deepEqual(heard, ['2']);
    await link.close();
    await strict.stop();
  });
});
