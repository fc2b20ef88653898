import assert from 'node:assert/strict';
import { test } from 'node:test';
import { systemClock } from '../../lib/base/clock.ts';
import { Random } from '../../lib/base/random.ts';
import { MemoryBroker } from '../../lib/memory/log.ts';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { startServer } from '../../lib/nats/server.ts';
import { logContract } from './log.ts';
import { lookContract } from './log-look.ts';
import { readerContract } from './log-read.ts';
import { type LogRig, take } from './log-rig.ts';

function contracts(name: string, makeRig: () => Promise<LogRig>): void {
  logContract(name, makeRig);
  readerContract(name, makeRig);
  lookContract(name, makeRig);
}

contracts('memory', async () => {
  const log = new MemoryBroker({ clock: systemClock }).client('a');
  return { log, remove: async () => undefined };
});

contracts('memory, slow and fitful', async () => {
  const faults = { delayMs: [0, 2], readDelayMs: [0, 3], partialRead: 0.5, idleWake: 0.3 } as const;
  const log = new MemoryBroker({ clock: systemClock, random: new Random(5), faults }).client('a');
  return { log, remove: async () => undefined };
});

contracts('JetStream', async () => {
  const server = await startServer({ config: { maxPayloadBytes: 1024 * 1024 } });
  const link = await connectNats({ servers: server.url });
  return {
    log: new NatsLog(link),
    remove: async () => {
      await link.close();
      await server.stop();
    },
  };
});

/**
 * JetStream ends a request that is filled to the byte without a word. A reader that waits for one would be woken by the
 * silence after some seconds, and open another consumer.
 */
test('JetStream: a reader goes on at once after a request that was filled to the byte', async () => {
  const server = await startServer();
  const link = await connectNats({ servers: server.url });
  const log = new NatsLog(link);
  try {
    await log.ensureStream({ name: 'EXACT', subjects: ['e.>'] });
    const count = 30;
    const filled = 20;
    const bufferBytesMax = 64 * 1024;
    // What the server counts of a message besides its data: subject and reply, whose parts are known beforehand.
    const overhead = (i: number) =>
      'e.x'.length + `$JS.ACK.EXACT.mr_${'n'.repeat(22)}.1.${i}.${i}.${'t'.repeat(19)}.${count - i}`.length;
    let left = bufferBytesMax;
    const messages = Array.from({ length: count }, (_, index) => {
      const size = index + 1 === filled ? left - overhead(filled) : 3_000;
      left -= size + overhead(index + 1);
      return { subject: 'e.x', data: new Uint8Array(size) };
    });
    await log.appendAll(messages);
    let consumers = 0;
    link.client.subscribe('$JS.EVENT.ADVISORY.CONSUMER.CREATED.EXACT.>', { callback: () => consumers++ });
    await link.client.flush();
    const reader = log.read({ stream: 'EXACT', from: 1, bufferBytesMax });
    const taken = await take(reader, count);
    await reader.stop();
    await link.client.flush();
    assert.deepEqual(
      taken.map(({ seq }) => seq),
      messages.map((_, i) => i + 1),
    );
    assert.equal(consumers, 1);
  } finally {
    await link.close();
    await server.stop();
  }
});
