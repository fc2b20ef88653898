/** The connection of the examples' scripts, and what to do when there is none. */
import { connect, type NatsConnection } from 'nats';

export async function connectToNats(): Promise<NatsConnection> {
  const servers = process.env.NATS_URL ?? 'nats://127.0.0.1:4222';
  try {
    return await connect({ servers });
  } catch {
    console.error(
      `no NATS server answers at ${servers}; start millrace dev, or set NATS_URL to the broker that it names`,
    );
    process.exit(1);
  }
}
