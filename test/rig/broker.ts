/** The broker that the demo and the bench start: found as `millrace dev` finds it, as a process of its own. */
import { join } from 'node:path';
import { platform, settle } from '../../cmd/config.ts';
import { type FoundServer, findServer } from '../../lib/nats/find-server.ts';
import { type NatsServer, type ServerConfig, startServer } from '../../lib/nats/server.ts';

/** The binary, fetched if need be. Throws SERVER_NOT_FOUND with what was tried. */
export function findBroker(say: (line: string) => void): Promise<FoundServer> {
  const { cacheDir } = platform();
  const { natsServer } = settle(['natsServer']);
  return findServer({ cacheDir: join(cacheDir, 'nats-server'), variable: natsServer ?? undefined, log: say });
}

/** Throws SERVER_NOT_FOUND with what was tried, BROKER_UNAVAILABLE when it does not come up. */
export async function startBroker(options: {
  dataDir: string;
  config?: ServerConfig;
  say: (line: string) => void;
}): Promise<NatsServer> {
  const { dataDir, config = {}, say } = options;
  const { binary } = await findBroker(say);
  return startServer({ dataDir, config, binary });
}
