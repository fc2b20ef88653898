/** The broker has no room left for a while. */
import type { JetStreamClient } from 'nats';
import { pause } from '../../bench/scene.ts';
import type { Case } from '../cases.ts';

const ROOM_BYTES = 32 << 20;
const CHANNEL_BYTES = 8 << 20;
/** What the store is filled with: stones first, and sand for what is left between them. */
const STONE_BYTES = 1 << 20;
const SAND_BYTES = 700;
const REFUSED_MS = 500;

/**
 * The limit is the server's own, `max_file`, of which nothing is asked beforehand: a batch of results is broken off
 * wherever it is met. So that it often is, room is made a few grains at a time, for the first that comes. What channels
 * reserve would have to be free beside it, so they are given less, as operators may.
 */
const storageLimit: Case = {
  name: 'storage-limit',
  about: 'the broker is started anew with a limit to its storage, which is met while load flows; then room is made',
  weight: 1,
  isAlone: true,
  async play(stage, random) {
    const { connection, broker } = stage;
    const { streams } = await connection.jetstreamManager();
    let bytes = ROOM_BYTES;
    for (const { config, state } of await streams.list().next()) {
      bytes += state.bytes;
      if (config.max_bytes > CHANNEL_BYTES) await streams.update(config.name, { max_bytes: CHANNEL_BYTES });
    }
    for (const name of ['stones', 'sand']) await streams.add({ name, subjects: [name] });
    stage.note(`start the broker anew with a limit of ${bytes} bytes`);
    await broker.restart({ fileBytesMax: bytes });
    await stage.heard();
    const stream = connection.jetstream({ timeout: REFUSED_MS });
    await fill(stream, { subject: 'stones', bytes: STONE_BYTES });
    await fill(stream, { subject: 'sand', bytes: SAND_BYTES });
    stage.note('the store is full');
    await pause(random.between(500, 3_000));
    for (let times = random.int(60); times > 0; times--) {
      const { messages } = (await streams.info('sand')).state;
      await streams.purge('sand', { keep: Math.max(1, messages - 1 - random.int(12)) });
      await pause(random.between(5, 100));
    }
    for (const name of ['stones', 'sand']) await streams.delete(name);
    stage.note('there is room');
  },
};

/** Until nothing of that size is taken any more. */
async function fill(stream: JetStreamClient, { subject, bytes }: { subject: string; bytes: number }): Promise<void> {
  const takes = () =>
    stream.publish(subject, new Uint8Array(bytes)).then(
      () => true,
      () => false,
    );
  while (await takes());
}

export default storageLimit;
