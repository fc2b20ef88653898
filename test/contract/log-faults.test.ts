/**
 * The log port over a JetStream that is really killed, restarted, cut off, purged and made anew under it.
 */
import assert from 'node:assert/strict';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { sleep, systemClock } from '../../lib/base/clock.ts';
import { isMillraceError } from '../../lib/base/errors.ts';
import { Random } from '../../lib/base/random.ts';
import { Chain } from '../../lib/chain/chain.ts';
import { connectNats, type LinkStatus, type NatsLink } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import type { LogReader, StoredMessage } from '../../lib/port/log.ts';
import { bytes, endOf, lookOf, ready, take, text } from './log-rig.ts';

describe('JetStream, when it goes wrong', () => {
  let server: NatsServer;
  let link: NatsLink;
  let log: NatsLog;
  const links: NatsLink[] = [];
  const readers: LogReader[] = [];

  async function connect(): Promise<NatsLink> {
    const made = await connectNats({ servers: server.url, answerMs: 2_000 });
    links.push(made);
    return made;
  }

  function read(options: Parameters<NatsLog['read']>[0]): LogReader {
    const reader = log.read(options);
    readers.push(reader);
    return reader;
  }

  before(async () => {
    server = await startServer({ config: { maxPayloadBytes: 1024 * 1024 } });
    link = await connect();
    log = new NatsLog(link);
  });

  afterEach(async () => {
    for (const reader of readers.splice(0)) await reader.stop();
  });
  after(async () => {
    for (const made of links) await made.close();
    await server.stop();
  });

  async function fill(stream: string, count: number): Promise<void> {
    await log.ensureStream({ name: stream, subjects: [`${stream}.>`] });
    await log.appendAll(Array.from({ length: count }, (_, i) => ({ subject: `${stream}.a`, data: bytes(`${i + 1}`) })));
  }

  const seqs = (messages: readonly StoredMessage[]): number[] => messages.map(({ seq }) => seq);
  const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1);

  test('a chain with rival writers is whole after the server was killed again and again', async () => {
    const [stream, subject, items] = ['RIVALS', 'RIVALS.chain', 1_500];
    await log.ensureStream({ name: stream, subjects: ['RIVALS.>'] });
    let retries = 0;
    let beaten = 0;
    const write = async (seed: number): Promise<void> => {
      const own = new NatsLog(await connect());
      const random = new Random(seed);
      const onRetry = () => retries++;
      const chain = new Chain({ log: own, clock: systemClock, stream, subject, random, onRetry });
      const tail = await chain.open();
      let next = tail === null ? 0 : Number(text(tail)) + 1;
      while (next < items) {
        const outcome = await chain.append(bytes(String(next)));
        if (outcome.kind === 'moved') {
          beaten++;
          chain.adopt(outcome.tail);
          next = Number(text(outcome.tail)) + 1;
        } else next++;
        if (random.chance(0.2)) await sleep(systemClock, random.next() * 5);
      }
    };
    let writing = true;
    const writers = Promise.all([1, 2, 3].map(write)).finally(() => {
      writing = false;
    });
    let kills = 0;
    while (writing && kills < 4) {
      await sleep(systemClock, 150);
      await server.kill();
      kills++;
      await server.restart();
    }
    await writers;
    const kept = await take(read({ stream, from: 1 }), items);
    assert.deepEqual(
      kept.map(text),
      Array.from({ length: items }, (_, i) => String(i)),
    );
    assert.equal((await log.info(stream))?.messages, items);
    assert.ok(kills > 0 && retries > 0 && beaten > 0, `nothing happened: ${kills}, ${retries}, ${beaten}`);
  });

  test('a reader goes on where it was after the server was killed', async () => {
    await fill('KILLED', 20_000);
    const reader = read({ stream: 'KILLED', from: 1, bufferBytesMax: 100_000 });
    const kept = await take(reader, 5_000);
    await server.kill();
    await server.restart();
    kept.push(...(await take(reader, 15_000)));
    await ready(reader, () => reader.caughtUp);
    await fill('KILLED', 10);
    kept.push(...(await take(reader, 10)));
    assert.deepEqual(seqs(kept), upTo(20_010));
  });

  test('a reader misses and doubles nothing when its connection breaks in full flow', async () => {
    await fill('BROKEN', 60_000);
    const own = await connect();
    const reader = new NatsLog(own).read({ stream: 'BROKEN', from: 1 });
    readers.push(reader);
    const kept: StoredMessage[] = [];
    for (let i = 1; i <= 5; i++) {
      kept.push(...(await take(reader, 10_000)));
      await own.client.reconnect();
    }
    kept.push(...(await take(reader, 10_000)));
    assert.deepEqual(seqs(kept), upTo(60_000));
  });

  test('a reader makes its consumer again when somebody deletes it, while it waits and while it does not', async () => {
    await fill('CONSUMERS', 3_000);
    const reader = read({ stream: 'CONSUMERS', from: 1, bufferBytesMax: 10_000 });
    const deleteAll = async (): Promise<void> => {
      const manager = await link.client.jetstreamManager();
      for (const name of (await manager.consumers.list('CONSUMERS').next()).map(({ name }) => name)) {
        await manager.consumers.delete('CONSUMERS', name);
      }
    };
    const kept: StoredMessage[] = [];
    // Its buffer is full, so it asks for nothing until something is taken.
    await ready(reader, () => {
      kept.push(...reader.take({ messagesMax: 1, bytesMax: 1 }));
      return kept.length > 0;
    });
    await deleteAll();
    kept.push(...(await take(reader, 2_999)));
    await ready(reader, () => reader.caughtUp);
    await deleteAll();
    await fill('CONSUMERS', 5);
    kept.push(...(await take(reader, 5)));
    assert.deepEqual(seqs(kept), upTo(3_005));
  });

  test('a reader that is overtaken by a purge gives out nothing from beyond the gap', async () => {
    await log.ensureStream({ name: 'PURGED', subjects: ['PURGED.>'] });
    // More than it asks for at a time, so that the end is still on the server when the purge comes.
    const data = new Uint8Array(1_000).fill(1);
    await log.appendAll(upTo(5_000).map(() => ({ subject: 'PURGED.a', data })));
    const reader = read({ stream: 'PURGED', from: 1, bufferBytesMax: 20_000 });
    const kept = await take(reader, 10);
    await log.trim({ stream: 'PURGED', subject: '>', before: 4_900 });
    await ready(reader, () => {
      kept.push(...reader.take({ messagesMax: 10_000, bytesMax: 1e6 }));
      return reader.error !== null;
    });
    assert.ok(isMillraceError(reader.error, 'STREAM_CHANGED'), String(reader.error));
    assert.deepEqual(seqs(kept), upTo(kept.length));
    assert.ok(kept.length < 4_900);
  });

  test('a reader notices that the stream was made anew while it was away', async () => {
    await fill('ANEW', 10);
    const reader = read({ stream: 'ANEW', from: 1 });
    await take(reader, 10);
    // Deleted and made again faster than the reader can look.
    const deleted = log.deleteStream('ANEW');
    const made = log.ensureStream({ name: 'ANEW', subjects: ['ANEW.>'] });
    await Promise.all([deleted, made]);
    await fill('ANEW', 20);
    const error = await endOf(reader);
    assert.ok(isMillraceError(error, 'STREAM_CHANGED') || isMillraceError(error, 'STREAM_MISSING'), String(error));
  });

  for (const grows of [false, true]) {
    const then = grows ? ' and has grown again before anybody was back' : '';
    test(`a reader notices that its stream was put back to an older copy${then}`, async () => {
      const stream = grows ? 'GROWN' : 'BACK';
      const folder = await mkdtemp(join(tmpdir(), 'millrace-copy-'));
      await fill(stream, 50);
      await server.kill();
      await cp(server.dataDir, folder, { recursive: true });
      await server.restart();
      await fill(stream, 50);
      const wholes = [read({ stream, from: 1 }), read({ stream, subjects: [`${stream}.a`], from: 90 })];
      for (const [i, reader] of wholes.entries()) await take(reader, i === 0 ? 100 : 11);
      await server.kill();
      await rm(server.dataDir, { recursive: true });
      await cp(folder, server.dataDir, { recursive: true });
      await rm(folder, { recursive: true });
      if (grows) await fillUnseen(stream, 80);
      await server.restart();
      const why = grows ? /has another message at sequence 100/ : /ends at sequence 50, but we have read up to 100/;
      for (const reader of wholes) {
        const error = await endOf(reader);
        assert.ok(isMillraceError(error, 'STREAM_CHANGED'));
        assert.match(error.message, why);
      }
    });
  }

  /** By way of another server on the same data, while this one is down. */
  async function fillUnseen(stream: string, count: number): Promise<void> {
    const other = await startServer({ dataDir: server.dataDir });
    const away = await connectNats({ servers: other.url });
    await new NatsLog(away).appendAll(upTo(count).map(i => ({ subject: `${stream}.a`, data: bytes(`${i}`) })));
    await away.close();
    await other.stop();
  }

  test('appends without a connection are in doubt at once, and many of them wait for it', async () => {
    await log.ensureStream({ name: 'AWAY', subjects: ['AWAY.>'] });
    const own = await connect();
    const away = new NatsLog(own);
    const statuses: LinkStatus['kind'][] = [];
    const disconnected = new Promise<void>(resolve => {
      own.onStatus(status => {
        statuses.push(status.kind);
        if (status.kind === 'disconnected') resolve();
      });
    });
    await server.kill();
    await disconnected;
    assert.equal((await away.append({ subject: 'AWAY.a', data: bytes('x') })).kind, 'unsure');
    assert.equal((await away.appendBatch([{ subject: 'AWAY.a', data: bytes('x') }])).kind, 'unsure');
    assert.equal(own.connected, false);
    const headers = (i: number) => ({ 'Nats-Msg-Id': `away ${i}` });
    const all = away.appendAll(
      upTo(3_000).map(i => ({ subject: 'AWAY.a', data: bytes(String(i)), headers: headers(i) })),
    );
    await server.restart();
    await all;
    assert.deepEqual(statuses.slice(0, 2), ['disconnected', 'connected']);
    const kept = await take(read({ stream: 'AWAY', from: 1 }), 3_000);
    assert.deepEqual(kept.map(text), upTo(3_000).map(String));
  });

  test('many appends land once each, in order, when the server is killed under them', async () => {
    await log.ensureStream({ name: 'UNDER', subjects: ['UNDER.>'] });
    const count = 60_000;
    const all = log.appendAll(
      upTo(count).map(i => ({ subject: 'UNDER.a', data: bytes(String(i)), headers: { 'Nats-Msg-Id': `under ${i}` } })),
    );
    await sleep(systemClock, 100);
    await server.kill();
    await server.restart();
    await all;
    const kept = await take(read({ stream: 'UNDER', from: 1 }), (await log.info('UNDER'))!.messages);
    assert.deepEqual(
      kept
        .map(text)
        .map(Number)
        .sort((a, b) => a - b),
      upTo(count),
    );
  });

  test('consumers that were paused, or given other subjects, are left for others, and it is told', async () => {
    await log.ensureStream({ name: 'STARVED', subjects: ['STARVED.>'] });
    const [stream, subjects] = ['STARVED', ['STARVED.a']];
    const append = (name: string, data: string) =>
      log.append({ stream, subject: `STARVED.${name}`, data: bytes(data), expect: 0 });
    const consumers = async () =>
      (await link.client.request(`$JS.API.CONSUMER.NAMES.${stream}`)).json<{ consumers: string[] }>().consumers;
    const paused = read({ stream, from: 1, gaps: 'allow' });
    await append('first', '1');
    await take(paused, 1);
    const [name] = await consumers();
    const until = new Date(Date.now() + 3_600_000).toISOString();
    await link.client.request(`$JS.API.CONSUMER.PAUSE.${stream}.${name}`, JSON.stringify({ pause_until: until }));
    const edited = read({ stream, subjects, from: 1 });
    await lookOf(edited);
    await ready(edited, () => edited.caughtUp);
    const other = (await consumers()).find(one => one !== name)!;
    const topic = `$JS.API.CONSUMER.CREATE.${stream}.${other}`;
    const { config } = (await link.client.request(`$JS.API.CONSUMER.INFO.${stream}.${other}`)).json<{
      config: object;
    }>();
    const change = { ...config, filter_subject: undefined, filter_subjects: ['STARVED.none'] };
    const update = { stream_name: stream, action: 'update', config: change };
    const updated = (await link.client.request(topic, JSON.stringify(update))).json<{ error?: object }>();
    assert.equal(updated.error, undefined);
    const told: LinkStatus[] = [];
    const end = link.onStatus(status => told.push(status));
    await append('a', '2');
    const [got, same] = await Promise.all([take(paused, 1), take(edited, 1)]);
    end();
    assert.deepEqual([...got, ...same].map(text), ['2', '2']);
    assert.equal(told.filter(({ kind }) => kind === 'starved').length, 2);
  });

  test('what is asked once the connection is closed ends at once', async () => {
    const own = await connect();
    const closed = new NatsLog(own);
    const reader = closed.read({ stream: 'AWAY', from: 1 });
    await own.close();
    assert.equal((await closed.append({ subject: 'AWAY.a', data: bytes('x') })).kind, 'unsure');
    await assert.rejects(closed.info('AWAY'), error => isMillraceError(error, 'BROKER_UNAVAILABLE'));
    assert.ok(isMillraceError(await endOf(reader), 'BROKER_UNAVAILABLE'));
  });

  test('no server at all is an error that says where it looked', async () => {
    const refused = connectNats({ servers: '127.0.0.1:1' });
    await assert.rejects(
      refused,
      error => isMillraceError(error, 'BROKER_UNAVAILABLE') && error.message.includes('127.0.0.1:1'),
    );
  });
});
