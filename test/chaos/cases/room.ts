/** The broker has no room left for a while. */
import type { JetStreamClient } from 'nats';
import { pause } from '../../bench/scene.ts';
import type { Case } from '../cases.ts';

const ROOM_BYTES = 160 << 20;
const CHANNEL_BYTES = 8 << 20;
const BALLAST = 'ballast';
const BALLAST_BYTES = 1 << 20;
const ROW_BYTES = 256;
const REFUSED_MS = 500;

/**
 * The limit is the server's own, `max_file`, of which nothing is asked beforehand: a batch of results is broken off
 * wherever it is met. What channels reserve would have to be free beside it, so they are given less, as operators may.
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
    await streams.add({ name: BALLAST, subjects: [BALLAST] });
    stage.note(`start the broker anew with a limit of ${bytes} bytes`);
    await broker.restart({ fileBytesMax: bytes });
    await connection.flush();
    for (let times = 1 + random.int(3); times > 0; times--) {
      await fill(connection.jetstream({ timeout: REFUSED_MS }));
      stage.note('the store is full');
      await pause(random.between(1_000, 4_000));
      const { messages } = (await streams.info(BALLAST)).state;
      await streams.purge(BALLAST, { keep: times === 1 ? 0 : messages - 2 });
      stage.note('there is room');
      await pause(random.between(200, 2_000));
    }
    await streams.delete(BALLAST);
  },
};

/** To the last byte that a row would need. */
async function fill(stream: JetStreamClient): Promise<void> {
  for (let bytes = BALLAST_BYTES; bytes > ROW_BYTES; ) {
    await stream.publish(BALLAST, new Uint8Array(bytes)).catch(() => {
      bytes >>= 1;
    });
  }
}

export default storageLimit;
