/** The broker ends without a word and comes back on the same folder; one of its streams is full. */
import { DiscardPolicy } from 'nats';
import { pause } from '../../bench/scene.ts';
import type { Case } from '../cases.ts';

const killBroker: Case = {
  name: 'kill-broker',
  about: 'SIGKILL of the broker, started again on its folder',
  weight: 2,
  async play(stage, random) {
    await stage.killBroker(random.between(0, 2_500));
  },
};

const streamFull: Case = {
  name: 'stream-full',
  about: 'an output stream is full and refuses for a while, in the middle of batches',
  weight: 1,
  async play(stage, random) {
    const { streams } = await stage.connection.jetstreamManager();
    const name = random.pick(['unique', 'unpaid', 'paid']);
    const { config, state } = await streams.info(name);
    stage.note(`${name} is full at ${state.messages + 20} messages`);
    await streams.update(name, { max_msgs: state.messages + 20, discard: DiscardPolicy.New });
    await pause(random.between(1_000, 6_000));
    await streams.update(name, { max_msgs: config.max_msgs, discard: config.discard });
    stage.note(`${name} has room`);
  },
};

export default [killBroker, streamFull];
