import assert from 'node:assert/strict';
import { createServer, connect as dial, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { sleep, systemClock } from '../../lib/base/clock.ts';
import { isMillraceError } from '../../lib/base/errors.ts';
import { MemoryBucket, MemoryRegistry } from '../../lib/memory/registry.ts';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { openRegistry } from '../../lib/nats/registry.ts';
import { startServer } from '../../lib/nats/server.ts';
import { follower, registryContract, until } from './registry.ts';

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text));

registryContract('memory', async () => {
  let bucket = new MemoryBucket(systemClock);
  return {
    fresh: async () => {
      bucket = new MemoryBucket(systemClock);
      return new MemoryRegistry(bucket);
    },
    another: async () => new MemoryRegistry(bucket),
    remove: async () => undefined,
  };
});

registryContract('NATS', async () => {
  const server = await startServer();
  const links = await Promise.all([0, 1, 2].map(() => connectNats({ servers: server.url })));
  let round = 0;
  let clients = 0;
  return {
    fresh: () => openRegistry(links[0]!, { bucket: `b${++round}` }),
    another: () => openRegistry(links[++clients % 3]!, { bucket: `b${round}` }),
    remove: async () => {
      for (const link of links) await link.close();
      await server.stop();
    },
  };
});

describe('the registry in memory', () => {
  test('a client that is cut off fails, and is told what it missed when it is back', async () => {
    const bucket = new MemoryBucket(systemClock);
    const [one, two] = [new MemoryRegistry(bucket), new MemoryRegistry(bucket)];
    await one.put('a', bytes('1'), { expect: 0 });
    await one.put('b', bytes('1'), { expect: 0 });
    const seen = follower();
    await two.watch('', seen.changed);
    two.connected = false;
    await assert.rejects(two.get('a'), error => isMillraceError(error, 'BROKER_UNAVAILABLE'));
    await assert.rejects(two.list(''), error => isMillraceError(error, 'BROKER_UNAVAILABLE'));
    const revision = (await one.get('a'))!.revision;
    await one.put('a', bytes('2'), { expect: revision });
    await one.delete('b');
    await sleep(systemClock, 20);
    assert.deepEqual(seen.told, ['a=1', 'b=1']);
    two.connected = true;
    await until(() => seen.told.length === 4, 'caught up');
    assert.deepEqual(seen.told.slice(2).sort(), ['a=2', 'b gone']);
  });
});

/** A way to the server that can be cut while the server lives on. */
async function startProxy(port: number) {
  const sockets = new Set<Socket>();
  let open = true;
  let deaf = false;
  const proxy = createServer(inner => {
    if (!open) {
      inner.destroy();
      return;
    }
    const outer = dial(port, '127.0.0.1');
    for (const [from, to] of [
      [inner, outer],
      [outer, inner],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.on('data', data => {
        if (!(deaf && from === outer)) to.write(data);
      });
    }
  });
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve));
  const address = proxy.address();
  assert.ok(address !== null && typeof address === 'object');
  return {
    url: `nats://127.0.0.1:${address.port}`,
    cut: () => {
      open = false;
      for (const socket of sockets) socket.destroy();
    },
    /** What the server says is lost from now on; what it is told still arrives. */
    deafen: () => {
      deaf = true;
    },
    mend: () => {
      open = true;
      deaf = false;
    },
    stop: () => proxy.close(),
  };
}

describe('the registry on NATS', () => {
  test('is an ordinary KV bucket, whose entries the client library reads', async () => {
    const server = await startServer();
    const link = await connectNats({ servers: server.url });
    const registry = await openRegistry(link, { bucket: 'shared' });
    const revision = await registry.put('a.b', bytes('1'), { expect: 0 });
    const kv = await link.client.jetstream().views.kv('shared', { bindOnly: true });
    const entry = await kv.get('a.b');
    assert.deepEqual([entry?.string(), entry?.revision], ['1', revision]);
    await kv.put('by.kv', '2');
    assert.equal(Buffer.from((await registry.get('by.kv'))!.value).toString(), '2');
    await kv.delete('by.kv');
    await kv.purge('a.b');
    assert.deepEqual(await registry.list(''), []);
    await link.close();
    await server.stop();
  });

  test('switches on what it needs in a bucket that others have made', async () => {
    const server = await startServer();
    const link = await connectNats({ servers: server.url });
    await link.client.jetstream().views.kv('old', { history: 1 });
    const registry = await openRegistry(link, { bucket: 'old' });
    assert.ok((await registry.put('a', bytes('1'), { expect: 0, ttlMs: 1_000 })) !== null);
    await until(async () => (await registry.get('a')) === null, 'the entry expired');
    const manager = await link.client.jetstreamManager();
    assert.equal((await manager.streams.info('KV_old')).config.allow_direct, false);
    await link.close();
    await server.stop();
  });

  test('rides out a killed and restarted server: writes land once, watches go on', async () => {
    const server = await startServer({ config: { syncAlways: true } });
    const link = await connectNats({ servers: server.url, answerMs: 300 });
    const registry = await openRegistry(link, { bucket: 'b' });
    const seen = follower();
    const watch = await registry.watch('', seen.changed);
    let revision = 0;
    let stop = false;
    const writing = (async () => {
      let i = 0;
      for (; !stop; i++) {
        const next = await registry.put('counter', bytes(String(i)), { expect: revision });
        assert.ok(next !== null, 'the only writer is never beaten, whatever answers get lost');
        revision = next;
      }
      return i - 1;
    })();
    for (let round = 0; round < 3; round++) {
      await sleep(systemClock, 150);
      await server.kill();
      await server.restart();
      await until(() => link.connected, 'connected again');
    }
    stop = true;
    const last = await writing;
    await until(() => seen.state.get('counter') === String(last), 'the watcher is at the end');
    const numbers = seen.told.map(line => Number(line.split('=')[1]));
    assert.deepEqual(
      numbers,
      [...numbers].sort((a, b) => a - b),
    );
    await watch.stop();
    await link.close();
    await server.stop();
  });

  test('knows its own write again when the answer to it was lost, and does not take another for it', async () => {
    const server = await startServer();
    const proxy = await startProxy(server.port);
    const near = await connectNats({ servers: server.url });
    const far = await connectNats({ servers: proxy.url });
    const registry = await openRegistry(near, { bucket: 'b' });
    const remote = await openRegistry(far, { bucket: 'b' });
    const first = (await remote.put('k', bytes('1'), { expect: 0 }))!;
    proxy.deafen();
    const put = remote.put('k', bytes('2'), { expect: first });
    await until(async () => (await registry.get('k'))!.revision > first, 'it landed');
    proxy.cut();
    await until(() => !far.connected, 'cut off');
    proxy.mend();
    const revision = (await registry.get('k'))!.revision;
    assert.equal(await put, revision);
    proxy.deafen();
    const lost = remote.put('k', bytes('mine'), { expect: revision });
    await until(async () => (await registry.get('k'))!.revision > revision, 'it landed');
    const landed = (await registry.get('k'))!.revision;
    await registry.put('k', bytes('theirs'), { expect: landed });
    proxy.cut();
    await until(() => !far.connected, 'cut off');
    proxy.mend();
    assert.equal(await lost, null, 'overwritten before anybody could tell its writer');
    await near.close();
    await far.close();
    proxy.stop();
    await server.stop();
  });

  test('tells a watcher that was cut off what it missed: changes, deletions, and a bucket made anew', async () => {
    const server = await startServer();
    const proxy = await startProxy(server.port);
    const near = await connectNats({ servers: server.url });
    const far = await connectNats({ servers: proxy.url });
    const registry = await openRegistry(near, { bucket: 'b' });
    const remote = await openRegistry(far, { bucket: 'b' });
    const first = (await registry.put('a', bytes('1'), { expect: 0 }))!;
    await registry.put('b', bytes('1'), { expect: 0 });
    await registry.put('x', bytes('1'), { expect: 0 });
    const seen = follower();
    const watch = await remote.watch('', seen.changed);
    proxy.cut();
    await until(() => !far.connected, 'cut off');
    await registry.put('a', bytes('2'), { expect: first });
    await registry.delete('b');
    await registry.put('c', bytes('1'), { expect: 0 });
    // A deletion that has left no trace, as when its tombstone has expired.
    const manager = await near.client.jetstreamManager();
    await manager.streams.purge('KV_b', { filter: '$KV.b.x' });
    proxy.mend();
    await until(() => seen.told.length === 7, 'caught up');
    assert.deepEqual(seen.told.slice(3).sort(), ['a=2', 'b gone', 'c=1', 'x gone']);

    proxy.cut();
    await until(() => !far.connected, 'cut off');
    await new NatsLog(near).deleteStream('KV_b');
    const anew = await openRegistry(near, { bucket: 'b' });
    await anew.put('d', bytes('new'), { expect: 0 });
    proxy.mend();
    await until(() => seen.state.get('d') === 'new' && seen.state.size === 1, 'the new state is told');
    await anew.put('e', bytes('new'), { expect: 0 });
    await until(() => seen.state.get('e') === 'new', 'changes of the new bucket are told');
    await watch.stop();
    await near.close();
    await far.close();
    proxy.stop();
    await server.stop();
  });
});
