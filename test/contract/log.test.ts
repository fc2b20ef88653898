import { systemClock } from '../../lib/base/clock.ts';
import { Random } from '../../lib/base/random.ts';
import { MemoryBroker } from '../../lib/memory/log.ts';
import { connectNats } from '../../lib/nats/connection.ts';
import { NatsLog } from '../../lib/nats/log.ts';
import { startServer } from '../../lib/nats/server.ts';
import { logContract } from './log.ts';
import { readerContract } from './log-read.ts';
import type { LogRig } from './log-rig.ts';

function contracts(name: string, makeRig: () => Promise<LogRig>): void {
  logContract(name, makeRig);
  readerContract(name, makeRig);
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
