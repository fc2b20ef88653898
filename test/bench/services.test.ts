/** The services and subscribers that the demo and the bench play, against a real server. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { connect, type NatsConnection } from 'nats';
import { type NatsServer, startServer } from '../../lib/nats/server.ts';
import { Publisher } from '../rig/publisher.ts';
import { lastSequenceOf, readAll, streamOf, subscribe } from '../rig/subscriber.ts';

let server: NatsServer;
let connection: NatsConnection;

before(async () => {
  server = await startServer();
  connection = await connect({ servers: server.url });
  const manager = await connection.jetstreamManager();
  await manager.streams.add({ name: 'rows', subjects: ['rows.>'] });
});

after(async () => {
  await connection.close();
  await server.stop();
});

describe('a bulk publisher', () => {
  test('stores everything in order, with no more under way than its window', async () => {
    const publisher = new Publisher(connection, { windowMax: 100 });
    let sent = 0;
    for (let i = 0; i < 5_000; i++) {
      const full = publisher.publish('rows.one', String(i));
      sent++;
      assert.ok(sent - publisher.stored <= 100);
      if (full) await publisher.room();
    }
    await publisher.finish();
    assert.equal(publisher.stored, 5_000);
    const rows: string[] = [];
    await readAll(connection, { stream: 'rows', subject: 'rows.one', arrived: ({ row }) => rows.push(row) });
    assert.deepEqual(
      rows,
      Array.from({ length: 5_000 }, (_, i) => String(i)),
    );
  });

  test('fails when no stream keeps its subject', async () => {
    const publisher = new Publisher(connection);
    publisher.publish('nobody.keeps.this', 'x');
    await assert.rejects(publisher.finish(), /not stored: no stream/);
  });

  test('fails with what the broker says when it refuses', async () => {
    const manager = await connection.jetstreamManager();
    await manager.streams.add({ name: 'small', subjects: ['small'], max_msg_size: 8 });
    const publisher = new Publisher(connection);
    publisher.publish('small', 'more than eight bytes');
    await assert.rejects(publisher.finish(), /not stored: .*message size/);
  });
});

describe('a plain subscriber', () => {
  test('takes frames apart into rows, with the time at which they were stored', async () => {
    const publisher = new Publisher(connection);
    publisher.publish('rows.two', '{"n":1}\n{"n":2}\n');
    publisher.publish('rows.three', '{"n":3}');
    await publisher.finish();
    const arrived: string[] = [];
    let complete = () => {};
    const both = new Promise<void>(resolve => (complete = resolve));
    const subscription = await subscribe(connection, {
      stream: 'rows',
      subject: 'rows.two',
      arrived({ subject, row, storedMs }) {
        assert.equal(subject, 'rows.two');
        assert.ok(storedMs > Date.UTC(2020, 0, 1) && storedMs <= Date.now() + 1_000);
        if (arrived.push(row) === 2) complete();
      },
    });
    await both;
    await subscription.stop();
    assert.deepEqual(arrived, ['{"n":1}', '{"n":2}']);
  });

  test('goes on reading after what it has read', async () => {
    const rows: string[] = [];
    const stream = await streamOf(connection, 'rows.four');
    assert.equal(stream, 'rows');
    const arrived = ({ row }: { row: string }) => rows.push(row);
    const publish = async (row: string) => {
      const publisher = new Publisher(connection);
      publisher.publish('rows.four', row);
      await publisher.finish();
    };
    await publish('a');
    const readTo = await readAll(connection, { stream, subject: 'rows.four', arrived });
    await publish('b');
    await readAll(connection, { stream, subject: 'rows.four', from: readTo + 1, arrived });
    assert.deepEqual(rows, ['a', 'b']);
    assert.equal(await lastSequenceOf(connection, stream), readTo + 1);
    assert.equal(await streamOf(connection, 'unkept.>'), null);
  });
});
