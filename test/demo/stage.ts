/**
 * The demo's stage: a broker and a worker, each a process of its own, in a temporary folder, with what the services bring
 * along.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, type NatsConnection } from 'nats';
import { bundlePipeline } from '../../lib/bundle/bundle.ts';
import { AdminClient } from '../../lib/control/client.ts';
import { startBroker } from '../rig/broker.ts';
import type { Closing } from '../rig/closing.ts';
import { WorkerProcess } from '../rig/worker-process.ts';
import type { Airport } from './flights.ts';
import { fillAirports, makeStreams } from './replay.ts';

export interface Stage {
  readonly connection: NatsConnection;
  readonly worker: WorkerProcess;
  /** Rejects when broker or worker end though nobody asked them to. */
  readonly fallen: Promise<never>;
}

/** Starts everything and deploys the demo's pipeline. */
export async function setStage(
  closing: Closing,
  options: { airports: readonly Airport[]; keep: boolean; say: (line: string) => void },
): Promise<Stage> {
  const { airports, keep, say } = options;
  const folder = await mkdtemp(join(tmpdir(), 'millrace-demo-'));
  closing.add(() => (keep ? say(`kept: ${folder}`) : rm(folder, { recursive: true, force: true })));
  const server = await startBroker({ dataDir: join(folder, 'nats'), say });
  closing.add(() => server.stop());
  const connection = await connect({ servers: server.url });
  closing.add(() => connection.close());
  const worker = new WorkerProcess({ natsUrl: server.url, dataDir: join(folder, 'worker') });
  closing.add(() => worker.stop());
  const fallen = new Promise<never>((_, reject) => {
    server.onDeath = reason => reject(new Error(`the broker has ended: ${reason}`));
    worker.onDeath = reason => reject(new Error(reason));
  });
  fallen.catch(() => 'told to whoever waits for it; nobody may be waiting yet');

  await makeStreams(connection);
  await fillAirports(connection, airports);
  await worker.start();
  say(`worker at ${worker.address}: try  npx millrace get --server ${worker.address}`);
  const client = new AdminClient({ address: worker.address });
  closing.add(() => client.close());
  const bundle = await bundlePipeline(fileURLToPath(new URL('pipeline.ts', import.meta.url)));
  const { name, revision } = await client.deploy(bundle);
  say(`deployed ${name}, revision ${revision}\n`);
  return { connection, worker, fallen };
}
