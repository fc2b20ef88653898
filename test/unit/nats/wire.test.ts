/** Past the client, on the client's own insides: only the network is played by the test. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { NatsConnection } from 'nats';
import { NatsConnectionImpl } from 'nats/lib/nats-base-client/nats.js';
import { ProtocolHandler } from 'nats/lib/nats-base-client/protocol.js';
import { isMillraceError } from '../../../lib/base/errors.ts';
import { Wire } from '../../../lib/nats/wire.ts';
import { NOTHING, type OutboundMessage } from '../../../lib/nats/wire-writer.ts';

describe('the wire', () => {
  let client: NatsConnection;
  let protocol: ProtocolHandler;
  /** What went to the server, write by write. */
  let sent: string[] = [];

  function connect(): void {
    const made: NatsConnectionImpl = Object.create(NatsConnectionImpl.prototype);
    protocol = new ProtocolHandler({ servers: ['127.0.0.1:1'] }, made);
    client = Object.assign(made, { protocol, draining: false }) as NatsConnection;
    sent = [];
    const send = (bytes: Uint8Array) => sent.push(Buffer.from(bytes).toString());
    Object.assign(protocol, { connected: true, infoReceived: true, transport: { send, isEncrypted: () => false } });
  }
  beforeEach(connect);

  const outgoing = (subject: string, data = 'x'): OutboundMessage => ({
    subject,
    data: Buffer.from(data),
    lines: '',
    commonLines: NOTHING,
  });
  const comes = (text: string) => protocol.parser.parse(Buffer.from(text));
  const turn = () => new Promise(resolve => setImmediate(resolve));

  function listen(wire: Wire, subject: string) {
    const heard: string[] = [];
    const errors: Error[] = [];
    const ear = wire.subscribe(subject, { receive: ({ data }) => heard.push(data.toString()) }, e => errors.push(e));
    return { heard, errors, ear };
  }

  test('brings messages to who subscribed through it, and all others to the client', async () => {
    const theirs: string[] = [];
    const wire = new Wire(client);
    client.subscribe('theirs', { callback: (_, message) => theirs.push(message.string()) });
    const { heard, ear } = listen(wire, 'ours');
    comes('MSG ours 2 2\r\nhi\r\nMSG theirs 1 2\r\nho\r\nPING\r\nMSG ours 2 1\r\n!\r\nMSG none 3 0\r\n\r\n');
    assert.deepEqual([heard, theirs], [['hi', '!'], ['ho']]);
    assert.deepEqual([protocol.inMsgs, protocol.inBytes], [4, 5]);
    ear.stop();
    comes('MSG ours 2 1\r\n?\r\n');
    await turn();
    assert.deepEqual(heard, ['hi', '!']);
    assert.deepEqual(sent, ['PONG\r\n', 'SUB theirs 1\r\nSUB ours 2\r\nUNSUB 2\r\n']);
  });

  test('tells a subscription that it was refused', () => {
    const { errors } = listen(new Wire(client), 'ours');
    comes('-ERR \'Permissions Violation for Subscription to "ours"\'\r\n');
    assert.match(errors[0]!.message, /Permissions Violation/);
  });

  test('begins anew with every connection, in the middle of a message as well', () => {
    const { heard } = listen(new Wire(client), 'ours');
    for (const part of ['MSG ours 1 5\r\nhal', 'MSG ou', 'PI', 'MSG theirs 7 20\r\nx']) {
      comes(part);
      // As the client does when it dials.
      protocol.resetOutbound();
      comes('MSG ours 1 5\r\nwhole\r\n');
    }
    assert.deepEqual(heard, ['whole', 'whole', 'whole', 'whole']);
  });

  test('takes over in the middle of what the client was reading', () => {
    const text = 'INFO {"version":"2.12.0"}\r\nMSG ours 1 2\r\nhi\r\n';
    for (let cut = 0; cut < text.indexOf('MSG'); cut++) {
      connect();
      comes(text.slice(0, cut));
      const { heard } = listen(new Wire(client), 'ours');
      comes(text.slice(cut));
      assert.deepEqual([heard, protocol.info?.version], [['hi'], '2.12.0'], `cut at ${cut}`);
    }
  });

  test('sends what is published in one turn as one piece, behind what the client had to send', async () => {
    const wire = new Wire(client);
    client.subscribe('before', { callback: () => undefined });
    wire.publish(outgoing('a'), '');
    wire.publish(outgoing('b'), 'reply');
    assert.deepEqual(sent, []);
    await turn();
    assert.deepEqual(sent, ['SUB before 1\r\n', 'PUB a 1\r\nx\r\nPUB b reply 1\r\nx\r\n']);
    assert.deepEqual([protocol.outMsgs, protocol.outBytes], [2, 2]);
    wire.publish(outgoing('c'), '');
    wire.publishAll(writer => writer.add(outgoing('d'), ''));
    assert.deepEqual(sent.slice(2), ['PUB c 1\r\nx\r\n', 'PUB d 1\r\nx\r\n']);
  });

  test('does not wait with what is much', async () => {
    const wire = new Wire(client);
    for (let i = 0; i < 100; i++) wire.publish(outgoing('a', 'x'.repeat(10_000)), '');
    assert.ok(sent.length > 5 && sent.length < 20, `${sent.length} writes`);
    await turn();
    assert.equal(sent.join('').length, 100 * 'PUB a 10000\r\n\r\n'.length + 1_000_000);
  });

  test('sends nothing of a whole that cannot be finished, and all that was before it', async () => {
    const wire = new Wire(client);
    wire.publish(outgoing('before'), '');
    const fails = () =>
      wire.publishAll(writer => {
        writer.add(outgoing('a', 'x'.repeat(500_000)), '');
        throw new Error('too large');
      });
    assert.throws(fails, /too large/);
    wire.publish(outgoing('after'), '');
    await turn();
    assert.deepEqual(sent, ['PUB before 1\r\nx\r\n', 'PUB after 1\r\nx\r\n']);
  });

  test('drops what is published without a connection, and does not send it over the next', async () => {
    const wire = new Wire(client);
    protocol.connected = false;
    wire.publish(outgoing('a'), '');
    wire.publishAll(writer => writer.add(outgoing('b'), ''));
    // Gone between the publish and the end of the turn.
    protocol.connected = true;
    wire.publish(outgoing('c'), '');
    protocol.connected = false;
    await turn();
    protocol.connected = true;
    client.publish('d');
    wire.publish(outgoing('e'), '');
    await turn();
    assert.deepEqual(sent, ['PUB d 0\r\n\r\n', 'PUB e 1\r\nx\r\n']);
  });

  const strangers: Record<string, (inside: Record<string, unknown>) => void> = {
    'has another way to send': inside => {
      inside.sendCommand = undefined;
    },
    'counts otherwise': inside => {
      inside.inMsgs = 0n;
    },
    'has no parser': inside => {
      inside.parser = undefined;
    },
    'has a parser without a state': inside => {
      inside.parser = { parse: () => undefined };
    },
    'has a parser that works otherwise': inside => {
      inside.parser = new (class {
        state = 0;
        parse(): void {}
      })();
    },
  };
  for (const [what, change] of Object.entries(strangers)) {
    test(`is an error that says which package it wants where the client ${what}`, () => {
      change(protocol as unknown as Record<string, unknown>);
      assert.throws(
        () => new Wire(client),
        error => isMillraceError(error, 'INVARIANT') && error.message.includes('install nats 2.29'),
      );
    });
  }

  test('is an error, too, where the client has no protocol', () => {
    assert.throws(
      () => new Wire({} as NatsConnection),
      error => isMillraceError(error, 'INVARIANT'),
    );
  });
});
